/**
 * Adds up the test runners' own reports (packages/NAME/.reports/*.json) and prints the closing lines of `.ci/run`: tests skipped, if any, then
 * "N passed, N failed" alone, so that whoever reads the last line need not know of skipped ones. Takes the names of
 * steps that failed; exits with 1 when there is one, when a test failed, or when no test ran at all.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const broken = process.argv.slice(2);
let [passed, failed, skipped] = [0, 0, 0];
for (const name of readdirSync("packages")) {
  const folder = join("packages", name, ".reports");
  const reports = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];
  if (reports.length === 0 && existsSync(join("packages", name, "package.json"))) broken.push(`${name} left no report`);
  for (const file of reports) {
    const report = JSON.parse(readFileSync(join(folder, file), "utf8"));
    passed += report.numPassedTests;
    skipped += report.numPendingTests + report.numTodoTests;
    // A file that could not even be loaded has no failed test in it, but is a failure.
    failed += report.numFailedTests + report.testResults.filter((each) => each.status === "failed" && each.assertionResults.every((test) => test.status !== "failed")).length;
    for (const each of report.testResults) {
      for (const test of each.assertionResults) if (test.status === "failed") console.log(`failed: ${each.name.split("/packages/").at(-1)}: ${test.fullName}`);
      for (const test of each.assertionResults) if (test.status === "pending" || test.status === "skipped") console.log(`skipped: ${each.name.split("/packages/").at(-1)}: ${test.fullName}`);
    }
  }
}
for (const step of broken) console.log(`not ok: ${step}`);
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(broken.length > 0 || failed > 0 || passed === 0 ? 1 : 0);
