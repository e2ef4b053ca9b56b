/**
 * The one vitest configuration all packages use: tests run from source, reports are counted by `.ci/run`. Files named
 * `*.proof.test.ts` are long proofs: they run with KREPLICA_PROOF=1, which `.ci/run` and `npm test -- --all` set.
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const conditions = ["@kreplica/source"];

/**
 * A fault that scripts/planted.mjs wants planted: in what is loaded, not in the file. Which one is asked at each load:
 * scripts/planted-runs.mjs plants one after the other in the process that this is read in.
 */
const plant = process.env["KREPLICA_PLANTED"] !== undefined && {
  name: "planted fault",
  enforce: "pre" as const,
  transform: (code: string, id: string): string | undefined => {
    const planted = JSON.parse(process.env["KREPLICA_PLANTED"] || "null") as {
      readonly file: string;
      readonly find: string;
      readonly replace: string;
    } | null;
    return planted !== null && id === planted.file ? code.replace(planted.find, () => planted.replace) : undefined;
  },
};

/**
 * Properties draw the same cases everywhere and each time, so that no run fails that another passed;
 * KREPLICA_SEED=NUMBER draws others. A property that names a seed of its own keeps it.
 *
 * KREPLICA_CASES=NUMBER is for runs by the thousand that ask only whether a test fails (scripts/mutate.mjs): a property
 * draws no more cases than that, and does not look for the smallest that fails; cheap files run first.
 * KREPLICA_CASES_OF_ALL_BUT=FILE,FILE, below the package, are left as they are: they count what they drew.
 */
const seed = Number(process.env["KREPLICA_SEED"] ?? 20_251_129);
const cases = Number(process.env["KREPLICA_CASES"] ?? 0);
const counting = (process.env["KREPLICA_CASES_OF_ALL_BUT"] ?? "").split(",").filter((file) => file !== "");
/** Properties that lie in sources, as contracts, are shared by files of tests: one that counts decides for them. */
const limited = (id: string): boolean =>
  cases > 0 &&
  (counting.length === 0 || (id.endsWith(".test.ts") && !counting.some((file) => id.endsWith(`/${file}`))));
const drawn = (id: string): object => ({ seed, ...(limited(id) && { numRuns: cases, endOnFailure: true }) });
const fewer = (code: string, id: string): string =>
  limited(id) ? code.replace(/\bnumRuns: ([^,}\n]+)/g, `numRuns: Math.min(${cases}, $1)`) : code;
/** What was quick last time, or else is small, in front: a run ends with the first test that fails. */
class CheapFilesFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { cache, config } = this.ctx;
    const costOf = ({ project, moduleId }: TestSpecification): number => {
      const key = `${project.name}:${relative(config.root, moduleId)}`;
      return cache.getFileTestResults(key)?.duration ?? cache.getFileStats(key)?.size ?? 0;
    };
    return Promise.resolve([...files].sort((a, b) => costOf(a) - costOf(b)));
  }
}
const seeded = {
  name: "seed of properties",
  enforce: "pre" as const,
  // In front of the first line, so that all lines stay where they were; before whatever draws while a file is loaded.
  transform: (code: string, id: string): string | undefined =>
    /from "fast-check";$/m.test(code)
      ? `import { configureGlobal as seedProperties } from "fast-check"; seedProperties(${JSON.stringify(drawn(id))}); ${fewer(code, id)}`
      : undefined,
};

export const packageTests = defineConfig({
  plugins: plant ? [plant, seeded] : [seeded],
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
    // Tests ask what the code computes, never what it told somebody before.
    env: { KREPLICA_KEEP: "0" },
    // For what hangs alone: a host of one busy core takes ten times what an idle one does.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
    // Files of a worker share what they load: to load it again was half of a run. CONTRIBUTING.md says what that asks
    // of what tests share.
    isolate: process.env["KREPLICA_ISOLATE"] === "1",
    ...(cases > 0 && { sequence: { sequencer: CheapFilesFirst } }),
  },
});
