// Numbers in order of use: the default ones depend on the folder of the build, and a rebuild could not be compared.
module.exports = { optimization: { moduleIds: "natural", chunkIds: "natural" } };
