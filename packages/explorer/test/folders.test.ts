/** Folders that are dropped: a copied sysfs and tables of ACPI are machines, any other is refused with its reader. */
import { acpiTables, defaultPreset, folderOf, machineFromSysfs, preset, sysfsAccount } from "@kreplica/machines";
import { expect, test } from "vitest";
import { FIRST } from "../src/hash.js";
import { placeOfFiles } from "../src/model/files.js";
import { isPassedOver, isRead, LARGEST_ENTRY, type OpenedFolder } from "../src/model/folder.js";
import { machineOf } from "../src/model/own.js";
import { faultOfOpening } from "./fault.js";

const cpu = (id: number): Record<string, string> => ({
  [`cpu/cpu${id}/topology/physical_package_id`]: `${id >> 1}\n`,
  [`cpu/cpu${id}/topology/core_cpus_list`]: `${id}\n`,
  [`cpu/cpu${id}/cache/index0/level`]: "2\n",
  [`cpu/cpu${id}/cache/index0/type`]: "Unified\n",
  [`cpu/cpu${id}/cache/index0/size`]: "512K\n",
  [`cpu/cpu${id}/cache/index0/ways_of_associativity`]: "8\n",
  [`cpu/cpu${id}/cache/index1/level`]: "3\n",
  [`cpu/cpu${id}/cache/index1/type`]: "Unified\n",
  [`cpu/cpu${id}/cache/index1/size`]: "16M\n",
  [`cpu/cpu${id}/cache/index1/ways_of_associativity`]: "16\n",
  [`cpu/cpu${id}/cache/index1/shared_cpu_list`]: id < 2 ? "0-1\n" : "2-3\n",
});
const SYSFS: Record<string, string> = {
  "node/node0/cpulist": "0-1\n",
  "node/node0/distance": "10 21\n",
  "node/node0/meminfo": "Node 0 MemTotal:       1048576 kB\n",
  "node/node0/access1/initiators/read_latency": "97\n",
  "node/node0/access1/initiators/node0": "",
  "node/node1/cpumap": "c\n",
  "node/node1/distance": "21 10\n",
  "node/node1/meminfo": "Node 1 MemTotal:       2097152 kB\n",
  ...cpu(0),
  ...cpu(1),
  ...cpu(2),
  ...cpu(3),
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const folder = (name: string, files: Record<string, string | Uint8Array | undefined>): OpenedFolder => ({
  name,
  entries: new Map(Object.entries(files).map(([path, text]) => [path, typeof text === "string" ? bytes(text) : text])),
});

const fault = (...of: OpenedFolder[]): Promise<unknown> => faultOfOpening(of, FIRST);

test("a copied sysfs is a machine: nodes, memory, distances, sockets, what the firmware says", async () => {
  const { machine: text, nodes } = await placeOfFiles([folder("box", SYSFS)], FIRST);
  const machine = machineOf(text!);
  expect([machine.name, nodes]).toEqual(["box", 2]);
  expect(machine.cpus.map(({ node, socket }) => [node, socket])).toEqual([
    [0, 0],
    [0, 0],
    [1, 1],
    [1, 1],
  ]);
  expect(machine.nodes.map(({ memoryBytes }) => memoryBytes)).toEqual([2 ** 30, 2 ** 31]);
  expect([machine.distance[0]![1], machine.latencyNs[0]![0]]).toEqual([21, 97]);
});

test("together with what a tool prints it is one machine", async () => {
  const mlc = "\t\tNuma node\nNuma node\t     0\t     1\t\n       0\t  88.5\t 129.1\t\n       1\t 129.3\t  88.7\t\n";
  const text = `Measuring idle latencies (in ns)...\n${mlc}`;
  const file = { name: "mlc.txt", bytes: bytes(text), digest: "0".repeat(64) };
  const place = await placeOfFiles([folder("box", SYSFS), file], FIRST);
  const machine = machineOf(place.machine!);
  expect([machine.latencyNs[0]![1], machine.cpus.length]).toEqual([129.1, 4]);
});

test("all that its readers ask for is read, and lies where the page looks", () => {
  const asked = new Set<string>();
  const whole = folderOf("box", new Map(Object.entries(SYSFS)));
  const seen = { ...whole, text: (path: string) => whole.text((asked.add(path), path)) };
  machineFromSysfs(seen, "box", defaultPreset);
  sysfsAccount(seen);
  const plain = [...asked].map((path) => path.replace("node/../", ""));
  expect(plain).toEqual(expect.arrayContaining(Object.keys(SYSFS).filter((path) => !path.endsWith("/node0"))));
  for (const path of plain) {
    expect(isRead(path), path).toBe(true);
    const parts = path.split("/");
    for (let at = 1; at < parts.length - 1; at++) expect(isPassedOver(parts[at - 1]!, parts[at]!), path).toBe(false);
  }
  expect([isRead("cpu/cpu0/online"), isRead("node/node0/vmstat"), isRead("SSDT1")]).toEqual([false, false, false]);
  expect([isPassedOver("cpu0", "cpuidle"), isPassedOver("node0", "hugepages")]).toEqual([true, true]);
});

test("tables of ACPI in a folder are a machine", async () => {
  const e5 = preset("e5-2690v3-2s")!;
  const tables = [...acpiTables(e5)].map(([name, table]) => [name, table]);
  const others = { DSDT: undefined, "dynamic/SSDT1": undefined };
  const place = await placeOfFiles([folder("tables", { ...Object.fromEntries(tables), ...others })], FIRST);
  expect(machineOf(place.machine!).distance).toEqual(e5.distance);
  for (const [name, table] of acpiTables(e5)) {
    expect(isRead(name)).toBe(true);
    expect(table.length).toBeLessThan(LARGEST_ENTRY);
  }
});

test("what is wrong in one is told by its path, and a folder of anything else with what reads it", async () => {
  expect(await fault(folder("box", { ...SYSFS, "node/node1/distance": "21 ten\n" }))).toMatchObject({
    file: "box/node/node1/distance",
    field: "node1/distance",
  });
  expect(await fault(folder("box", { ...SYSFS, "node/node0/meminfo": undefined }))).toMatchObject({
    file: "box/node/node0/meminfo",
    reason: expect.stringContaining("not a small file") as string,
  });
  for (const [path, remedy] of [
    ["kernel/fs/ext4/ext4.ko.xz", "kreplica modules"],
    ["fork-1.kt.zst", "one of its recordings"],
    ["cells.journal", "kreplica results"],
    ["notes.txt", "/sys/devices/system/node"],
  ] as const)
    expect(await fault(folder("things", { [path]: undefined }))).toMatchObject({
      file: "things",
      remedy: expect.stringContaining(remedy) as string,
    });
});
