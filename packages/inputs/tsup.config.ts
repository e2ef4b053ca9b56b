import { doors } from "../../tsup.shared.js";

export default doors("src/index.ts", "src/testing.ts", "src/zstd.ts");
