/** The machines that come with kreplica: complete, consistent, and each number with a source. */
import { formatCpuList } from "@kreplica/inputs";
import { describe, expect, test } from "vitest";
import { assemble } from "@kreplica/di";
import { account, CounterLayout, hwX86, Kind, Machine, type MachineSpec, Source } from "@kreplica/hw-x86";
import { Interpreter, MachinePort } from "@kreplica/hw-x86/isa";
import { checkMachine, sourcedNumbers } from "../src/check.js";
import { preset, presets } from "../src/presets/index.js";

const named = (name: string): MachineSpec => preset(name)!;
const cpusOf = (machine: MachineSpec, node: number): string =>
  formatCpuList(machine.cpus.filter((cpu) => cpu.node === node).map((cpu) => cpu.id));
const distinct = (machine: MachineSpec, field: "core" | "l3" | "socket" | "node"): number =>
  new Set(machine.cpus.map((cpu) => cpu[field])).size;

test("the machines of the issue are there, and their names are unique", () => {
  const names = presets.map((each) => each.name);
  expect(names).toEqual(expect.arrayContaining(["e5-2690v3-2s", "epyc-7713-2s", "xeon-8280-4s", "tiny-2-node"]));
  expect(presets.some((each) => distinct(each, "socket") === 8)).toBe(true);
  expect(new Set(names).size).toBe(names.length);
});

describe.each(presets.map((each) => [each.name, each] as const))("%s", (_name, machine) => {
  test("nothing contradicts", () => {
    expect(checkMachine(machine)).toEqual([]);
  });

  test("every number names a source, and one that is recalled, assumed or invented says so", () => {
    const numbers = [...sourcedNumbers(machine)];
    expect(numbers.length).toBeGreaterThanOrEqual(14);
    for (const { path, number } of numbers) {
      expect(number.source.length, path.join(".")).toBeGreaterThan(10);
      if (/^(recalled|assumed|invented)/.test(number.source)) expect(number.provisional, path.join(".")).toBe(true);
    }
    if (/recalled|assumed|invented/.test(machine.interconnectSource)) expect(machine.provisional).toBe(true);
    expect(machine.sources.length).toBeGreaterThan(0);
  });

  test("a node's own memory is the nearest, and matrices follow the distances", () => {
    for (const [i, row] of machine.distance.entries()) {
      for (const [j, distance] of row.entries()) {
        for (const [k, other] of row.entries()) {
          if (distance < other)
            expect(machine.latencyNs[i]![j]!, `${i} to ${j} and ${k}`).toBeLessThan(machine.latencyNs[i]![k]!);
        }
      }
    }
  });
});

test("an EPYC is an AMD processor, everything else an Intel one, and executed code is told so", () => {
  for (const machine of presets) {
    const vendor = machine.name.startsWith("epyc-") ? "amd" : "intel";
    expect(machine.vendor, machine.name).toBe(vendor);
    const port = new MachinePort(assemble([hwX86(machine)]).get(Machine), machine.cpus[0]!.id);
    port.cpuid(0, 0);
    expect(
      Buffer.from(Int32Array.of(port.data[1]!, port.data[3]!, port.data[2]!).buffer).toString("latin1"),
      machine.name,
    ).toBe(vendor === "amd" ? "AuthenticAMD" : "GenuineIntel");
    expect(new Interpreter(port).context.amd, machine.name).toBe(vendor === "amd");
  }
});

test("machines of one family share every cost", () => {
  expect(named("xeon-8280-4s").costs).toBe(named("xeon-8260-8s").costs);
  expect(named("recorded-guest").costs).toBe(named("e5-2690v3-2s").costs);
});

// Oracle: InstLatx64 CPUID dumps: of the processors here Sapphire Rapids, Emerald Rapids and Genoa report 57 bits
// (CPUID 8000_0008, linear-address bits).
test("57-bit addresses where the processor has them; the help's example of five levels names such a machine", () => {
  expect(presets.filter((each) => each.virtualBits === 57).map((each) => each.name)).toEqual([
    "epyc-9654-2s",
    "xeon-8480-2s",
    "xeon-8592-2s",
  ]);
  const machine = named("xeon-8480-2s");
  expect([
    distinct(machine, "socket"),
    distinct(machine, "core"),
    machine.l3.bytes / 56,
    machine.l1d.bytes / machine.l1d.ways / 64,
    machine.physicalBits,
  ]).toEqual([2, 112, 1.875 * 2 ** 20, 64, 52]);
});

// Oracle: lscpu of such a box, LKML 20210506165328.GO2633526@linux.vnet.ibm.com.
test("e5-2690v3-2s is the box whose lscpu was posted", () => {
  const machine = named("e5-2690v3-2s");
  expect([cpusOf(machine, 0), cpusOf(machine, 1)]).toEqual(["0-11,24-35", "12-23,36-47"]);
  expect([distinct(machine, "socket"), distinct(machine, "core"), machine.cpus.length]).toEqual([2, 24, 48]);
  const cores = distinct(machine, "core");
  const inAll = [
    machine.l1d.bytes * cores,
    machine.l1i.bytes * cores,
    machine.l2.bytes * cores,
    machine.l3.bytes * distinct(machine, "l3"),
  ];
  expect(inAll).toEqual([768 << 10, 768 << 10, 6 << 20, 60 << 20]);
  expect(machine.l3.bytes / machine.l3.ways / 64).toBe(24576);
  expect([machine.physicalBits, machine.virtualBits]).toEqual([46, 48]);
});

test("two-socket servers of five generations: which L3 includes what L1 and L2 hold, how large an L2, how many L3s", () => {
  const of = (name: string): unknown[] => {
    const machine = named(name);
    return [
      machine.l3.inclusion,
      machine.l2.bytes >> 10,
      machine.l3.bytes >> 20,
      distinct(machine, "l3"),
      distinct(machine, "core"),
      machine.nodes.length,
    ];
  };
  expect(of("e5-2682v4-2s")).toEqual(["inclusive", 256, 40, 2, 32, 2]);
  expect(of("xeon-8180-2s")).toEqual(["victim", 1024, 38, 2, 56, 2]);
  expect(of("xeon-8592-2s")).toEqual(["victim", 2048, 320, 2, 128, 2]);
  expect(of("epyc-9654-2s")).toEqual(["victim", 1024, 32, 24, 192, 2]);
});

// Oracle: Intel MLC's matrices of such machines, as posted.
test("measured latencies are the posted ones; what is taken from another machine is provisional", () => {
  expect(named("e5-2682v4-2s").latencyNs).toEqual([
    [85.0, 136.3],
    [137.2, 84.2],
  ]);
  expect(named("xeon-8180-2s").latencyNs[0]).toEqual([81.4, 131.1]);
  expect(named("xeon-8180-2s").loadedLatency!.points.at(-1)).toEqual({ utilisation: 1, timesIdle: 3.47 });
  expect(
    ["xeon-8180-2s", "e5-2682v4-2s", "xeon-8592-2s", "epyc-9654-2s"].map((name) => named(name).provisional),
  ).toEqual([false, true, true, true]);
});

test("epyc-7713-2s has sixteen L3s of eight cores, 32 MiB each, and one node a socket", () => {
  const machine = named("epyc-7713-2s");
  expect([distinct(machine, "l3"), distinct(machine, "core"), machine.nodes.length, machine.l3.bytes]).toEqual([
    16,
    128,
    2,
    32 << 20,
  ]);
  expect(cpusOf(machine, 0)).toBe("0-63,128-191");
});

// Oracle: nviennot/core-to-core-latency, README: 23 ns within a CCD, 107 ns between CCDs.
test("epyc-7713-2s: a line that a core of the same CCD modified costs what its L3 costs, not what another CCD's does", () => {
  const machine = named("epyc-7713-2s");
  const layout = new CounterLayout(2);
  const cycles = (source: Source): number => {
    const counters = new Float64Array(layout.length);
    counters[layout.row(0, Kind.Load) + source] = 1;
    return account(counters, machine, 0).cycles / machine.costs.loadExposure.value + machine.l1d.cycles.value;
  };
  expect(cycles(Source.Sibling)).toBeCloseTo(23 * 2, 1);
  expect(cycles(Source.OwnL3)).toBeCloseTo(46, 1);
  expect(cycles(Source.DirtySameSocket)).toBeCloseTo(107 * 2, 1);
});

test("the eight-socket machine has 16 nodes and 192 CPUs; every socket has three neighbours, every other is two hops away", () => {
  const machine = named("xeon-8260-8s");
  expect([machine.nodes.length, machine.cpus.length, (machine.l3.bytes * 16) / 8]).toEqual([16, 192, 35.75 * 2 ** 20]);
  const relations = [10, 11, 21, 31].map((distance) => machine.distance[0]!.filter((each) => each === distance).length);
  expect(relations).toEqual([1, 1, 6, 8]);
  for (const [i, row] of machine.distance.entries()) {
    for (const [j, distance] of row.entries()) {
      expect(machine.distance[j]![i]).toBe(distance);
      // Two hops means: some socket is a neighbour of both.
      if (distance === 31) expect(row.some((first, k) => first === 21 && machine.distance[k]![j] === 21)).toBe(true);
    }
  }
});

test("recorded addresses fit: node 1 begins at 512 MiB, CPUs 0,1 and 2,3", () => {
  for (const name of ["recorded-guest", "tiny-2-node"]) {
    const machine = named(name);
    expect(machine.nodes).toEqual([
      { id: 0, memoryBytes: 0x2000_0000, startAddress: 0 },
      { id: 1, memoryBytes: 0x2000_0000, startAddress: 0x2000_0000 },
    ]);
    expect([cpusOf(machine, 0), cpusOf(machine, 1)]).toEqual(["0-1", "2-3"]);
  }
});

test("fetches of the cores from Haswell to Cascade Lake may end in a machine check that meets two sizes of page, others' do not", () => {
  const checked = presets.filter(({ translation }) => translation.mixedSizes === "machine-check");
  expect(checked.map(({ name }) => name).sort()).toEqual([
    "e5-2682v4-2s",
    "e5-2690v3-2s",
    "recorded-guest",
    "xeon-8180-2s",
    "xeon-8260-8s",
    "xeon-8280-4s",
  ]);
  for (const { translation } of checked) expect(translation.source).toContain("CVE-2018-12207");
});
