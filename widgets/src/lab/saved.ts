const FORMAT = "nbsr result"; // as nbsr/result/saved.py writes it

/** What a file holds for the page, and the law that was found; throws an Error of one sentence where there is nothing. */
export function read(text: string): { recording: unknown; equation: string } {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Error("This file is not a saved result, or it was cut short: it is not whole JSON.");
  }
  const file = told as { format?: unknown; version?: unknown; equation?: unknown; recording?: unknown } | null;
  if (typeof file !== "object" || file === null || file.format !== FORMAT)
    throw new Error("This file is not a result that nbsr saved; files that Result.save wrote are.");
  const equation = typeof file.equation === "string" ? file.equation : "";
  if (!file.recording) {
    const law = equation ? ` The law that it holds: ${equation}` : "";
    throw new Error(
      `This file has format ${String(file.version)} and no recording to replay: load it with nbsr.Result.load, and save it again with this nbsr.${law}`,
    );
  }
  return { recording: file.recording, equation };
}
