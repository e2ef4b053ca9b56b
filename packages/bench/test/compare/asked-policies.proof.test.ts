/** When `kreplica compare` asks which policy does better, and of which tests. */
import { expect, test } from "vitest";
import { invoke } from "../invoke.js";

const TINY = ["compare", "--machine", "tiny-2-node", "--json"];

/** Tests that the policies were asked of, and the answer. */
async function asked(...words: string[]): Promise<readonly [readonly string[], string | null]> {
  const { code, out, error } = await invoke([...TINY, ...words]);
  expect(code, error).toBe(0);
  const { betterPolicyTests, betterPolicy } = (
    JSON.parse(out) as { verdict: { betterPolicyTests: string[]; betterPolicy: string | null } }
  ).verdict;
  return [betterPolicyTests, betterPolicy];
}

test("policies are asked of the tests that take a moment; with --policies of all, with --no-policies of none", async () => {
  const [brief, better] = await asked("--test", "fork-1", "open/close");
  expect(brief).toEqual(["fork-1"]);
  expect(better).not.toBeNull();
  expect((await asked("--test", "fork-1", "open/close", "--policies"))[0]).toEqual(["fork-1", "open/close"]);
  expect(await asked("--test", "fork-1", "--no-policies")).toEqual([[], null]);
  expect((await asked("--test", "open/close"))[0]).toEqual([]);
});

test("they are not asked where they would be compared on other terms", async () => {
  for (const other of [["--no-work"], ["--load", "0.5"], ["--pressure", "500"], ["--data-node", "1"]])
    expect(await asked("--test", "mount", ...other), other[0]).toEqual([[], null]);
});
