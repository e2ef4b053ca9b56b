/**
 * Every command's report and help keep to the width that COLUMNS asks for, and what does not fit goes on below its own
 * beginning.
 */
import { expect, test } from "vitest";
import { invoke, registered } from "./invoke.js";

const names = (await registered()).map((command) => command.name());
const REPORTS: readonly (readonly string[])[] = [
  ["machine"],
  ["machine", "xeon-8260-8s"],
  ["policies"],
  ["boot", "--machine", "tiny-2-node"],
  ["policies", "--measure", "--machine", "tiny-2-node"],
  ["patch", "--machine", "tiny-2-node", "--changes", "1"],
  ["compare", "--machine", "tiny-2-node", "--test", "kill"],
];

test.each(["80", "100"])("help at %s columns", async (COLUMNS) => {
  for (const name of names) {
    const { out } = await invoke([name, "--help"], { COLUMNS });
    for (const line of out.split("\n"))
      if (!/^ {2}(kreplica|numactl|mlc) \S+( \S+)*$/.test(line))
        expect(line.length, `${name}: ${line}`).toBeLessThanOrEqual(Number(COLUMNS));
  }
});

test.each(REPORTS.flatMap((words) => ["80", "100"].map((COLUMNS) => [words.join(" "), COLUMNS, words] as const)))(
  "%s at %s columns",
  async (_name, COLUMNS, words) => {
    const { out, error } = await invoke(words, { COLUMNS });
    expect(error).toBe("");
    for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(Number(COLUMNS));
  },
);

test("the list of what memory went where has its own indent", async () => {
  const { out } = await invoke(["boot", "--machine", "tiny-2-node"], { COLUMNS: "60" });
  expect(out).toMatch(/^ +[\d,]+ {2}tails of text and rodata, which patch 06 fills\n {14}and one copy gives back$/m);
});
