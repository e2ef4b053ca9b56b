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
import { fork } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
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

/** One process of scripts/planted-runs.mjs at a time, for the package of the fault in work. */
class Runner {
  #name;
  #child;

  /** Runs tests of a package. @returns tests that passed, and titles of those that failed; undefined where none ran */
  async run(name, test, pattern, planted) {
    try {
      if (this.#name !== name) await this.#begin(name);
      this.#child.send({ test, pattern, planted });
      const { result, error } = await this.#said();
      if (error !== undefined) throw new Error(error);
      return result.passed === undefined ? undefined : result;
    } catch (error) {
      process.stderr.write(`${name}: ${test}: ${error.message}\n`);
      this.end();
      return undefined;
    }
  }

  async #begin(name) {
    this.end();
    this.#child = fork(join(root, "scripts/planted-runs.mjs"), [join(packages, name)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#name = name;
    await this.#said();
  }

  /** @returns what the process says next */
  #said() {
    const child = this.#child;
    return new Promise((said, ended) => {
      const end = (code) => ended(new Error(`what runs the tests ended with ${code}`));
      child.once("message", (message) => {
        child.off("exit", end);
        said(message);
      });
      child.once("exit", end);
    });
  }

  end() {
    if (this.#child?.connected) this.#child.disconnect();
    this.#name = undefined;
  }
}

/** Does a job for each of a list, some at a time, each with a runner. */
async function each(list, job) {
  const left = [...list];
  await Promise.all(
    Array.from({ length: WORKERS }, async () => {
      const runner = new Runner();
      try {
        for (let next = left.shift(); next !== undefined; next = left.shift()) await job(next, runner);
      } finally {
        runner.end();
      }
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

/** What is to notice a fault passes without one. */
async function checked({ name, test, pattern }, runner) {
  const result = await runner.run(name, test, pattern);
  const what = `${name}: ${test}${pattern === undefined ? "" : `, "${pattern}"`}`;
  if (!result) errors.push(`${what}: no test runs`);
  else if (result.failed.length > 0) errors.push(`${what}: "${result.failed[0]}" fails without any fault`);
}

async function plant({ name, file, find, replace, test, pattern, promise, survives, where }, runner) {
  const result = await runner.run(name, test, pattern, { file: join(packages, name, file), find, replace });
  if (!result) errors.push(`${where}: no test ran with the fault; does it still compile?`);
  else if (result.failed.length > 0 && survives === undefined) {
    noticed++;
    say(`noticed      ${name}: ${promise}\n             by "${result.failed[0]}"`);
  } else if (result.failed.length > 0)
    errors.push(`${where}: was said to survive, and "${result.failed[0]}" notices it: take "survives" out`);
  else if (survives === undefined) missed.push(`NOT NOTICED  ${where}\n             ${test} passes all the same`);
  else say(`equivalent   ${name}: ${promise}\n             ${survives}`);
}

// A package's own together, so that no process is begun twice.
const jobs = wanted.flatMap((name) => {
  const own = faults.filter((fault) => fault.name === name);
  const checks = new Map(own.map((fault) => [JSON.stringify([fault.test, fault.pattern]), fault]));
  return [...[...checks.values()].map((fault) => [checked, fault]), ...own.map((fault) => [plant, fault])];
});
await each(jobs, ([job, fault], runner) => job(fault, runner));
for (const each of missed) say(each);
for (const each of errors) process.stderr.write(`${each}\n`);
say(`${faults.length} faults planted in ${wanted.length} packages: ${noticed} noticed, ${missed.length} not noticed`);
process.exitCode = errors.length > 0 ? 2 : missed.length > 0 ? 1 : 0;
