/**
 * Several inputs as one machine, on the command line: later ones refine earlier ones, and every number has its source.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { afterAll, expect, test } from "vitest";
import { invoke } from "../invoke.js";

const root = mkdtempSync(join(tmpdir(), "kreplica-several-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const fixture = (name: string): string => new URL(`../fixtures/machine/${name}`, import.meta.url).pathname;
const file = (name: string, text: string): string => {
  const path = join(root, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
};
const json = async (...words: string[]): Promise<MachineSpec> => {
  const { code, out, error } = await invoke(["machine", ...words, "--json"]);
  expect(code, error).toBe(0);
  return JSON.parse(out) as MachineSpec;
};
const lscpu = file(
  "lscpu.txt",
  `Architecture: x86_64
On-line CPU(s) list: 0-35
Thread(s) per core: 1
Core(s) per socket: 18
Socket(s): 2
Vendor ID: GenuineIntel
CPU family: 6
Model: 63
Address sizes: 46 bits physical, 48 bits virtual
L3 cache: 90 MiB (2 instances)
NUMA node0 CPU(s): 0-17
NUMA node1 CPU(s): 18-35
`,
);

test("lscpu and MLC together: nodes of the one, latencies of the other, each with its lines", async () => {
  const machine = await json(lscpu, fixture("haswell-2s.mlc.txt"));
  expect(machine.latencyNs).toEqual([
    [101, 132],
    [141.2, 98.8],
  ]);
  expect([machine.cpus.length, machine.l3.bytes, machine.cacheToCacheNs.sameSocket.value]).toEqual([
    36,
    45 << 20,
    42.1,
  ]);
  expect(machine.sources).toContain(`latencyNs: Intel MLC (${fixture("haswell-2s.mlc.txt")}:5-6)`);
  expect(machine.sources).toContain(`CPUs of nodes: lscpu (${lscpu}:11-12)`);
});

test("a preset first is refined by what follows; behind others it is refused", async () => {
  const machine = await json("epyc-7713-2s", fixture("haswell-2s.mlc.txt"));
  expect([machine.cpus.length, machine.latencyNs[0]![1], machine.distance[0]![1]]).toEqual([256, 132, 32]);
  expect(await invoke(["machine", lscpu, "tiny-2-node"])).toMatchObject({
    code: 2,
    error: expect.stringContaining("tiny-2-node: a whole machine, which would replace") as string,
  });
});

test("--machine may be given again, and means the same", async () => {
  const { code, out, error } = await invoke([
    ...["boot", "--policy", "per-node", "--json"],
    ...["--machine", lscpu, "--machine", fixture("haswell-2s.mlc.txt")],
  ]);
  expect(code, error).toBe(0);
  expect(out).toContain('"lscpu"');
}, 120_000);

test("a copy of sysfs as one of several tells its caches, and only the firmware's own latencies", async () => {
  const write = (path: string, text: string): string => file(`sys/${path}`, text);
  for (const [node, cpus, distance] of [
    [0, "0-1", "10 21"],
    [1, "2-3", "21 10"],
  ] as const) {
    write(`node/node${node}/cpulist`, `${cpus}\n`);
    write(`node/node${node}/distance`, `${distance}\n`);
    write(`node/node${node}/meminfo`, `Node ${node} MemTotal: 4194304 kB\n`);
    write(`node/node${node}/access1/initiators/read_latency`, "80\n");
    mkdirSync(join(root, `sys/node/node${node}/access1/initiators/node${node}`), { recursive: true });
  }
  for (let cpu = 0; cpu < 4; cpu++) {
    for (const [index, level, type, size, ways] of [
      [0, 1, "Data", "48K", 12],
      [1, 1, "Instruction", "32K", 8],
      [2, 2, "Unified", "2048K", 16],
      [3, 3, "Unified", "30M", 15],
    ] as const) {
      const cache = `cpu/cpu${cpu}/cache/index${index}`;
      write(`${cache}/level`, `${level}\n`);
      write(`${cache}/type`, `${type}\n`);
      write(`${cache}/size`, `${size}\n`);
      write(`${cache}/ways_of_associativity`, `${ways}\n`);
      write(`${cache}/shared_cpu_list`, level === 3 ? `${cpu & 2}-${cpu | 1}\n` : `${cpu}\n`);
    }
  }
  const other = file("model.txt", "Architecture: x86_64\nVendor ID: GenuineIntel\nCPU family: 6\nModel: 143\n");
  const machine = await json(other, join(root, "sys"));
  expect(machine.nodes.map(({ memoryBytes }) => memoryBytes)).toEqual([4 * 2 ** 30, 4 * 2 ** 30]);
  expect([machine.l1d, machine.l2, machine.l3].map(({ bytes, ways }) => [bytes, ways])).toEqual([
    [48 << 10, 12],
    [2 << 20, 16],
    [30 << 20, 15],
  ]);
  expect(machine.cpus.map(({ l3 }) => l3)).toEqual([0, 0, 1, 1]);
  expect(machine.latencyNs[0]![0]).toBe(80);
  expect(machine.sources.join("\n")).toMatch(/assumed, as xeon-8480-2s, the nearest to Intel family 6 model 143/);
  cpSync(join(root, "sys"), join(root, "broken"), { recursive: true });
  file("broken/cpu/cpu2/cache/index2/size", "lots\n");
  expect(await invoke(["machine", other, join(root, "broken")])).toMatchObject({
    code: 2,
    error: expect.stringMatching(/index2\/size:1: .*"lots" is not a size/) as string,
  });
});
