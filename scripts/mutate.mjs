/**
 * Mutation testing by Stryker: changes a package's sources in every way the library knows, one at a time, and counts
 * what the package's own tests notice.
 *
 *   npm run mutate -- PACKAGE [FILE ...] [--sample N [--seed S]] [--tests FILE]... [--again REPORT] [--workers N]
 *
 * FILE is a file or a pattern below the package, as src/join.ts; all of src without. With --sample, N mutants of them,
 * each drawn with the same chance (S is 1 unless given), and the score's 95 % interval for all of them. With --again,
 * those that survived according to a report kept before, of the same sources: what new tests of them notice. Properties
 * draw ten cases at most, and all of theirs with --again and in files that count what they drew. With --tests, only
 * these files of tests are run, as test/edges.test.ts: the score is a lower bound then, where all of them would take
 * too long. With --workers, N mutants are met at a time, of at most two: on a busy host, 1.
 *
 * Works in a clone of what is committed, in the system's folder for temporary files, and removes it: nothing here is
 * touched, and what is not committed is not looked at. Stryker is installed there alone (50 MB, from npm), so that
 * nobody who only wants to run kreplica pays for it. Prints the score, and every mutant that survived with its place;
 * KREPLICA_MUTANTS=FILE keeps Stryker's own report. Ends with 2 where nothing could be looked at.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { identity, NOT_DRAWN } from "./mutants-drawn.mjs";

/** The last that runs on Node 20. */
const STRYKER = "9.5.1";
/** Beside what a test takes undisturbed: a host of one busy core takes several times that. */
const PATIENCE_MS = 60_000;
/**
 * What a property draws at most while mutants are met: whatever survives takes the time of all tests that come to it,
 * which a few properties of thousands of cases make a minute. Fewer cases notice less, never more.
 */
const CASES = "10";

const root = fileURLToPath(new URL("..", import.meta.url));
const giveUp = (text) => {
  process.stderr.write(`${text}\n`);
  process.exit(2);
};
const USAGE =
  "usage: npm run mutate -- PACKAGE [FILE ...] [--sample N [--seed S]] [--tests FILE]... [--again REPORT] [--workers N], a package of packages/ with tests";

const NOTICED = new Set(["Killed", "Timeout"]);
const MISSED = new Set(["Survived", "NoCoverage"]);

function readArguments() {
  try {
    const text = { type: "string" };
    const options = { sample: text, seed: text, again: text, workers: text, tests: { ...text, multiple: true } };
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return giveUp(`${error.message}\n${USAGE}`);
  }
}
/** A whole number from 1 on that an option gives. */
function numberOf(option, text) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text)) giveUp(`--${option} takes a whole number from 1 on, not ${text}`);
  return Number(text);
}
/** What survived according to a report that KREPLICA_MUTANTS kept. */
function survivorsOf(path) {
  try {
    return Object.entries(JSON.parse(readFileSync(path, "utf8")).files).flatMap(([file, { mutants }]) =>
      mutants
        .filter(({ status }) => MISSED.has(status))
        .map(({ mutatorName, location, replacement }) => identity(file, mutatorName, location.start, replacement)),
    );
  } catch (error) {
    return giveUp(`--again: ${path} is no report that KREPLICA_MUTANTS=${path} had kept: ${error.message}`);
  }
}

const { values, positionals } = readArguments();
const [name, ...files] = positionals;
if (name === undefined || !existsSync(join(root, "packages", name, "vitest.config.ts"))) giveUp(USAGE);
const sample = numberOf("sample", values.sample);
if (values.seed !== undefined && sample === undefined) giveUp("--seed is of --sample: say how many are to be drawn");
const workers = numberOf("workers", values.workers) ?? Math.min(2, availableParallelism());
const seed = numberOf("seed", values.seed) ?? 1;
const only = values.again === undefined ? undefined : survivorsOf(values.again);
for (const file of values.tests ?? [])
  if (!existsSync(join(root, "packages", name, file))) giveUp(`--tests: there is no ${file} in ${name}`);
const cases = only === undefined ? CASES : undefined;
if (only?.length === 0) giveUp(`--again: nothing survived according to ${values.again}`);
const keep = process.env.KREPLICA_MUTANTS === undefined ? undefined : resolve(process.env.KREPLICA_MUTANTS);

const tree = mkdtempSync(join(tmpdir(), "kreplica-mutants-"));
process.on("exit", () => rmSync(tree, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));
const package_ = join(tree, "packages", name);
/** Files of tests that fail without any fault where few cases are drawn: these draw all. */
let counting = [];

function run(command, args, { cwd = tree, shown = false } = {}) {
  const { status, error, stderr, stdout } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // What is shown is how far it has come, and no part of what this prints.
    stdio: shown ? ["ignore", 2, 2] : ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      // A mutant of what is computed while a file is loaded needs the file loaded anew.
      KREPLICA_ISOLATE: "1",
      ...(cases !== undefined && { KREPLICA_CASES: cases, KREPLICA_CASES_OF_ALL_BUT: counting.join() }),
    },
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

/** Files of the package's tests that ten cases a property are too few for. */
function filesThatCount() {
  const told = join(package_, ".reports/vitest.json");
  const env = { ...process.env, KREPLICA_CASES: CASES };
  const vitest = join(tree, "node_modules/vitest/vitest.mjs");
  spawnSync(process.execPath, [vitest, "run", ...(values.tests ?? [])], { cwd: package_, stdio: "ignore", env });
  if (!existsSync(told)) return giveUp(`the tests of ${name} cannot be run`);
  const failed = JSON.parse(readFileSync(told, "utf8")).testResults.filter(({ status }) => status === "failed");
  return failed.map((each) => relative(realpathSync(package_), each.name));
}
if (cases !== undefined) counting = filesThatCount();

const chosen = sample !== undefined || only !== undefined;
const report = join(tree, "mutants.json");
const configuration = join(tree, "mutation.json");
writeFileSync(
  configuration,
  JSON.stringify({
    testRunner: "vitest",
    vitest: { configFile: "vitest.config.ts" },
    plugins: [
      join(tree, "node_modules/@stryker-mutator/vitest-runner/dist/src/index.js"),
      fileURLToPath(new URL("mutants-drawn.mjs", import.meta.url)),
    ],
    ...(chosen && { checkers: ["drawn"], drawn: { folder: package_, sample, seed, only } }),
    warnings: { unknownOptions: false },
    // A sandbox would mix the package's changed sources with those that other packages import of it.
    inPlace: true,
    mutate: files.length > 0 ? files : ["src/**/*.ts", "!src/testing/**", "!src/testing.ts"],
    coverageAnalysis: "perTest",
    concurrency: workers,
    timeoutMS: PATIENCE_MS,
    dryRunTimeoutMinutes: 60,
    ...(values.tests && { testFiles: values.tests }),
    reporters: ["json", "told", process.stderr.isTTY ? "progress" : "progress-append-only"],
    jsonReporter: { fileName: report },
    disableTypeChecks: true,
    allowEmpty: false,
  }),
);
run(join(tree, "node_modules/.bin/stryker"), ["run", configuration], { cwd: package_, shown: true });
if (!existsSync(report)) giveUp("Stryker wrote no report");
if (keep !== undefined) copyFileSync(report, keep);

const byFile = Object.entries(JSON.parse(readFileSync(report, "utf8")).files).map(([file, { source, mutants }]) => ({
  file,
  lines: source.split("\n"),
  noticed: mutants.filter(({ status }) => NOTICED.has(status)).length,
  missed: mutants.filter(({ status }) => MISSED.has(status)),
  aside: mutants.filter(({ statusReason }) => statusReason === NOT_DRAWN).length,
  others: mutants.filter(
    ({ status, statusReason }) => !NOTICED.has(status) && !MISSED.has(status) && statusReason !== NOT_DRAWN,
  ),
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
const errors = sum(({ others }) => others.length);
const aside = sum((each) => each.aside);
const looked = noticed + missed;

/**
 * Wilson's interval of a share, and the finite population's correction: of a sample that is all there is, none is left.
 * @returns lower and upper bound, 0 to 1
 */
function interval(part, drawn, all) {
  const z = 1.96;
  const n = (drawn * (all - 1)) / (all - drawn);
  const share = part / drawn;
  const middle = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  return [middle - half, middle + half];
}

const tests = values.tests === undefined ? "its own tests" : values.tests.join(", ");
const by = `${looked} mutants noticed by ${tests}`;
if (only !== undefined)
  process.stdout.write(
    `\n${name}: ${noticed} of ${looked} that had survived are noticed now, of ${only.length} asked for\n`,
  );
else if (aside === 0) process.stdout.write(`\n${name}: ${percent(noticed, looked)} of ${by}\n`);
else {
  const [low, high] = interval(noticed, looked, looked + aside);
  process.stdout.write(
    `\n${name}: ${percent(noticed, looked)} of ${by}, drawn from ${looked + aside + errors} by seed ${seed}: ` +
      `${percent(low, 1)} to ${percent(high, 1)} of all (95 % interval)\n`,
  );
}
if (errors > 0)
  process.stdout.write(`not counted: ${errors} that could not be loaded, or are told to be passed over\n`);
