import { doors } from "../../tsup.shared.js";

export default doors(
  "src/index.ts",
  "src/documents.ts",
  "src/cli.ts",
  "src/man-pages.ts",
  "src/measure-worker.ts",
  "src/sweep-worker.ts",
);
