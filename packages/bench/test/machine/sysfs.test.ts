/// <reference types="node" />
/**
 * Copies of /sys/devices/system/node: written to a directory, read back; what the firmware reports; what can be wrong.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86";
import { formatCpuList } from "@kreplica/inputs";
import { checkMachine, machineFromSysfs as machineFromFolder, machineFromTools, preset } from "@kreplica/machines";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { diskFolder } from "../../src/inputs/machine/disk-folder.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-sysfs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let next = 0;
const machineFromSysfs = (path: string, ...other: [string, MachineSpec]): MachineSpec =>
  machineFromFolder(diskFolder(path), ...other);
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
const meminfo = (id: number, kilobytes: number): string =>
  `Node ${id} MemTotal:       ${kilobytes} kB\nNode ${id} MemFree:        12 kB\nNode ${id} HugePages_Total:     0\n`;
const haswellCpus = [
  [...range(0, 12), ...range(24, 36)],
  [...range(12, 24), ...range(36, 48)],
] as const;
const haswellFiles = (): Record<string, string | undefined> => ({
  "node0/cpulist": "0-11,24-35\n",
  "node0/cpumap": mask(haswellCpus[0]),
  "node0/distance": "10 21\n",
  "node0/meminfo": meminfo(0, 65_803_280),
  "node1/cpulist": "12-23,36-47\n",
  "node1/cpumap": mask(haswellCpus[1]),
  "node1/distance": "21 10\n",
  "node1/meminfo": meminfo(1, 66_055_224),
  online: "0-1\n",
  possible: "0-1\n",
  has_cpu: "0-1\n",
});

test("says the same as numactl of the same machine", () => {
  const text = `node 0 cpus: ${haswellCpus[0].join(" ")}\nnode 0 size: 64261 MB\nnode 1 cpus: ${haswellCpus[1].join(" ")}\nnode 1 size: 64507 MB\nnode distances:\nnode 0 1\n0: 10 21\n1: 21 10\n`;
  const numactl = machineFromTools(text, "f", "box", haswell);
  const sysfs = machineFromSysfs(directory(haswellFiles()), "box", haswell);
  expect(checkMachine(sysfs)).toEqual([]);
  for (const field of ["nodes", "cpus", "distance", "latencyNs", "bandwidthMBs", "l3", "costs"] as const)
    expect(sysfs[field], field).toEqual(numactl[field]);
});

test("the list or the mask is enough, whatever the gaps in the ids, wherever in the tree the directory is", () => {
  const drawn = fc
    .uniqueArray(fc.nat(20), { minLength: 1, maxLength: 4, size: "max" })
    .chain((ids) =>
      fc.tuple(
        fc.constant([...ids].sort((a, b) => a - b)),
        fc.array(fc.nat(ids.length - 1), { minLength: 1, maxLength: 40, size: "max" }),
        fc.array(fc.integer({ min: 11, max: 254 }), { minLength: 16, maxLength: 16 }),
        fc.constantFrom("cpulist", "cpumap", "both"),
        fc.constantFrom("", "node/", "system/node/", "sys/devices/system/node/"),
      ),
    );
  fc.assert(
    fc.property(drawn, ([ids, owners, far, which, prefix]) => {
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
    }),
    { numRuns: 40 },
  );
});

test("what the firmware reports of a memory stands for its initiators, and keeps its ratio for the others", () => {
  const plain = machineFromSysfs(directory(haswellFiles()), "box", haswell);
  const files = {
    ...haswellFiles(),
    "node1/access0/initiators/read_latency": "120\n",
    "node1/access0/initiators/read_bandwidth": "40000\n",
    "node1/access0/initiators/node1/cpulist": "",
  };
  const machine = machineFromSysfs(directory(files), "box", haswell);
  expect(machine.latencyNs[1]![1]).toBe(120);
  expect(machine.latencyNs[0]![1]! / 120).toBeCloseTo(plain.latencyNs[0]![1]! / plain.latencyNs[1]![1]!, 2);
  expect(machine.latencyNs.map((row) => row[0])).toEqual(plain.latencyNs.map((row) => row[0]));
  expect(machine.bandwidthMBs[1]![1]).toBe(40_000);
  expect(machine.bandwidthMBs[0]![1]).toBeLessThan(40_000);
  // Lost links: the nearest CPUs are meant. 0: the firmware does not know.
  const lost = { ...haswellFiles(), "node1/access0/initiators/read_latency": "120\n" };
  expect(machineFromSysfs(directory(lost), "box", haswell).latencyNs).toEqual(machine.latencyNs);
  const unknown = {
    ...haswellFiles(),
    "node1/access0/initiators/read_latency": "0\n",
    "node1/access0/initiators/read_bandwidth": "40000\n",
  };
  expect(machineFromSysfs(directory(unknown), "box", haswell).latencyNs).toEqual(plain.latencyNs);
});

describe("classes of access", () => {
  /** CPUs and memory in node 0, a device without either in node 1, memory alone in node 2. */
  const device = (): Record<string, string | undefined> => ({
    "node0/cpulist": "0-3\n",
    "node0/distance": "10 13 15\n",
    "node0/meminfo": meminfo(0, 1 << 22),
    "node1/cpulist": "\n",
    "node1/distance": "13 10 16\n",
    "node1/meminfo": meminfo(1, 0),
    "node2/cpulist": "\n",
    "node2/distance": "15 16 10\n",
    "node2/meminfo": meminfo(2, 1 << 22),
    "node2/access0/initiators/read_latency": "7\n",
    "node2/access0/initiators/read_bandwidth": "400000\n",
    "node2/access0/initiators/node1/online": "",
  });
  const cpus = {
    "node2/access1/initiators/read_latency": "240\n",
    "node2/access1/initiators/read_bandwidth": "21000\n",
    "node2/access1/initiators/node0/online": "",
  };
  const read = (files: Record<string, string | undefined>) => machineFromSysfs(directory(files), "box", haswell);

  test("the CPUs' own class counts, not the nearer one of a device without CPUs", () => {
    const machine = read({ ...device(), ...cpus });
    expect(checkMachine(machine)).toEqual([]);
    expect([machine.latencyNs[0]![2], machine.bandwidthMBs[0]![2]]).toEqual([240, 21_000]);
    expect(machine.sources.join("\n")).not.toContain("passed over");
  });

  test("a device's class alone is passed over, and that is said: distances count", () => {
    const plain = read({
      ...device(),
      "node2/access0/initiators/read_latency": undefined,
      "node2/access0/initiators/read_bandwidth": undefined,
    });
    const lost = { ...device(), "node2/access0/initiators/node1/online": undefined };
    for (const files of [device(), lost]) {
      const machine = read(files);
      expect([machine.latencyNs, machine.bandwidthMBs]).toEqual([plain.latencyNs, plain.bandwidthMBs]);
      expect(machine.sources.join("\n")).toContain(
        "passed over: what the firmware reports of the memory of node 2, since it is seen from devices without CPUs",
      );
    }
  });

  test("where both classes name CPUs, the CPUs' own counts", () => {
    const both = { ...device(), ...cpus, "node2/access0/initiators/node0/online": "" };
    expect([read(both).latencyNs[0]![2], read(both).bandwidthMBs[0]![2]]).toEqual([240, 21_000]);
  });

  test("where the CPUs' class leaves a figure out, class 0 gives it only if its initiators have CPUs", () => {
    const half = { ...device(), ...cpus, "node2/access1/initiators/read_latency": "0\n" };
    expect(read(half).latencyNs[0]![2]).toBe(
      read({ ...device(), "node2/access0/initiators/read_latency": undefined }).latencyNs[0]![2],
    );
    expect(read(half).bandwidthMBs[0]![2]).toBe(21_000);
    const near = {
      ...half,
      "node2/access0/initiators/node1/online": undefined,
      "node2/access0/initiators/node0/online": "",
    };
    expect(read(near).latencyNs[0]![2]).toBe(7);
  });
});

describe("the CPUs' topology beside the nodes", () => {
  /** Two packages of two nodes each, threads numbered in turns: what no rule could guess. */
  const tree = (
    topology: (cpu: number) => Record<string, string>,
    prefix = "cpu",
  ): Record<string, string | undefined> => {
    const files: Record<string, string | undefined> = {};
    for (const id of [0, 1, 2, 3]) {
      files[`node/node${id}/cpulist`] = `${[0, 4, 8, 12].map((first) => first + id).join(",")}\n`;
      files[`node/node${id}/distance`] = `${[0, 1, 2, 3].map((to) => (to === id ? 10 : 20)).join(" ")}\n`;
      files[`node/node${id}/meminfo`] = meminfo(id, 1 << 22);
    }
    for (let cpu = 0; cpu < 16; cpu++)
      for (const [name, text] of Object.entries(topology(cpu)))
        files[`${prefix}/cpu${cpu}/topology/${name}`] = `${text}\n`;
    return files;
  };
  const listed = (cpu: number): Record<string, string> => ({
    physical_package_id: `${(cpu & 1) * 36}`,
    core_cpus_list: `${cpu & ~8},${cpu | 8}`,
    core_id: `${cpu}`,
  });
  const read = (files: Record<string, string | undefined>) => machineFromSysfs(directory(files), "box", haswell);

  test("gives sockets and cores, and then nothing is a guess", () => {
    const machine = read(tree(listed));
    expect(checkMachine(machine)).toEqual([]);
    expect(machine.cpus.map(({ id, socket }) => socket === (id & 1))).toEqual(Array.from({ length: 16 }, () => true));
    expect(machine.cpus.map(({ core }, id) => core === machine.cpus[id ^ 8]!.core)).toEqual(
      Array.from({ length: 16 }, () => true),
    );
    expect(new Set(machine.cpus.map(({ core }) => core)).size).toBe(8);
    expect([machine.assumedTopology, machine.sources.join("\n")]).toEqual([
      undefined,
      expect.stringContaining("sockets and cores: cpuN/topology there"),
    ]);
    // The same without the lists: cores by their id in the package; and by the older name of the list.
    const ids = read(tree((cpu) => ({ physical_package_id: `${cpu & 1}`, core_id: `${(cpu & 7) >> 1}` })));
    expect(ids.cpus).toEqual(machine.cpus);
    const older = read(
      tree((cpu) => {
        const { core_cpus_list, ...rest } = listed(cpu);
        return { ...rest, thread_siblings_list: core_cpus_list! };
      }),
    );
    expect(older.cpus).toEqual(machine.cpus);
  });

  test("is found over the nodes' own links, which a plain copy keeps", () => {
    const path = directory(tree(listed, "elsewhere"));
    expect(machineFromSysfs(path, "box", haswell).assumedTopology).toContain("sockets, from distances");
    for (let cpu = 0; cpu < 16; cpu++)
      symlinkSync(`../../elsewhere/cpu${cpu}`, join(path, `node/node${cpu & 3}/cpu${cpu}`));
    expect(machineFromSysfs(path, "box", haswell).cpus).toEqual(read(tree(listed)).cpus);
  });

  test("two packages in one node: sockets divide it, and its L3s", () => {
    const files: Record<string, string> = {
      "node/node0/cpulist": "0-3\n",
      "node/node0/distance": "10\n",
      "node/node0/meminfo": meminfo(0, 1 << 22),
    };
    for (let cpu = 0; cpu < 4; cpu++)
      Object.assign(files, {
        [`cpu/cpu${cpu}/topology/physical_package_id`]: `${cpu >> 1}\n`,
        [`cpu/cpu${cpu}/topology/core_id`]: `${cpu & 1}\n`,
      });
    expect(read(files).cpus.map(({ socket, core, l3 }) => [socket, core, l3])).toEqual([
      [0, 0, 0],
      [0, 1, 0],
      [1, 2, 1],
      [1, 3, 1],
    ]);
  });

  test("a package the firmware does not know, or of some CPUs only: sockets are a guess", () => {
    expect(read(tree((cpu) => ({ ...listed(cpu), physical_package_id: "-1" }))).assumedTopology).toBeDefined();
    const some = tree(listed);
    delete some["cpu/cpu7/topology/physical_package_id"];
    expect(read(some).assumedTopology).toBeDefined();
  });

  test.each<[string, Record<string, string>, RegExp]>([
    [
      "no number of a package",
      { physical_package_id: "one" },
      /physical_package_id:1: .*"one" is not the number of a package/,
    ],
    ["no list", { core_cpus_list: "3-1" }, /core_cpus_list:1: .*is not a list of CPUs/],
    ["another core's list", { core_cpus_list: "1,9" }, /core_cpus_list:1: .*does not name CPU 0 itself/],
  ])("%s is refused", (_what, change, message) => {
    expect(() => read(tree((cpu) => (cpu === 0 ? { ...listed(0), ...change } : listed(cpu))))).toThrow(message);
  });
});

test("links that lead in circles are no trap: nothing is searched", () => {
  const files = haswellFiles();
  const path = directory({ ...files, "node0/access0/initiators/read_latency": "90\n" });
  for (const [to, name] of [
    ["..", "node0/cpu0"],
    ["node0", "node0/loop"],
    [".", "self"],
    ["../node0", "node0/node0"],
    ["cpu1", "node0/cpu1"],
    ["../../node0", "node0/access0/initiators/node0"],
    ["access1", "node0/access1"],
  ] as const)
    symlinkSync(to, join(path, name));
  const machine = machineFromSysfs(path, "box", haswell);
  expect([machine.cpus.length, machine.latencyNs[0]![0]]).toEqual([48, 90]);
  const circle = directory({ online: "0\n" });
  symlinkSync("node0", join(circle, "node0"));
  expect(() => machineFromSysfs(circle, "box", haswell)).toThrow(/node0\/cpulist:1: node0\/cpulist: missing/);
});

test("the copy that docs/machines.md advises ends, and is read; cp -rL is advised nowhere", ({ skip }) => {
  const repository = new URL("../../../../", import.meta.url);
  const advice = [
    ...readFileSync(new URL("docs/machines.md", repository), "utf8").matchAll(/^ {4}((?:mkdir|cp) .*?)(?: +#.*)?$/gm),
  ].map(([, command]) => command!);
  expect(advice).toEqual(["mkdir box", "cp -r /sys/devices/system/node /sys/devices/system/cpu box"]);
  for (const file of [
    "packages/machines/src/sysfs/files.ts",
    "packages/machines/src/sysfs/nodes.ts",
    "packages/bench/src/commands/machine.ts",
    "README.md",
    "docs/machines.md",
  ])
    expect(readFileSync(new URL(file, repository), "utf8"), file).not.toMatch(/cp -\w*L\w* \/sys/);
  if (!existsSync("/sys/devices/system/node/node0")) {
    console.error("SKIPPED: no /sys/devices/system/node here to copy");
    return skip();
  }
  const folder = directory({});
  // Complaints about unreadable files are expected: the copy's exit code says nothing.
  for (const command of advice) spawnSync("sh", ["-c", command], { cwd: folder, timeout: 100_000 });
  const copied = machineFromSysfs(join(folder, "box"), "box", haswell);
  expect(checkMachine(copied)).toEqual([]);
  const live = machineFromSysfs("/sys/devices/system/node", "box", haswell);
  expect([copied.cpus, copied.nodes, copied.distance, copied.assumedTopology]).toEqual([
    live.cpus,
    live.nodes,
    live.distance,
    live.assumedTopology,
  ]);
});

test("links inside the copy are followed, links to nowhere are as if absent", () => {
  const path = directory({ "real/cpulist": "0-1\n", "real/distance": "10\n", "real/meminfo": meminfo(0, 1 << 20) });
  symlinkSync("real", join(path, "node0"));
  symlinkSync("nowhere", join(path, "real", "cpumap"));
  expect(machineFromSysfs(path, "box", haswell).cpus.length).toBe(2);
});

describe("faults name the file and the field", () => {
  test.each<[string, Record<string, string | undefined>, RegExp]>([
    [
      "empty",
      Object.fromEntries(Object.keys(haswellFiles()).map((name) => [name, undefined])),
      /no node0, node1 \.\.\. in this directory/,
    ],
    [
      "no CPUs told",
      { "node0/cpulist": undefined, "node0/cpumap": undefined },
      /node0\/cpulist:1: node0\/cpulist: missing, and so is cpumap/,
    ],
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
    [
      "bad latency",
      { "node1/access0/initiators/read_latency": "fast\n" },
      /read_latency:1: node1\/access0\/initiators\/read_latency: "fast" is not a number. Write nanoseconds/,
    ],
    ["node id", { "node64/cpulist": "\n" }, /node64: node ids go from 0 to 63/],
    ["a directory for a file", { "node1/meminfo": undefined, "node1/meminfo/x": "" }, /node1\/meminfo: cannot be read/],
    ["an endless file", { "node1/meminfo": "x".repeat(70_000) }, /node1\/meminfo: cannot be read/],
  ])("%s", (_what, change, message) => {
    expect(() => machineFromSysfs(directory({ ...haswellFiles(), ...change }), "box", haswell)).toThrow(message);
  });

  test("all of them at once, of every node", () => {
    const change = {
      "node0/cpulist": "0-x\n",
      "node0/meminfo": "nothing\n",
      "node1/distance": "21 x\n",
      "node1/access0/initiators/read_latency": "fast\n",
    };
    let message = "";
    try {
      machineFromSysfs(directory({ ...haswellFiles(), ...change }), "box", haswell);
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message.split("\n").map((line) => /box\d+\/([^:]+):1:/.exec(line)?.[1])).toEqual([
      "node0/cpulist",
      "node0/meminfo",
      "node1/distance",
      "node1/access0/initiators/read_latency",
    ]);
  });
});
