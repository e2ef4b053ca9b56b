/// <reference types="node" />
/** What is pointless or doubtful is said on standard error, and the result stays what it is. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { perNode } from "@kreplica/kernel";
import { preset, presets } from "@kreplica/machines";
import { afterAll, describe, expect, test } from "vitest";
import { remarksOn } from "../src/commands/remarks.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-remarks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tiny = preset("tiny-2-node")!;
const own = (name: string, fields: object): string => {
  writeFileSync(join(folder, `${name}.json`), JSON.stringify({ base: "tiny-2-node", name, ...fields }));
  return join(folder, `${name}.json`);
};
const single = own("Single", {
  nodes: [{ id: 0, memoryBytes: 2 ** 31 }],
  cpus: tiny.cpus.slice(0, 2),
  latencyNs: [[100]],
  bandwidthMBs: [[1000]],
  distance: [[10]],
});
const odd = own("odd_L3", {
  latencyNs: [
    [100, 90],
    [200, 100],
  ],
});
const NOTHING =
  "kreplica: Single has one node with memory: there is nothing to replicate, every policy is a single copy; tiny-2-node has such processors, and 2 nodes\n";
const NEARER =
  "kreplica: odd_L3: memory of node 1 is nearer to the CPUs of node 0 (90 ns) than their own (100 ns); check the matrix, its rows are nodes of CPUs\n";

test("of no machine that ships there is anything to say", () => {
  for (const machine of presets) expect(remarksOn(machine, perNode)).toEqual([]);
});

const guessed = own("guessed", { assumedTopology: "sockets, from distances" });
const GUESS =
  "kreplica: guessed: which nodes are one socket is a guess (`kreplica machine` shows it); a copy of /sys/devices/system with node and cpu, or JSON, says it\n";

test("sockets that are a guess are said to be one wherever a policy is asked about; machine shows the guess itself", async () => {
  expect((await invoke(["machine", guessed])).error).toBe("");
  expect(
    remarksOn(
      { ...tiny, assumedTopology: "sockets: one node is one", nodes: [tiny.nodes[0]!], latencyNs: [[100]] },
      perNode,
    ).filter((each) => each.includes("guess")),
  ).toEqual([]);
});

describe.each([
  ["guessed sockets", guessed, GUESS],
  ["one node", single, NOTHING],
  ["a nearer other node", odd, NEARER],
] as const)("%s", (_what, machine, said) => {
  test.each([
    ["boot"],
    ["tables"],
    ["patch", "--changes", "1"],
    ["policies", "--measure"],
    ["compare", "--test", "kill", "--no-work"],
  ])("%s", async (...words) => {
    const { code, out, error } = await invoke([...words, "--machine", machine, "--json"]);
    expect([words, code, error]).toEqual([words, 0, said]);
    JSON.parse(out);
  });
});

test("machine tells of the matrix, and takes a name with capitals", async () => {
  expect((await invoke(["machine", odd])).error).toBe(NEARER);
  const { code, out, error } = await invoke(["machine", single, "--json"]);
  expect([code, error, (JSON.parse(out) as { name: string }).name]).toEqual([0, "", "Single"]);
});

test("a single copy asked for on one node is no pointless question; compared with itself it is one", async () => {
  expect((await invoke(["boot", "--machine", single, "--policy", "single-copy"])).error).toBe("");
  const { code, error } = await invoke([
    "compare",
    "--machine",
    "tiny-2-node",
    "--test",
    "kill",
    "--no-work",
    "--policy",
    "single-copy",
  ]);
  expect([code, error]).toEqual([
    0,
    "kreplica: --policy single-copy is what every policy is compared with: both columns are the same kernel\n",
  ]);
});
