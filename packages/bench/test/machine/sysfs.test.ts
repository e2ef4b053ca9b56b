/// <reference types="node" />
/** Copies of /sys/devices/system/node: written to a directory, read back; what the firmware reports; what can be wrong. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { checkMachine } from "../../src/inputs/machine/check.js";
import { machineFromTools } from "../../src/inputs/machine/from-tools.js";
import { machineFromSysfs } from "../../src/inputs/machine/sysfs-nodes.js";
import { formatCpuList } from "../../src/inputs/cpu-list.js";
import { preset } from "../../src/inputs/presets/index.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-sysfs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const haswell = preset("e5-2690v3-2s")!;

/** @param files by path below the directory */
function directory(files: Record<string, string | undefined>): string {
  const path = join(root, `box${next++}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

const mask = (cpus: readonly number[]): string => {
  let value = 0n;
  for (const cpu of cpus) value |= 1n << BigInt(cpu);
  const digits = value.toString(16).padStart(16, "0");
  return `${digits.slice(0, 8)},${digits.slice(8)}\n`;
};
const range = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);
const meminfo = (id: number, kilobytes: number): string => `Node ${id} MemTotal:       ${kilobytes} kB\nNode ${id} MemFree:        12 kB\nNode ${id} HugePages_Total:     0\n`;
const haswellCpus = [[...range(0, 12), ...range(24, 36)], [...range(12, 24), ...range(36, 48)]] as const;
const haswellFiles = (): Record<string, string | undefined> => ({
  "node0/cpulist": "0-11,24-35\n", "node0/cpumap": mask(haswellCpus[0]), "node0/distance": "10 21\n", "node0/meminfo": meminfo(0, 65_803_280),
  "node1/cpulist": "12-23,36-47\n", "node1/cpumap": mask(haswellCpus[1]), "node1/distance": "21 10\n", "node1/meminfo": meminfo(1, 66_055_224),
  online: "0-1\n", possible: "0-1\n", has_cpu: "0-1\n",
});

test("says the same as numactl of the same machine", () => {
  const text = `node 0 cpus: ${haswellCpus[0].join(" ")}\nnode 0 size: 64261 MB\nnode 1 cpus: ${haswellCpus[1].join(" ")}\nnode 1 size: 64507 MB\nnode distances:\nnode 0 1\n0: 10 21\n1: 21 10\n`;
  const numactl = machineFromTools(text, "f", "box", haswell);
  const sysfs = machineFromSysfs(directory(haswellFiles()), "box", haswell);
  expect(checkMachine(sysfs)).toEqual([]);
  for (const field of ["nodes", "cpus", "distance", "latencyNs", "bandwidthMBs", "l3", "costs"] as const) expect(sysfs[field], field).toEqual(numactl[field]);
});

test("the list or the mask is enough, whatever the gaps in the ids, wherever in the tree the directory is", () => {
  const drawn = fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 4, size: "max" }).chain((ids) => fc.tuple(
    fc.constant([...ids].sort((a, b) => a - b)), fc.array(fc.nat(ids.length - 1), { minLength: 1, maxLength: 40, size: "max" }),
    fc.array(fc.integer({ min: 11, max: 254 }), { minLength: 16, maxLength: 16 }), fc.constantFrom("cpulist", "cpumap", "both"), fc.constantFrom("", "node/", "system/node/", "sys/devices/system/node/"),
  ));
  fc.assert(fc.property(drawn, ([ids, owners, far, which, prefix]) => {
    const cpus = ids.map((_, i) => owners.flatMap((owner, cpu) => (owner === i ? [cpu] : [])));
    const distance = ids.map((_, i) => ids.map((_unused, j) => (i === j ? 10 : far[i * 4 + j]!)));
    const files: Record<string, string> = {};
    for (const [i, id] of ids.entries()) {
      if (which !== "cpumap") files[`${prefix}node${id}/cpulist`] = `${formatCpuList(cpus[i]!)}\n`;
      if (which !== "cpulist") files[`${prefix}node${id}/cpumap`] = mask(cpus[i]!);
      files[`${prefix}node${id}/distance`] = `${distance[i]!.join(" ")}\n`;
      files[`${prefix}node${id}/meminfo`] = meminfo(id, 2048 * (id + 1));
    }
    const machine = machineFromSysfs(directory(files), "box", haswell);
    expect(machine.nodes).toEqual(ids.map((id) => ({ id, memoryBytes: 2 ** 21 * (id + 1) })));
    expect(machine.distance).toEqual(distance);
    expect(ids.map((id) => machine.cpus.filter((cpu) => cpu.node === id).map((cpu) => cpu.id))).toEqual(cpus);
  }), { numRuns: 40 });
});

test("what the firmware reports of a memory stands for its initiators, and keeps its ratio for the others", () => {
  const plain = machineFromSysfs(directory(haswellFiles()), "box", haswell);
  const files = { ...haswellFiles(), "node1/access0/initiators/read_latency": "120\n", "node1/access0/initiators/read_bandwidth": "40000\n", "node1/access0/initiators/node1/cpulist": "" };
  const machine = machineFromSysfs(directory(files), "box", haswell);
  expect(machine.latencyNs[1]![1]).toBe(120);
  expect(machine.latencyNs[0]![1]! / 120).toBeCloseTo(plain.latencyNs[0]![1]! / plain.latencyNs[1]![1]!, 2);
  expect(machine.latencyNs.map((row) => row[0])).toEqual(plain.latencyNs.map((row) => row[0]));
  expect(machine.bandwidthMBs[1]![1]).toBe(40_000);
  expect(machine.bandwidthMBs[0]![1]).toBeLessThan(40_000);
  // Lost links: the nearest CPUs are meant. 0: the firmware does not know.
  const lost = { ...haswellFiles(), "node1/access0/initiators/read_latency": "120\n" };
  expect(machineFromSysfs(directory(lost), "box", haswell).latencyNs).toEqual(machine.latencyNs);
  const unknown = { ...haswellFiles(), "node1/access0/initiators/read_latency": "0\n", "node1/access0/initiators/read_bandwidth": "40000\n" };
  expect(machineFromSysfs(directory(unknown), "box", haswell).latencyNs).toEqual(plain.latencyNs);
});

test("links inside the copy are followed, links to nowhere are as if absent", () => {
  const path = directory({ "real/cpulist": "0-1\n", "real/distance": "10\n", "real/meminfo": meminfo(0, 1 << 20) });
  symlinkSync("real", join(path, "node0"));
  symlinkSync("nowhere", join(path, "real", "cpumap"));
  expect(machineFromSysfs(path, "box", haswell).cpus.length).toBe(2);
});

describe("faults name the file and the field", () => {
  test.each<[string, Record<string, string | undefined>, RegExp]>([
    ["empty", Object.fromEntries(Object.keys(haswellFiles()).map((name) => [name, undefined])), /no node0, node1 \.\.\. in this directory/],
    ["no CPUs told", { "node0/cpulist": undefined, "node0/cpumap": undefined }, /node0\/cpulist:1: node0\/cpulist: missing, and so is cpumap/],
    ["bad list", { "node0/cpulist": "0-x\n" }, /node0\/cpulist:1: node0\/cpulist: "0-x" is not a list/],
    ["bad mask", { "node0/cpumap": "zz\n" }, /node0\/cpumap:1: node0\/cpumap: "zz" is not a mask/],
    ["they differ", { "node0/cpulist": "0-10\n" }, /node0\/cpumap:1: node0\/cpumap: names other CPUs than cpulist/],
    ["too high", { "node0/cpulist": "5000\n", "node0/cpumap": undefined }, /CPU numbers go to 4095/],
    ["no distance", { "node1/distance": undefined }, /node1\/distance:1: node1\/distance: missing/],
    ["bad distance", { "node1/distance": "21 x\n" }, /"21 x" is not a row of distances/],
    ["distance below 10", { "node1/distance": "9 10\n" }, /is not a row of distances/],
    ["too many", { "node1/distance": "21 10 30\n" }, /node1\/distance:1: node1\/distance: 3 distances for 2 nodes/],
    ["no meminfo", { "node1/meminfo": undefined }, /node1\/meminfo:1: node1\/meminfo: missing/],
    ["no total", { "node1/meminfo": "Node 1 MemFree: 3 kB\n" }, /no MemTotal in kB/],
    ["bad latency", { "node1/access0/initiators/read_latency": "fast\n" }, /read_latency:1: node1\/access0\/initiators\/read_latency: "fast" is not a number. Write nanoseconds/],
    ["node id", { "node64/cpulist": "\n" }, /node64: node ids go from 0 to 63/],
    ["a directory for a file", { "node1/meminfo": undefined, "node1/meminfo/x": "" }, /node1\/meminfo: cannot be read/],
    ["an endless file", { "node1/meminfo": "x".repeat(70_000) }, /node1\/meminfo: cannot be read/],
  ])("%s", (_what, change, message) => {
    expect(() => machineFromSysfs(directory({ ...haswellFiles(), ...change }), "box", haswell)).toThrow(message);
  });
});
