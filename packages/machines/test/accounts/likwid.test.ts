/// <reference types="node" />
/** What likwid-topology prints: threads, caches with -c and without, nodes; what is refused, with its line. */
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import { accountsFromText, checkMachine, machineFromAccounts } from "../../src/index.js";
import { likwid } from "./likwid-samples.js";

const machine = (text: string) => machineFromAccounts(accountsFromText(text, "likwid.txt"), "box");

test("threads, cores, sockets, caches and nodes, one of them memory alone", () => {
  const read = machine(likwid);
  expect(checkMachine(read)).toEqual([]);
  expect(read.cpus.map(({ core, socket, node, l3 }) => [core, socket, node, l3])).toEqual([
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [2, 1, 1, 1],
    [3, 1, 1, 1],
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [2, 1, 1, 1],
    [3, 1, 1, 1],
  ]);
  expect(read.assumedTopology).toBeUndefined();
  expect([read.l1d.bytes, read.l2.bytes, read.l3.bytes, read.l3.ways, read.l3.inclusion]).toEqual([
    32 << 10,
    256 << 10,
    30 << 20,
    20,
    "inclusive",
  ]);
  expect(read.distance).toEqual([
    [10, 21, 30],
    [21, 10, 40],
    [30, 40, 10],
  ]);
  // Rounded down to 2 MiB.
  expect(read.nodes.map(({ memoryBytes }) => memoryBytes / 2 ** 20)).toEqual([32_068, 32_068, 64_000]);
  expect([read.hertz.value, read.vendor]).toEqual([2.6e9, "intel"]);
  expect(read.sources).toContain("l3.ways: likwid-topology (likwid.txt:47)");
});

test("without -c sizes and groups alone; CRLF; version 4 has no column Die", () => {
  const short = likwid.replaceAll(
    /^(?:Type|Associativity|Number of sets|Cache line size|Cache type|Shared by threads):.*\n/gm,
    "",
  );
  const old = short
    .replace(/^HWThread.*$/m, "HWThread\tThread\t\tCore\t\tSocket\t\tAvailable")
    .replaceAll(/^(\d\s+\d\s+\d\s+)0\s+/gm, "$1");
  for (const text of [short, old, short.replaceAll("\n", "\r\n")]) {
    const read = machine(text);
    expect([read.l3.bytes, read.cpus[6]!.socket, read.cpus[6]!.core]).toEqual([30 << 20, 1, 2]);
    expect(read.sources.join("\n")).toContain("l3.ways");
  }
});

test.each([
  [
    "a row",
    likwid.replace(/^3 .*$/m, "3   0   x   0   1   *"),
    /^likwid\.txt:16: HWThread: "3 {3}0 {3}x {3}0 {3}1 {3}\*" is no row/,
  ],
  ["a thread twice", likwid.replace(/^3 .*$/m, "2   0   3   0   1   *"), /^likwid\.txt:16: HWThread/],
  ["a size", likwid.replace("30 MB", "30 XB"), /^likwid\.txt:45: Size: "30 XB" is not a size/],
  ["a node", likwid.replace(/^Domain:\t\t\t2/m, "Domain:\t\t\t64"), /Domain: "64" is no node from 0 to 63/],
  ["a distance", likwid.replace("10 21 30", "10 2 30"), /Distances: "2" is not a distance/],
  ["distances", likwid.replace("10 21 30", "10 21"), /Distances: 2 for 3 nodes/],
  [
    "groups",
    likwid.replace("( 0 4 1 5 ) ( 2 6 3 7 )", "( 0 4 1 5 ( 2 6 3 7 )"),
    /Cache groups: .* are no groups of CPUs/,
  ],
  ["no rows", likwid.replaceAll(/^\d .*\n/gm, ""), /HWThread: no row below/],
  [
    "another architecture",
    likwid.replace("Intel Xeon Haswell EN/EP/EX processor", "ARM Cortex A57"),
    /CPU type: "ARM Cortex A57": kreplica models x86-64/,
  ],
])("refused: %s", (_what, text, message) => {
  expect(() => accountsFromText(text, "likwid.txt")).toThrow(InputError);
  expect(() => accountsFromText(text, "likwid.txt")).toThrow(message);
});
