/**
 * Plants faults of order and of failure paths (a flush moved, an undo left out, a count not taken back), one at a time,
 * and expects the package's own tests to notice each: a fault that nobody notices is a promise that nobody holds.
 *
 *   npm run planted [-- PACKAGE ...]     packages with a test/planted.mjs; all of them without a name
 *
 * Sources stay as they are: vitest.shared.ts plants the fault in what the runner loads. A fault whose text is not found
 * exactly once in its file is an error, and so is a test that fails without any fault, or does not run. Ends with 1
 * where a fault was not noticed, with 2 where something could not be looked at.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = join(root, "packages");
const listOf = (name) => join(packages, name, "test/planted.mjs");
/** Runs at a time: as many as CI has cores. */
const WORKERS = 2;

const all = readdirSync(packages).filter((name) => existsSync(listOf(name)));
const wanted = process.argv.length > 2 ? process.argv.slice(2) : all;
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no planted faults for ${unknown.join(", ")}; there are some for ${all.join(", ")}\n`);
  process.exit(2);
}

const errors = [];
const faults = [];
for (const name of wanted) {
  for (const fault of (await import(pathToFileURL(listOf(name)))).default) {
    const file = join(packages, name, fault.file);
    const count = existsSync(file) ? readFileSync(file, "utf8").split(fault.find).length - 1 : 0;
    const where = `${name}: ${fault.promise}: ${fault.file}`;
    if (count !== 1)
      errors.push(`${where}: the text to be replaced is there ${count} times: bring test/planted.mjs up to date`);
    else if (fault.find === fault.replace) errors.push(`${where}: nothing is replaced`);
    else if (!existsSync(join(packages, name, fault.test))) errors.push(`${where}: there is no ${fault.test}`);
    else faults.push({ ...fault, name, where });
  }
}
if (errors.length > 0) {
  process.stderr.write(`${errors.join("\n")}\n`);
  process.exit(2);
}

const reports = mkdtempSync(join(tmpdir(), "kreplica-planted-"));
process.on("exit", () => rmSync(reports, { recursive: true, force: true }));
let runs = 0;

/** Runs tests of a package. @returns tests that passed, and titles of those that failed; undefined where none ran */
function run(name, files, pattern, planted) {
  const report = join(reports, `${runs++}.json`);
  const child = spawn(
    process.execPath,
    [
      resolve(root, "node_modules/vitest/vitest.mjs"),
      ...["run", ...files, ...(planted ? ["--bail=1"] : [])],
      ...(pattern === undefined ? [] : ["-t", pattern]),
    ],
    {
      cwd: join(packages, name),
      stdio: ["ignore", "ignore", "ignore"],
      env: {
        ...process.env,
        KREPLICA_PLANTED: planted ? JSON.stringify(planted) : "",
        KREPLICA_PLANTED_REPORT: report,
      },
    },
  );
  return new Promise((done) => {
    child.on("close", () => {
      const tests = existsSync(report)
        ? JSON.parse(readFileSync(report, "utf8")).testResults.flatMap(({ assertionResults }) => assertionResults)
        : [];
      const failed = tests.filter(({ status }) => status === "failed");
      const passed = tests.filter(({ status }) => status === "passed").length;
      done(passed + failed.length === 0 ? undefined : { passed, failed });
    });
  });
}

/** Does a job for each of a list, some at a time. */
async function each(list, job) {
  const left = [...list];
  await Promise.all(
    Array.from({ length: WORKERS }, async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) await job(next);
    }),
  );
}

const said = [];
const say = (text) => {
  said.push(text);
  process.stdout.write(`${text}\n`);
};
let noticed = 0;
const missed = [];

// What is to notice a fault passes without one.
const checks = new Map();
for (const { name, test, pattern } of faults)
  checks.set(JSON.stringify([name, test, pattern]), { name, test, pattern });
await each(checks.values(), async ({ name, test, pattern }) => {
  const result = await run(name, [test], pattern, undefined);
  const what = `${name}: ${test}${pattern === undefined ? "" : `, "${pattern}"`}`;
  if (!result) errors.push(`${what}: no test runs`);
  else if (result.failed.length > 0) errors.push(`${what}: "${result.failed[0].fullName}" fails without any fault`);
});
if (errors.length > 0) {
  process.stderr.write(`${errors.join("\n")}\n`);
  process.exit(2);
}

await each(faults, async ({ name, file, find, replace, test, pattern, promise, survives, where }) => {
  const planted = { file: join(packages, name, file), find, replace };
  const result = await run(name, [test], pattern, planted);
  if (!result) errors.push(`${where}: no test ran with the fault; does it still compile?`);
  else if (result.failed.length > 0 && survives === undefined) {
    noticed++;
    say(`noticed      ${name}: ${promise}\n             by "${result.failed[0].fullName}"`);
  } else if (result.failed.length > 0)
    errors.push(`${where}: was said to survive, and "${result.failed[0].fullName}" notices it: take "survives" out`);
  else if (survives === undefined) missed.push(`NOT NOTICED  ${where}\n             ${test} passes all the same`);
  else say(`equivalent   ${name}: ${promise}\n             ${survives}`);
});
for (const each of missed) say(each);
for (const each of errors) process.stderr.write(`${each}\n`);
say(`${faults.length} faults planted in ${wanted.length} packages: ${noticed} noticed, ${missed.length} not noticed`);
process.exitCode = errors.length > 0 ? 2 : missed.length > 0 ? 1 : 0;
