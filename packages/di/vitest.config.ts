import { mergeConfig } from "vitest/config";
import { packageTests } from "../../vitest.shared.js";

// One file, which loads the package anew to see a second copy of it.
export default mergeConfig(packageTests, { test: { isolate: true } });
