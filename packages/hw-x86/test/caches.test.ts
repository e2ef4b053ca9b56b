/**
 * Caches and coherence through the machine's door, against lists of objects; then what must hold whatever the protocol.
 */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CounterLayout, NumaMachine } from "../src/index.js";
import { Counters, Kind, Machine, Source, hwX86, type MachineSpec } from "../src/index.js";
import { ABSENT } from "../src/cache.js";
import { SlowCaches, tinyMachine } from "../src/testing.js";

/** Few lines that meet in every cache: sets hold 2, 4 and 8, there are 14 frames and 4 lines. */
const step = fc.record({
  cpu: fc.nat(3),
  kind: fc.constantFrom(Kind.Fetch as const, Kind.Load as const, Kind.Load as const, Kind.Store as const),
  // Node 0 begins at frame 0, node 1 at 0x20000; 0x50000 belongs to nobody.
  frame: fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 0x20001, 0x20002, 0x20003, 0x20004, 0x20005, 0x20006, 0x50000),
  line: fc.constantFrom(0, 1, 2, 63),
});
const steps = fc.array(step, { maxLength: 400, size: "max" });

function machineOf(spec: MachineSpec) {
  const assembly = assemble([hwX86(spec)]);
  const machine = assembly.get(Machine) as NumaMachine;
  const bank = assembly.get(Counters);
  const home = (frame: number): number => spec.nodes.findIndex((node) => node.id === machine.memory.nodeOf(frame));
  return { machine, bank, home };
}

/** Names of the events between two snapshots, each as often as it happened. */
function events(
  layout: CounterLayout,
  before: Float64Array,
  after: Float64Array,
): { references: string[]; writeBacks: number[] } {
  const references: string[] = [];
  for (let kind = 0; kind < 6; kind++) {
    for (let source = 0; source < layout.sources; source++) {
      const at = layout.row(0, kind) + source;
      const name =
        source < Source.Memory
          ? Source[source]
          : source < layout.cleanSameSocket
            ? `Memory ${source - Source.Memory}`
            : source < layout.cleanOtherSocket
              ? `CleanSameSocket ${source - layout.cleanSameSocket}`
              : `CleanOtherSocket ${source - layout.cleanOtherSocket}`;
      for (let n = before[at]!; n < after[at]!; n++) references.push(`${Kind[kind]} ${name}`);
    }
  }
  const writeBacks: number[] = [];
  for (let node = 0; node < layout.nodes; node++) {
    const at = layout.writeBacks(node);
    for (let n = before[at]!; n < after[at]!; n++) writeBacks.push(node);
  }
  return { references: references.sort(), writeBacks };
}

function access(machine: NumaMachine, cpu: number, kind: Kind, frame: number, line: number): void {
  const thread = machine.cpu(cpu);
  // Paging is off after reset: the address is physical.
  const lo = (frame << 12) | (line << 6) | 0;
  const hi = frame >>> 20;
  expect(
    kind === Kind.Fetch ? thread.fetch(lo, hi) : kind === Kind.Load ? thread.load(lo, hi) : thread.store(lo, hi),
  ).toBe(0);
}

/**
 * Two sockets; the first with two L3 domains of one core each, as CCXs are, the second with one domain of two cores.
 */
const ccx = (spec: MachineSpec): MachineSpec => ({
  ...spec,
  cpus: spec.cpus.map((cpu) => ({ ...cpu, l3: cpu.node === 0 ? cpu.id : 9, socket: cpu.node })),
});
/** A cache of `ways` ways in `groups` times 64 sets. */
const sized = (ways: number, groups = 1) => ({ bytes: 4096 * ways * groups, ways, cycles: tinyMachine().l2.cycles });
const wide = { bytes: 4096 * 3 * 3, ways: 3 };
const shapes: [string, MachineSpec][] = [
  ["inclusive", tinyMachine({ inclusion: "inclusive" })],
  ["victim", tinyMachine({ inclusion: "victim" })],
  [
    "victim, L3 smaller than L2",
    tinyMachine({ with: { l3: { bytes: 4096 * 2, ways: 2, cycles: tinyMachine().l3.cycles, inclusion: "victim" } } }),
  ],
  ["independent", tinyMachine({ inclusion: "independent" })],
  ["inclusive, CCXs", ccx(tinyMachine({ inclusion: "inclusive" }))],
  ["victim, CCXs", ccx(tinyMachine({ inclusion: "victim" }))],
  ["two threads a core", tinyMachine({ coresPerNode: 1, threadsPerCore: 2 })],
  [
    "more than 8 ways everywhere",
    tinyMachine({
      with: {
        l1i: sized(9),
        l1d: sized(9),
        l2: sized(10),
        l3: { ...sized(11), inclusion: "inclusive" },
        costs: { ...tinyMachine().costs, prefetchLines: 1 },
      },
    }),
  ],
  [
    "8 ways below, 32 above",
    tinyMachine({ with: { l1i: sized(8), l1d: sized(8), l2: sized(8), l3: { ...sized(32), inclusion: "victim" } } }),
  ],
  [
    "two groups in L1, three in L2",
    tinyMachine({
      with: { l1i: sized(1, 2), l1d: sized(1, 2), l2: sized(2, 3), l3: { ...sized(3, 3), inclusion: "inclusive" } },
    }),
  ],
  [
    "L3 of 3 x 64 sets, prefetch of two lines",
    tinyMachine({
      with: {
        l3: { ...wide, cycles: tinyMachine().l3.cycles, inclusion: "inclusive" },
        costs: { ...tinyMachine().costs, prefetchLines: 2 },
      },
    }),
  ],
];

describe.each(shapes)("%s", (_, spec) => {
  test("every reference comes from where the slow model says, every write-back goes to the same home", () => {
    fc.assert(
      fc.property(steps, fc.nat(400), (list, cold) => {
        const { machine, bank, home } = machineOf(spec);
        const slow = new SlowCaches(spec, home);
        list.forEach(({ cpu, kind, frame, line }, index) => {
          if (index === cold) {
            machine.chill();
            slow.chill();
          }
          machine.cpu(cpu);
          const before = bank.snapshot(cpu);
          access(machine, cpu, kind, frame, line);
          const expected = slow.access(spec.cpus[cpu]!, kind, frame, line);
          expect(events(bank.layout, before, bank.of(cpu)), `step ${index}`).toEqual({
            references: expected.references.sort(),
            writeBacks: expected.writeBacks.sort(),
          });
        });
      }),
      { numRuns: 60 },
    );
  });

  test("a modified line is nowhere else; an inclusive L3 holds what its cores hold", () => {
    fc.assert(
      fc.property(steps, (list) => {
        const { machine } = machineOf(spec);
        for (const { cpu, kind, frame, line } of list) {
          access(machine, cpu, kind, frame, line);
          if (kind !== Kind.Store) continue;
          const writer = machine.cpu(cpu).core;
          const { l1d } = writer;
          const base = l1d.baseOf(frame, line);
          expect(l1d.stateOf(base, l1d.find(base, frame))).toBe(1);
          expect(writer.l1i.find(writer.l1i.baseOf(frame, line), frame)).toBe(ABSENT);
          for (const other of machine.cpuIds) {
            const { core } = machine.cpu(other);
            if (core === writer) continue;
            for (const cache of [core.l1i, core.l1d, core.l2])
              expect(cache.find(cache.baseOf(frame, line), frame)).toBe(ABSENT);
          }
        }
        if (spec.l3.inclusion !== "inclusive") return;
        for (const domain of machine.domains) {
          for (const id of machine.cpuIds.filter((each) => machine.domainOf(each) === domain)) {
            const { core } = machine.cpu(id);
            for (const cache of [core.l1i, core.l1d, core.l2]) {
              for (const { frame, line } of list) {
                const inside = cache.find(cache.baseOf(frame, line), frame) !== ABSENT;
                if (inside) expect(domain.holds(frame, line)).toBe(true);
              }
            }
          }
        }
      }),
      { numRuns: 20 },
    );
  });
});

test("sources as literals on the hot path are those of the enum", () => {
  const watched = (spec: MachineSpec) => {
    const { machine, bank } = machineOf(spec);
    return (cpu: number, kind: Kind): string[] => {
      machine.cpu(cpu);
      const before = bank.snapshot(cpu);
      access(machine, cpu, kind, 1, 0);
      return events(bank.layout, before, bank.of(cpu)).references;
    };
  };
  // Two sockets: store by 0, load by 2 (dirty elsewhere), store by 2 (upgrade), load by 3 (sibling).
  const sockets = watched(tinyMachine());
  expect(sockets(0, Kind.Store)).toEqual(["Store Memory 0"]);
  expect(sockets(2, Kind.Load)).toEqual(["Load DirtyOtherSocket"]);
  expect(sockets(2, Kind.Store)).toEqual(["Store UpgradeOtherSocket"]);
  expect(sockets(3, Kind.Load)).toEqual(["Load Sibling"]);
  expect(sockets(3, Kind.Store)).toEqual(["Store UpgradeSibling"]);
  // 0 and 1 have an L3 each in one socket.
  const domains = watched(ccx(tinyMachine()));
  expect(domains(0, Kind.Store)).toEqual(["Store Memory 0"]);
  expect(domains(1, Kind.Load)).toEqual(["Load DirtySameSocket"]);
  expect(domains(1, Kind.Store)).toEqual(["Store UpgradeSameSocket"]);
  expect(domains(1, Kind.Store)).toEqual(["Store L1"]);
  expect(domains(2, Kind.Load)).toEqual(["Load DirtyOtherSocket"]);
  expect(domains(0, Kind.Load)).toEqual(["Load CleanSameSocket 0"]);
});
