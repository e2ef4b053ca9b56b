/**
 * The path of an access as core.ts and cpu.ts write it out, against the same path composed from `touch()` and
 * `lookup()`: every few references of a random stream both machines hold the same state, word for word.
 *
 * The composed machine takes every data reference through Core.dataAnyShape and every translation through the TLB, past
 * the hints and order words of cpu.ts; its fetches ask TLB and cache each time, past the line that was fetched last.
 * What is compared is every word that caches and TLBs keep, order, marks, hints, origins and the policies' own
 * included, with the accounts of present lines and every counter.
 */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Core } from "../src/core.js";
import type { NumaMachine } from "../src/index.js";
import {
  Counters,
  Cr0,
  Cr4,
  cr3Value,
  Efer,
  hwX86,
  Kind,
  Machine,
  type MachineSpec,
  type Replacement,
  REPLACEMENTS,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

/** As it is, or with every reference through `touch()`. */
interface Side {
  readonly machine: NumaMachine;
  readonly counters: (cpu: number) => Float64Array;
  /** @param page of the address @param line of the page */
  access(cpu: number, kind: Kind, page: number, line: number): void;
}

/** Frames of the tables, none of {@link FRAMES}. */
const TABLES = 0x40;

/** Pages 0 to 12 lead to FRAMES, pages 512 to 1023 are a 2 MiB page; or addresses are physical. */
function writtenOut(spec: MachineSpec, paged: boolean): Side {
  const assembly = assemble([hwX86(spec)]);
  const machine = assembly.get(Machine) as NumaMachine;
  const bank = assembly.get(Counters);
  const set = (table: number, index: number, frame: number, bits: number): void => {
    machine.memory.write32(TABLES + table, index * 2, ((frame << 12) | bits) >>> 0);
    machine.memory.write32(TABLES + table, index * 2 + 1, frame >>> 20);
  };
  for (const table of [0, 1, 2]) set(table, 0, TABLES + table + 1, 0x63);
  set(2, 1, 0x400, 0xe3);
  FRAMES.forEach((frame, page) => set(3, page, frame, 0x63));
  for (const id of paged ? machine.cpuIds : []) {
    const cpu = machine.cpu(id);
    cpu.cr4 = Cr4.PhysicalAddressExtension;
    cpu.writeCr3(cr3Value(TABLES));
    cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
    cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
  }
  return {
    machine,
    counters: (cpu) => bank.of(cpu),
    access(cpu, kind, page, line) {
      const [lo, hi] = [(page << 12) | (line << 6), 0];
      const thread = machine.cpu(cpu);
      const fault =
        kind === Kind.Fetch ? thread.fetch(lo, hi) : kind === Kind.Store ? thread.store(lo, hi) : thread.load(lo, hi);
      if (fault !== 0) throw new Error(`page ${page}: fault ${fault}`);
    },
  };
}

/** What cpu.ts does when none of its shortcuts fits. */
interface Translating {
  translate(lo: number, hi: number, access: number): number;
}

function composed(spec: MachineSpec, paged: boolean): Side {
  const side = writtenOut(spec, paged);
  return {
    ...side,
    access(cpu, kind, page, line) {
      const thread = side.machine.cpu(cpu);
      Object.assign(thread.core, { usual: 0, fetchThread: -1 });
      if (kind === Kind.Fetch) {
        side.access(cpu, kind, page, line);
        return;
      }
      const store = kind === Kind.Store;
      const fault = (thread as unknown as Translating).translate((page << 12) | (line << 6), 0, store ? 1 : 0);
      if (fault !== 0) throw new Error(`page ${page}: fault ${fault}`);
      if (store) thread.storePhysical(thread.lastFrame, line);
      else thread.loadPhysical(thread.lastFrame, line);
    },
  };
}

/** Every typed array that a part keeps, by where it was found. */
function arraysOf(part: object, name: string, into = new Map<string, ArrayBufferView>()): Map<string, ArrayBufferView> {
  for (const [key, value] of Object.entries(part) as [string, unknown][]) {
    if (ArrayBuffer.isView(value)) into.set(`${name}.${key}`, value);
    else if (typeof value === "object" && value !== null) arraysOf(value, `${name}.${key}`, into);
  }
  return into;
}

/** What a side keeps, all in all. */
function stateOf({ machine, counters }: Side, cpus: Iterable<number>): Map<string, ArrayBufferView> {
  const state = new Map<string, ArrayBufferView>();
  for (const cpu of cpus) {
    const { core } = machine.cpu(cpu);
    for (const part of ["l1i", "l1d", "l2", "tlbs"] as const) arraysOf(core[part], `CPU ${cpu}: ${part}`, state);
    const { present } = core as unknown as { readonly present: Uint16Array } & Pick<Core, "nodeIndex">;
    state.set(`CPU ${cpu}: present`, present).set(`CPU ${cpu}: counters`, counters(cpu));
  }
  machine.domains.forEach((domain, at) => {
    arraysOf((domain as unknown as { readonly l3: object }).l3, `L3 ${at}`, state);
  });
  return state;
}

/** The first word that differs, or nothing. */
function difference(found: Map<string, ArrayBufferView>, wanted: Map<string, ArrayBufferView>): string | undefined {
  if ([...found.keys()].join() !== [...wanted.keys()].join())
    return `${[...found.keys()].join()} is not ${[...wanted.keys()].join()}`;
  for (const [name, view] of found) {
    const other = wanted.get(name)!;
    const bytes = (each: ArrayBufferView): Buffer => Buffer.from(each.buffer, each.byteOffset, each.byteLength);
    if (bytes(view).equals(bytes(other))) continue;
    const [a, b] = [view, other] as unknown as [Float64Array, Float64Array];
    const at = a.findIndex((word, index) => word !== b[index]);
    return `${name}[${at}] is ${a[at]} written out, ${b[at]} composed`;
  }
  return undefined;
}

// Frames with the same mark in one group, found by trying: the search meets marks that fit and tags that do not.
const markOf = (frame: number): number => Math.imul(frame, 0x9e37_79b1) >>> 24;
const alike = Array.from({ length: 0x8000 }, (_, frame) => 2 * frame + 1).filter(
  (frame) => markOf(frame) === markOf(1),
);
/** Of both nodes, of nobody, and one whose 32 bits are negative. */
const FRAMES = [1, 2, 3, 4, ...alike.slice(1, 4), 0x2_0001, 0x2_0002, 0x2_0003, 0x5_0000, 0x8000_0001 | 0];

const steps = fc.array(
  fc.record({
    cpu: fc.nat(3),
    // The last one again, half of the time: hints and the line that was fetched last are for that.
    again: fc.boolean(),
    kind: fc.constantFrom(Kind.Fetch, Kind.Load, Kind.Load, Kind.Store),
    page: fc.oneof(
      { weight: 9, arbitrary: fc.nat(FRAMES.length - 1) },
      { weight: 1, arbitrary: fc.constantFrom(512, 1023) },
    ),
    line: fc.constantFrom(0, 1, 63),
    chill: fc.constantFrom(...Array.from({ length: 99 }, () => false), true),
  }),
  { minLength: 50, maxLength: 250, size: "max" },
);

type Step = typeof steps extends fc.Arbitrary<(infer One)[]> ? One : never;

/** A cache of `ways` ways in `groups` times 64 sets. */
const sized = (ways: number, groups: number) => ({
  bytes: 4096 * ways * groups,
  ways,
  cycles: tinyMachine().l2.cycles,
});
const narrow = fc.record({ ways: fc.integer({ min: 1, max: 8 }), groups: fc.constantFrom(1, 2, 4) });

/** References between two comparisons. */
const EVERY = 4;

/** Both machines through the same references. */
function same(spec: MachineSpec, paged: boolean, list: readonly Step[]): void {
  const sides = [writtenOut(spec, paged), composed(spec, paged)] as const;
  const met = new Set<number>();
  let last = list[0]!;
  list.forEach((step, index) => {
    const { page, line } = step.again ? last : step;
    last = { ...step, page, line };
    met.add(step.cpu);
    for (const side of sides) {
      if (step.chill) side.machine.chill();
      side.access(step.cpu, step.kind, paged || page > FRAMES.length ? page : FRAMES[page]! & 0xf_ffff, line);
    }
    if (index % EVERY !== 0 && index + 1 !== list.length) return;
    const found = difference(stateOf(sides[0], met), stateOf(sides[1], met));
    if (found !== undefined) throw new Error(`after step ${index}, ${Kind[step.kind]} on CPU ${step.cpu}: ${found}`);
  });
}

const byName = (policy: Replacement["policy"]): Replacement => (policy === "random" ? { policy, seed: 3 } : { policy });

describe.each(["inclusive", "victim", "independent"] as const)("%s L3", (inclusion) => {
  test.each(REPLACEMENTS)("%s: the same words, whatever the shape of L1D and L2", (policy) => {
    let usual = 0;
    fc.assert(
      fc.property(
        steps,
        narrow,
        narrow,
        fc.constantFrom(0, 2),
        fc.boolean(),
        fc.boolean(),
        (list, first, second, ahead, apart, paged) => {
          const base = tinyMachine({ inclusion, coresPerNode: 2 });
          const spec: MachineSpec = {
            ...base,
            // Of the first socket each core has an L3 to itself, or both have one.
            cpus: base.cpus.map((cpu) => (apart && cpu.node === 0 ? { ...cpu, l3: 10 + cpu.id } : cpu)),
            l1d: sized(first.ways, first.groups),
            l2: sized(second.ways, second.groups),
            l3: { ...sized(8, 2), inclusion, replacement: byName(policy) },
            costs: { ...base.costs, prefetchLines: ahead },
          };
          usual += (writtenOut(spec, false).machine.cpu(0).core as unknown as { readonly usual: number }).usual;
          same(spec, paged, list);
        },
      ),
      { numRuns: 5, seed: 11 },
    );
    expect(usual, "the path that is written out was taken").toBe(5);
  });
});

test.each(REPLACEMENTS)("%s in every cache and TLB, or TLB alone: no shortcut saves a policy a use", (policy) => {
  const replacement = byName(policy);
  const by = <T extends object>(shape: T): T => ({ ...shape, replacement });
  fc.assert(
    fc.property(steps, fc.constantFrom("both", "TLBs", "physical"), (list, where) => {
      const spec = tinyMachine({ coresPerNode: 1, threadsPerCore: 2 });
      const { instruction, data, second } = spec.translation;
      const translation = {
        ...spec.translation,
        instruction: { small: by(instruction.small), large: by(instruction.large!) },
        data: { ...data, small: by(data.small), large: by(data.large!) },
        second: by(second),
      };
      const l3 = { ...spec.l3, bytes: 2 * spec.l3.bytes };
      const caches =
        where === "TLBs"
          ? // A line stays where its page leaves the TLB.
            { l1i: sized(8, 4), l3 }
          : { l1i: by(spec.l1i), l1d: by(spec.l1d), l2: by(spec.l2), l3: by(l3) };
      same({ ...spec, translation, ...caches }, where !== "physical", list);
    }),
    { numRuns: 9, seed: 12 },
  );
});

test("nine ways and sets that are no power of two: hints move nothing that is in order", () => {
  fc.assert(
    fc.property(steps, (list) => {
      const l3 = { ...sized(16, 2), inclusion: "inclusive" } as const;
      same(tinyMachine({ with: { l1i: sized(9, 1), l1d: sized(9, 1), l2: sized(3, 3), l3 } }), true, list);
    }),
    { numRuns: 8, seed: 13 },
  );
});
