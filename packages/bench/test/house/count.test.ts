/** The closing lines of CI, from reports made up for it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const script = resolve(dirname(fileURLToPath(import.meta.url)), "../../../../scripts/count.mjs");
const workspace = mkdtempSync(join(tmpdir(), "kreplica-count-"));
afterAll(() => rmSync(workspace, { recursive: true, force: true }));

type Status = "passed" | "failed" | "skipped" | "todo";
const many = (count: number, status: Status): Status[] => Array.from({ length: count }, () => status);

/** Reports of packages with tests of these outcomes; a package without any left no report. */
function count(
  reports: Record<string, readonly Status[] | undefined>,
  ...brokenSteps: string[]
): { code: number | null; lines: string[] } {
  const folder = mkdtempSync(join(workspace, "run-"));
  for (const [name, tests] of Object.entries(reports)) {
    const where = join(folder, "packages", name);
    mkdirSync(join(where, ".reports"), { recursive: true });
    writeFileSync(join(where, "package.json"), "{}");
    if (!tests) continue;
    const number = (status: Status): number => tests.filter((each) => each === status).length;
    writeFileSync(
      join(where, ".reports/vitest.json"),
      JSON.stringify({
        numPassedTests: number("passed"),
        numFailedTests: number("failed"),
        numPendingTests: number("skipped"),
        numTodoTests: number("todo"),
        testResults: [
          {
            name: `/x/packages/${name}/test/a.test.ts`,
            status: tests.includes("failed") ? "failed" : "passed",
            assertionResults: tests.map((status, i) => ({
              status,
              fullName: `test ${i}`,
              ...(status === "failed" ? { failureMessages: ["Error: why\n    at x (/x/node_modules/y.js:1:1)"] } : {}),
            })),
          },
        ],
      }),
    );
  }
  const { status, stdout } = spawnSync("node", [script, ...brokenSteps], { cwd: folder, encoding: "utf8" });
  return { code: status, lines: stdout.trimEnd().split("\n") };
}

test("the last line is the count of passed and failed alone; skipped and to-do tests stand on the line before, each named above", () => {
  const { code, lines } = count({ a: [...many(3, "passed"), "skipped"], b: [...many(2, "passed"), "todo"] });
  expect([code, lines]).toEqual([0, ["skipped: a/test/a.test.ts: test 3", "2 skipped", "5 passed, 0 failed"]]);
});

test("nothing skipped, nothing said of it", () => {
  expect(count({ a: many(3, "passed") })).toEqual({ code: 0, lines: ["3 passed, 0 failed"] });
});

test("what failed stands after all that was skipped, with its message and without others' frames", () => {
  expect(count({ a: ["failed", "skipped"], b: ["skipped", "passed"] })).toEqual({
    code: 1,
    lines: [
      "skipped: a/test/a.test.ts: test 1",
      "skipped: b/test/a.test.ts: test 0",
      "failed: a/test/a.test.ts: test 0",
      "    Error: why",
      "2 skipped",
      "1 passed, 1 failed",
    ],
  });
});

test("a failed test, a failed step and a package without a report each fail it, and the last line is the same", () => {
  expect(count({ a: [...many(3, "passed"), "failed"] })).toEqual({
    code: 1,
    lines: ["failed: a/test/a.test.ts: test 3", "    Error: why", "3 passed, 1 failed"],
  });
  expect(count({ a: many(1, "passed") }, "lint")).toEqual({ code: 1, lines: ["not ok: lint", "1 passed, 0 failed"] });
  expect(count({ a: many(1, "passed"), b: undefined })).toEqual({
    code: 1,
    lines: ["not ok: b left no report", "1 passed, 0 failed"],
  });
});
