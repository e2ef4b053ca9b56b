/**
 * The one vitest configuration all packages use: tests run from source, reports are counted by `.ci/run`. Files named
 * `*.proof.test.ts` are long proofs: they run with KREPLICA_PROOF=1, which `.ci/run` and `npm test -- --all` set.
 */
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";

const conditions = ["@kreplica/source"];

export const packageTests = defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(process.env["KREPLICA_PROOF"] === "1" ? [] : ["test/**/*.proof.test.ts"])],
    // Under turbo, a line a package; alone, the runner's own screen.
    reporters: [
      process.env["TURBO_HASH"] ? fileURLToPath(new URL("scripts/package-line.mjs", import.meta.url)) : "default",
      ["json", { outputFile: ".reports/vitest.json" }],
    ],
    // For what hangs alone: a host of one busy core takes ten times what an idle one does.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
  },
});
