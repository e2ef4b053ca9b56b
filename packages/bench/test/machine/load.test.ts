/// <reference types="node" />
/**
 * What `--machine` names: a preset, a file told by its content, a directory, or nothing; and what only the whole
 * machine shows to be wrong.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { preset } from "@kreplica/machines";
import { afterAll, expect, test } from "vitest";
import { loadMachine } from "../../src/inputs/machine/load.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-load-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const fixture = (name: string): string => readFileSync(new URL(`../fixtures/machine/${name}`, import.meta.url), "utf8");
const file = (name: string, text: string): string => {
  writeFileSync(join(root, name), text);
  return join(root, name);
};

test("the format is told by the content, never by the name", () => {
  expect(loadMachine(file("My Box (2).json", fixture("haswell-2s.numactl.txt"))).name).toBe("my-box-2");
  expect(loadMachine(file("box.txt", `\uFEFF \r\n{"base": "tiny-2-node"}`)).l2).toEqual(preset("tiny-2-node")!.l2);
  expect(loadMachine(file("box", fixture("haswell-2s.mlc.txt"))).latencyNs[1]).toEqual([141.2, 98.8]);
  expect(loadMachine("tiny-2-node")).toBe(preset("tiny-2-node"));
});

test.each<[string, string, RegExp]>([
  [
    "memoryless.txt",
    "node 0 cpus: 0\nnode 0 size: 1 MB\nnode distances:\nnode 0\n0: 10\n",
    /memoryless\.txt: nodes: no node has memory\. Give/,
  ],
  [
    "no-cpus.txt",
    "node 0 cpus:\nnode 0 size: 512 MB\nnode distances:\nnode 0\n0: 10\n",
    /no-cpus\.txt: cpus: no CPU\. Give/,
  ],
  [
    "too-much.txt",
    "node 0 cpus: 0\nnode 0 size: 99999999 MB\n",
    /too-much\.txt: nodes\[0\]\.memoryBytes: memory of node 0 ends at .* the limit of 46 physical address bits/,
  ],
  [
    "unreachable.txt",
    fixture("genoa-cxl.numactl.txt").replace("10   12   32   32   50", "10   12   32   32  255"),
    /unreachable\.txt:\d+: node distances, row 0, column 4: node 4 has memory that the CPUs of node 0 cannot reach \(255\)/,
  ],
  ["twice.txt", "node 0 cpus: 0 1 1\nnode 0 size: 512 MB\n", /twice\.txt:1: node 0 cpus: CPU 1 is listed twice/],
  ["empty.txt", " \n", /empty\.txt: empty\. Known are/],
  ["letter.txt", "Dear kreplica,\n", /letter\.txt: not a machine in any known format/],
  ["big.txt", "x".repeat(3 << 20), /big\.txt: larger than 2 MiB/],
])("%s is refused", (name, text, message) => {
  expect(() => loadMachine(file(name, text))).toThrow(message);
});

test("a JSON file names its own base", () => {
  expect(() => loadMachine(file("own.json", "{}"), "tiny-2-node")).toThrow(
    /^--base: a JSON machine names its own base\. Write "base": "NAME" in the file\./,
  );
});

test("a file that cannot be read says why", () => {
  expect(() => loadMachine(join(root, "absent"))).toThrow(/absent: neither a preset nor a file/);
  expect(() => loadMachine("tiny-2-nod")).toThrow("tiny-2-nod: neither a preset nor a file. Did you mean tiny-2-node?");
});
