/**
 * Adds up the test runners' own reports (packages/NAME/.reports/*.json) and prints the closing lines of `.ci/run`:
 * each test skipped, then each that failed with the beginning of its message, so that who sees only the end of a long
 * output sees those; the number skipped, if any; then "N passed, N failed" alone, so that whoever reads the last line
 * need not know of skipped ones. Takes the names of steps that failed; exits with 1 when there is one, when a test
 * failed, or when no test ran at all. With --why, of skipped tests the number only: what a person reads. With --some a
 * package may have left no report.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";

const words = process.argv.slice(2);
const broken = words.filter((word) => !word.startsWith("--"));
const [why, some] = ["--why", "--some"].map((word) => words.includes(word));
const short = (file) => file.split(/[\\/]packages[\\/]/).at(-1);
// Colours of the runner, and the frames of others' code, say nothing here.
const plain = (text) =>
  stripVTControlCharacters(text)
    .split("\n")
    .filter((line) => !/^\s+at .*(node_modules|\(<anonymous>\)$)/.test(line))
    .slice(0, 12)
    .map((line) => `    ${line.slice(0, 200)}`)
    .join("\n");
const failure = (what, messages) => [`failed: ${what}`, ...messages.map(plain)].join("\n");
let [passed, failed, skipped] = [0, 0, 0];
const [skips, failures] = [[], []];
for (const name of readdirSync("packages")) {
  const folder = join("packages", name, ".reports");
  const reports = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];
  if (!some && reports.length === 0 && existsSync(join("packages", name, "package.json")))
    broken.push(`${name} left no report`);
  for (const file of reports) {
    const report = JSON.parse(readFileSync(join(folder, file), "utf8"));
    passed += report.numPassedTests;
    skipped += report.numPendingTests + report.numTodoTests;
    // A file that could not even be loaded has no failed test in it, but is a failure.
    failed +=
      report.numFailedTests +
      report.testResults.filter(
        (each) => each.status === "failed" && each.assertionResults.every((test) => test.status !== "failed"),
      ).length;
    for (const { name: path, status, message, assertionResults } of report.testResults) {
      if (status === "failed" && assertionResults.length === 0)
        failures.push(failure(`${short(path)} could not be loaded`, message ? [message] : []));
      for (const test of assertionResults) {
        const what = `${short(path)}: ${test.fullName}`;
        if (test.status === "failed") failures.push(failure(what, test.failureMessages ?? []));
        if (test.status === "pending" || test.status === "skipped") skips.push(`skipped: ${what}`);
      }
    }
  }
}
for (const line of [...(why ? [] : skips), ...failures]) console.log(line);
for (const step of broken) console.log(`not ok: ${step}`);
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(broken.length > 0 || failed > 0 || passed === 0 ? 1 : 0);
