/**
 * The tests of what is published: packed tarballs in an empty project. Needs a build; run by `turbo run test:package`.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "test/package/pack-once.ts",
    include: ["test/package/**/*.pack.ts"],
    reporters: ["default", ["json", { outputFile: ".reports/package.json" }]],
    env: { KREPLICA_KEEP: "0" },
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
