import { mergeConfig } from "vitest/config";
import { packageTests } from "../../vitest.shared.js";

// Some tests ask what V8 makes of hot paths, and one what the hardware does where a global is another: for each the
// code is new.
export default mergeConfig(packageTests, { test: { isolate: true } });
