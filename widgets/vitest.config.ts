import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["src/lab/**", "node_modules/**"],
    environment: "node", // tests of views name jsdom in their first line
  },
});
