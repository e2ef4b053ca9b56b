/** Policies take parameters wherever one can be named; a wrong one is a typed error that says what to write. */
import { findPolicy, policyOf, smallImage, smallMachine } from "@kreplica/kernel";
import { preset } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";
import { invoke } from "./invoke.js";

const holders = (policy: string, nodes: number): readonly number[] =>
  boot({ spec: smallMachine(nodes), image: smallImage(), policy }).view.holders;

test("who holds copies, as the parameter says", () => {
  expect(holders("every-nth:1", 4)).toEqual([0, 1, 2, 3]);
  expect(holders("every-nth:3", 4)).toEqual([0, 3]);
  expect(holders("every-nth", 4)).toEqual([0, 2]);
  expect(holders("groups:0-1,2-3", 4)).toEqual([0, 2]);
  expect(holders("groups:0+2,1+3", 4)).toEqual([0, 1]);
  expect(holders("per-socket:20", 4)).toEqual([0]);
  expect(holders("per-socket:19", 4)).toEqual([0, 1, 2, 3]);
});

test("what is copied, as the parameter says: pages of text in runs", () => {
  const copied = (policy: string): unknown =>
    boot({ spec: smallMachine(2), image: smallImage(), policy }).view.copies.textRanges?.map(({ start, pages }) => [
      Number(start & 0xff_ffffn) >> 12,
      pages,
    ]);
  expect(copied("hot-subset:0")).toEqual([[0, 1]]);
  expect(copied("hot-subset:3+0-1")).toEqual([
    [0, 2],
    [3, 1],
  ]);
  expect(copied("hot-subset:3+4-5")).toEqual([[3, 3]]);
});

test("the same name is the same policy, so that workers can be told of it", () => {
  expect(findPolicy("every-nth:3")).toBe(findPolicy("every-nth:3"));
  expect(policyOf("groups:0-1,2-3").name).toBe("groups:0-1,2-3");
});

describe("a wrong parameter", () => {
  const forms =
    /Write (every-nth:N|hot-subset:PAGES|budget:PERCENT|on-demand:CYCLES|groups:NODES,NODES|per-socket:SLIT), as in /;
  test.each([
    ["every-nth:0", /"0" is no whole number from 1 to 64/, forms],
    ["every-nth:65", /"65" is no whole/, forms],
    ["every-nth:2.5", /"2\.5" is no whole/, forms],
    ["every-nth:", /"" is no whole/, forms],
    ["per-socket:9", /"9" is no SLIT distance, 10 to 254/, forms],
    ["per-socket:255", /"255" is no SLIT distance/, forms],
    ["hot-subset", /hot-subset is named without its parameter/, forms],
    ["hot-subset:", /has "", which is neither a test of a shipped recording nor a page/, forms],
    ["hot-subset:fork-2", /has "fork-2", which is neither a test of a shipped recording nor/, forms],
    ["hot-subset:5-3", /a range that goes down, 5-3/, forms],
    ["hot-subset:1-4+4", /names page 4 twice/, forms],
    ["hot-subset:65536", /names page 65536: pages are 0 to 65535/, forms],
    ["budget:0", /"0" is no percentage above 0/, forms],
    ["budget:101", /"101" is no percentage above 0, up to 100/, forms],
    ["budget:1e1", /"1e1" is no percentage/, forms],
    ["budget", /budget is named without its parameter/, forms],
    ["on-demand", /on-demand is named without its parameter/, forms],
    ["on-demand:free", /"free" is neither a number of cycles nor `copy`/, forms],
    ["on-demand:copy,", /"copy," is neither a number/, forms],
    ["groups", /groups is named without its parameter/, forms],
    ["groups:", /has "" where a node or a range/, forms],
    ["groups:0-1,,2", /has "" where a node/, forms],
    ["groups:0-1,1-2", /names node 1 twice/, forms],
    ["groups:3-1", /a range that goes down, 3-1/, forms],
    ["groups:0-64", /names node 64: nodes are 0 to 63/, forms],
    ["groups:a", /has "a" where/, forms],
    ["text-only:3", /the policy text-only takes no parameter/, /Write text-only/],
    ["every-mth:3", /there is no policy every-mth/, /Did you mean every-nth/],
  ])("%s", async (name, reason, remedy) => {
    expect(() => policyOf(name)).toThrow(reason);
    const { code, error } = await invoke(["boot", "--machine", "tiny-2-node", "--policy", name]);
    expect(code).toBe(2);
    expect(error).toMatch(/^kreplica: --policy: /);
    expect(error).toMatch(reason);
    expect(error).toMatch(remedy);
  });

  test.each([
    ["groups:0-1,2", /--policy: tiny-2-node has no node 2.*Its nodes are 0, 1: name each in one group/],
    ["groups:0", /--policy: node 1 of tiny-2-node is in no group/],
  ])("%s is none of a machine", (policy, message) => {
    expect(() => boot({ spec: preset("tiny-2-node")!, policy })).toThrow(message);
  });

  test("a group without memory has no copy to share", () => {
    const spec = smallMachine(2, 1);
    expect(() => boot({ spec, image: smallImage(), policy: "groups:0,1,2" })).toThrow(
      /no node of the group 2 has memory for a copy. Join it with another group/,
    );
    expect(boot({ spec, image: smallImage(), policy: "groups:0,1-2" }).view.nearest(2)).toBe(1);
  });
});

test("`kreplica policies` lists them, in text and JSON, and so does the help", async () => {
  const { out } = await invoke(["policies"]);
  for (const form of [
    "every-nth:N",
    "hot-subset:PAGES",
    "budget:PERCENT",
    "on-demand:CYCLES",
    "groups:NODES,NODES",
    "per-socket:SLIT",
  ]) {
    expect(out).toContain(`  ${form} `);
    expect((await invoke(["boot", "--help"])).out.replace(/\s+/g, " ")).toContain(form);
  }
  const { parameters } = JSON.parse((await invoke(["policies", "--json"])).out) as { parameters: { name: string }[] };
  expect(parameters.map(({ name }) => name)).toEqual([
    "every-nth",
    "hot-subset",
    "budget",
    "on-demand",
    "groups",
    "per-socket",
  ]);
});

test.each([
  ["boot", "--machine", "tiny-2-node"],
  ["tables", "--machine", "tiny-2-node"],
  ["check", "--runs", "2", "--steps", "10", "--nodes", "2", "--levels", "4", "--pti", "off"],
  ["patch", "--machine", "tiny-2-node", "--changes", "1"],
])("%s takes one", async (...words) => {
  const { code, out } = await invoke([...words, "--policy", "groups:0-1"]);
  expect(code).toBe(0);
  expect(out).not.toBe("");
});
