/** The assembled machine: which parts exist, lazily; interrupts, cold caches, and that two machines share nothing. */
import { assemble } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import type { HardwareThread, NumaMachine } from "../src/index.js";
import {
  Counters,
  Cr0,
  Cr4,
  Efer,
  Event,
  FAULT,
  FaultBit,
  Kind,
  Machine,
  MachineError,
  NOT_CANONICAL,
  PhysMemory,
  Source,
  cr3Value,
  difference,
  hwX86,
  type MachineSpec,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

function build(spec: MachineSpec = tinyMachine()) {
  const assembly = assemble([hwX86(spec)]);
  return {
    machine: assembly.get(Machine) as NumaMachine,
    counters: assembly.get(Counters),
    memory: assembly.get(PhysMemory),
  };
}

describe("topology", () => {
  test("nodes and CPUs by id, distances by node id, in whatever order the specification lists them", () => {
    const tiny = tinyMachine();
    const spec: MachineSpec = {
      ...tiny,
      nodes: [
        { ...tiny.nodes[1]!, id: 9 },
        { ...tiny.nodes[0]!, id: 4 },
      ],
      cpus: [...tiny.cpus].reverse().map((cpu) => ({ ...cpu, node: cpu.node === 1 ? 9 : 4 })),
      distance: [
        [10, 21],
        [31, 10],
      ],
    };
    const { machine, memory } = build(spec);
    expect(machine.nodes).toEqual([9, 4]);
    expect(machine.cpuIds).toEqual([0, 1, 2, 3]);
    expect([0, 3].map((cpu) => machine.nodeOfCpu(cpu))).toEqual([4, 9]);
    expect([machine.distance(9, 4), machine.distance(4, 9), machine.distance(4, 4)]).toEqual([21, 31, 10]);
    expect(memory).toBe(machine.memory);
    expect([memory.nodeOf(0), memory.nodeOf(0x2_0000)]).toEqual([4, 9]);
  });

  test("what does not exist is refused by name", () => {
    const { machine } = build();
    expect(() => machine.cpu(4)).toThrow(new RangeError("CPU 4 does not exist; tiny-2-node has 4, the last is 3"));
    expect(() => machine.nodeOfCpu(-1)).toThrow("CPU -1");
    expect(() => machine.distance(0, 2)).toThrow("node 2 does not exist; tiny-2-node has 0, 1");
    expect(() => {
      machine.cpu(0).region = 8;
    }).toThrow("region 8 does not exist");
  });

  test("a CPU without memory on its node reads from others; device frames count on its own", () => {
    const spec = tinyMachine();
    const { machine, counters } = build({ ...spec, nodes: [spec.nodes[0]!, { id: 1, memoryBytes: 0 }] });
    const { layout } = counters;
    machine.cpu(2).loadPhysical(5, 0);
    machine.cpu(2).loadPhysical(0x9_0000, 0);
    expect([0, 1].map((home) => counters.of(2)[layout.row(0, Kind.Load) + Source.Memory + home])).toEqual([1, 1]);
  });
});

test("4096 CPUs on 64 nodes cost nothing until they are used", () => {
  const { machine } = build(tinyMachine({ nodes: 64, coresPerNode: 32, threadsPerCore: 2, bytesPerNode: 2 ** 36 }));
  expect(machine.cpuIds).toHaveLength(4096);
  expect(machine.hostBytes).toBe(0);
  machine.cpu(4095).loadPhysical(0, 0);
  const one = machine.hostBytes;
  expect(one).toBeGreaterThan(0);
  machine.cpu(4094);
  // The other thread of the core: counters only.
  expect(machine.hostBytes - one).toBe(machine.cpu(4094).counters.byteLength);
  expect(machine.domains).toHaveLength(1);
});

describe("a core before its first access", () => {
  test("has no memory of the host's, and keeps nothing of what its registers are set to", () => {
    const { machine } = build();
    for (const id of machine.cpuIds) {
      const cpu = machine.cpu(id);
      cpu.cr4 = Cr4.PhysicalAddressExtension;
      cpu.writeCr3(cr3Value(0x10));
      cpu.efer = Efer.LongModeEnable;
      cpu.cr0 = Cr0.Paging;
    }
    machine.interrupt(0, [1, 2, 3]);
    machine.chill();
    machine.flushCaches();
    const shared = machine.domains.reduce((bytes, each) => bytes + each.hostBytes, 0);
    expect(machine.hostBytes).toBe(4 * machine.cpu(0).counters.byteLength + shared);
  });

  test.each<[string, (cpu: HardwareThread) => unknown]>([
    ["fetch without paging", (cpu) => cpu.fetch(0x40, 0)],
    ["load without paging", (cpu) => cpu.load(0x40, 0)],
    ["store without paging", (cpu) => cpu.store(0x40, 0)],
    ["physical load", (cpu) => cpu.loadPhysical(0, 1)],
    ["physical store", (cpu) => cpu.storePhysical(0, 1)],
    ["batch", (cpu) => cpu.batch()],
  ])("%s: that core has its own store from then on, and the others still have nothing", (_, access) => {
    const { machine } = build();
    const [first, last] = [machine.cpu(0).core, machine.cpu(3).core];
    expect(first.l1d).toBe(last.l1d);
    access(machine.cpu(0));
    expect([first.asleep, last.asleep]).toEqual([0, 1]);
    for (const name of ["l1i", "l1d", "l2"] as const) {
      expect(first[name]).not.toBe(last[name]);
      last[name].forEachLine(() => expect.fail(`${name} of a core nobody accessed anything on has a line`));
    }
    expect(first.tlbs).not.toBe(last.tlbs);
  });
});

test("two assemblies of one plugin share nothing", () => {
  const plugin = hwX86(tinyMachine());
  const [a, b] = [assemble([plugin]), assemble([plugin])];
  a.get(PhysMemory).write32(1, 0, 7);
  a.get(Machine).cpu(0).loadPhysical(1, 0);
  expect(b.get(PhysMemory).read32(1, 0)).toBe(0);
  expect(b.get(Counters).cpus()).toEqual([]);
});

test("an interrupt is counted once at the sender for each target, once at each target", () => {
  const { machine, counters } = build();
  machine.interrupt(0, [1, 3]);
  machine.interrupt(3, [0]);
  const { layout } = counters;
  const sent = [0, 1, 2, 3].map((cpu) => counters.of(cpu)[layout.event(Event.InterruptsSent)]);
  const taken = [0, 1, 2, 3].map((cpu) => counters.of(cpu)[layout.event(Event.InterruptsTaken)]);
  expect({ sent, taken }).toEqual({ sent: [2, 0, 0, 1], taken: [1, 1, 0, 1] });
});

describe("cold", () => {
  test("after chill everything comes from memory and every page is walked from the root", () => {
    const { machine, counters, memory } = build();
    const cpu = machine.cpu(0);
    [
      [0x10, 0x11],
      [0x11, 0x12],
      [0x12, 0x13],
      [0x13, 0x14],
    ].forEach(([table, next]) => memory.write32(table!, 0, (next! << 12) | 0x63));
    cpu.cr4 = Cr4.PhysicalAddressExtension;
    cpu.writeCr3(cr3Value(0x10));
    cpu.efer = Efer.LongModeEnable;
    cpu.cr0 = Cr0.Paging;
    const run = (): number[] => {
      const before = counters.snapshot(0);
      expect([cpu.fetch(0, 0), cpu.load(64, 0)]).toEqual([0, 0]);
      const grown = difference(before, counters.of(0));
      return [Kind.Fetch, Kind.Load, Kind.Walk].map((kind) => grown[counters.layout.row(0, kind) + Source.Memory]!);
    };
    expect(run()).toEqual([1, 1, 4]);
    expect(run()).toEqual([0, 0, 0]);
    machine.chill();
    expect(run()).toEqual([1, 1, 4]);
  });

  test("nothing is lost: memory keeps what was stored, and counters are not touched", () => {
    const { machine, counters, memory } = build();
    memory.write32(3, 0, 5);
    machine.cpu(0).storePhysical(3, 0);
    const before = counters.snapshot(0);
    machine.chill();
    expect(memory.read32(3, 0)).toBe(5);
    expect(counters.of(0)).toEqual(before);
  });
});

describe("control registers", () => {
  test("paging comes on in the order of the hardware", () => {
    const cpu = build().machine.cpu(0);
    const refusal = (run: () => void): unknown => {
      try {
        run();
      } catch (error) {
        if (error instanceof MachineError) return [error.code, error.field];
        throw error;
      }
      return undefined;
    };
    expect(cpu.load(0x7000, 0)).toBe(0);
    expect(cpu.lastFrame).toBe(7);
    expect(cpu.load(0x7000, 0x1000)).toBe(0);
    expect(cpu.lastFrame).toBe(0xf000_0007);
    for (const nowhere of [0xf00, 0x1020, 0x10_1000]) expect(cpu.load(0, nowhere)).toBe(NOT_CANONICAL);
    expect(
      refusal(() => {
        cpu.cr0 = Cr0.Paging;
      }),
    ).toEqual(["not-modelled", "cr0"]);
    cpu.efer = Efer.LongModeEnable | Efer.LongModeActive | 1;
    expect(cpu.efer).toBe(Efer.LongModeEnable);
    expect(
      refusal(() => {
        cpu.cr0 = Cr0.Paging;
      }),
    ).toEqual(["general-protection", "cr0"]);
    cpu.cr4 = 0xffff_ffff & ~Cr4.ProcessContext;
    cpu.cr0 = 0xffff_ffff;
    expect(cpu.cr0).toBe(0x8001_0000);
    cpu.cr4 = 0xffff_ffff;
    expect(cpu.cr4).toBe(0x32_10a0);
    expect(cpu.efer).toBe(Efer.LongModeEnable | Efer.LongModeActive);
    expect(
      refusal(() => {
        cpu.cr4 = Cr4.PhysicalAddressExtension;
      }),
    ).toEqual(["general-protection", "cr4"]);
    expect(cpu.load(0, 0)).toBe(FAULT);
    expect(cpu.store(0, 0)).toBe(FAULT | FaultBit.Write);
    cpu.privilege = 3;
    expect(cpu.fetch(0, 0)).toBe(FAULT | FaultBit.User | FaultBit.Fetch);
    cpu.cr4 &= ~Cr4.ProcessContext;
    cpu.cr0 = 0;
    expect(cpu.efer).toBe(Efer.LongModeEnable);
    expect(cpu.load(0x7000, 0)).toBe(0);
  });

  test("CR3 reads back without its no-flush bit; the PCID counts only with CR4.PCIDE", () => {
    const cpu = build().machine.cpu(0);
    cpu.writeCr3(cr3Value(0xfff_0000, 5, true));
    expect([cpu.cr3, cpu.rootFrame, cpu.pcid]).toEqual([0xfff_0000_005n, 0xfff_0000, 0]);
    cpu.writeCr3(cr3Value(0xfff_0000));
    cpu.cr4 = Cr4.PhysicalAddressExtension;
    cpu.efer = Efer.LongModeEnable;
    cpu.cr0 = Cr0.Paging;
    cpu.cr4 |= Cr4.ProcessContext;
    cpu.writeCr3(cr3Value(0xfff_0000, 5, true));
    expect(cpu.pcid).toBe(5);
  });
});
