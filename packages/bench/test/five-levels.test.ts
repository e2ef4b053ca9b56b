/** Five levels of page tables: what the help shows works, and a refusal names a machine that has them. */
import { expect, test } from "vitest";
import { invoke, registered } from "./invoke.js";

/** Words of every example in the help that asks for five levels. */
const examples = (await registered()).flatMap((command) => {
  let text = "";
  command
    .configureOutput({
      writeOut: (part) => {
        text += part;
      },
    })
    .outputHelp();
  return text.split("\n").flatMap((line) =>
    /^ +kreplica .*--levels 5/.test(line)
      ? [
          line
            .trim()
            .replace(/ {2,}.*$/, "")
            .split(" ")
            .slice(1),
        ]
      : [],
  );
});

test("the help has such examples", () => {
  expect(examples.length).toBeGreaterThan(0);
});

test.each(examples.map((words) => [words.join(" "), words] as const))("%s", async (_line, words) => {
  const { code, out, error } = await invoke([...words, "--json"]);
  expect([code, error]).toEqual([0, ""]);
  expect(JSON.parse(out)).toMatchObject({ levels: 5, invariants: { violated: [] } });
});

test.each(["boot", "tables", "compare"])("%s refuses a machine without, and names one with", async (command) => {
  const { code, error } = await invoke([command, "--levels", "5"]);
  expect([code, error]).toEqual([2, expect.stringMatching(/virtualBits 57: .*xeon-8480-2s/)]);
});
