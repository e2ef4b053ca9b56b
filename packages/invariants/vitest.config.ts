import { mergeConfig } from "vitest/config";
import { packageTests } from "../../vitest.shared.js";

// Files plant their faults in one kernel that test/planted.ts makes, and heals for the file that loads it.
export default mergeConfig(packageTests, { test: { isolate: true } });
