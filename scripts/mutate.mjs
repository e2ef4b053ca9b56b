/**
 * Mutation testing by Stryker: changes a package's sources in every way the library knows, one at a time, and counts
 * what the package's own tests notice.
 *
 *   npm run mutate -- PACKAGE [FILE ...]   a file or a pattern below the package, as src/join.ts; all of src without
 *
 * Works in a clone of what is committed, in the system's folder for temporary files, and removes it: nothing here is
 * touched, and what is not committed is not looked at. Stryker is installed there alone (50 MB, from npm), so that
 * nobody who only wants to run kreplica pays for it. Prints the score, and every mutant that survived with its place;
 * KREPLICA_MUTANTS=FILE keeps Stryker's own report. Ends with 2 where nothing could be looked at.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The last that runs on Node 20. */
const STRYKER = "9.5.1";
/** Beside what a test takes undisturbed: a host of one busy core takes several times that. */
const PATIENCE_MS = 30_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const [name, ...files] = process.argv.slice(2);
const giveUp = (text) => {
  process.stderr.write(`${text}\n`);
  process.exit(2);
};
if (name === undefined || !existsSync(join(root, "packages", name, "vitest.config.ts")))
  giveUp("usage: npm run mutate -- PACKAGE [FILE ...], a package of packages/ with tests");
const keep = process.env.KREPLICA_MUTANTS === undefined ? undefined : resolve(process.env.KREPLICA_MUTANTS);

const tree = mkdtempSync(join(tmpdir(), "kreplica-mutants-"));
process.on("exit", () => rmSync(tree, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));
const package_ = join(tree, "packages", name);

function run(command, args, { cwd = tree, shown = false } = {}) {
  const { status, error, stderr, stdout } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: shown ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  if (error) giveUp(`${command}: ${error.message}`);
  if (status !== 0) giveUp(`${command} ${args.join(" ")} failed:\n${stdout ?? ""}${stderr ?? ""}`);
}

const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const pnpm = (...args) => run("npx", ["--yes", packageManager, ...args]);
run("git", ["clone", "--quiet", "--shared", root, tree], { cwd: root });
// Kernels that were fetched here are not fetched again.
if (existsSync(join(root, ".cache"))) symlinkSync(join(root, ".cache"), join(tree, ".cache"));
pnpm("install", "--frozen-lockfile", "--prefer-offline", "--silent");
const libraries = ["core", "vitest-runner"].map((each) => `@stryker-mutator/${each}@${STRYKER}`);
pnpm("add", "--save-dev", "--workspace-root", "--save-exact", "--prefer-offline", "--silent", ...libraries);

const report = join(tree, "mutants.json");
const configuration = join(tree, "mutation.json");
writeFileSync(
  configuration,
  JSON.stringify({
    testRunner: "vitest",
    vitest: { configFile: "vitest.config.ts" },
    plugins: [join(tree, "node_modules/@stryker-mutator/vitest-runner/dist/src/index.js")],
    // A sandbox would mix the package's changed sources with those that other packages import of it.
    inPlace: true,
    mutate: files.length > 0 ? files : ["src/**/*.ts", "!src/testing/**", "!src/testing.ts"],
    coverageAnalysis: "perTest",
    concurrency: Math.min(2, availableParallelism()),
    timeoutMS: PATIENCE_MS,
    reporters: ["json", ...(process.stderr.isTTY ? ["progress"] : [])],
    jsonReporter: { fileName: report },
    disableTypeChecks: true,
    allowEmpty: false,
  }),
);
run(join(tree, "node_modules/.bin/stryker"), ["run", configuration], { cwd: package_, shown: process.stderr.isTTY });
if (!existsSync(report)) giveUp("Stryker wrote no report");
if (keep !== undefined) copyFileSync(report, keep);

const NOTICED = new Set(["Killed", "Timeout"]);
const MISSED = new Set(["Survived", "NoCoverage"]);
const byFile = Object.entries(JSON.parse(readFileSync(report, "utf8")).files).map(([file, { source, mutants }]) => ({
  file,
  lines: source.split("\n"),
  noticed: mutants.filter(({ status }) => NOTICED.has(status)).length,
  missed: mutants.filter(({ status }) => MISSED.has(status)),
  others: mutants.filter(({ status }) => !NOTICED.has(status) && !MISSED.has(status)),
}));
const sum = (of) => byFile.reduce((so, each) => so + of(each), 0);
const noticed = sum((each) => each.noticed);
const missed = sum(({ missed }) => missed.length);
if (noticed + missed === 0) giveUp("there was nothing to mutate");
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
for (const { file, noticed, missed } of byFile) {
  if (noticed + missed.length === 0) continue;
  process.stdout.write(`${file}: ${noticed} of ${noticed + missed.length} noticed\n`);
}
for (const { file, lines, missed } of byFile) {
  for (const { location, mutatorName, replacement, status } of missed) {
    const { line, column } = location.start;
    const was = lines[line - 1].trim();
    process.stdout.write(
      `\n${file}:${line}:${column} ${mutatorName}${status === "NoCoverage" ? ", no test comes there" : ""}\n  ${was}\n  -> ${(replacement ?? "").split("\n")[0]}\n`,
    );
  }
}
process.stdout.write(
  `\n${name}: ${percent(noticed, noticed + missed)} of ${noticed + missed} mutants noticed by its own tests\n`,
);
const errors = sum(({ others }) => others.length);
if (errors > 0)
  process.stdout.write(`not counted: ${errors} that could not be loaded, or are told to be passed over\n`);
