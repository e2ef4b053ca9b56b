/** The one vitest configuration all packages use: tests run from source, reports are counted by `.ci/run`. */
import { defineConfig } from "vitest/config";

const conditions = ["@kreplica/source"];

export const packageTests = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", ["json", { outputFile: ".reports/vitest.json" }]],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
