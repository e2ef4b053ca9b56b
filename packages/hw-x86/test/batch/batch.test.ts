/// <reference types="node" />
/**
 * References in batches beside one call for each: whatever the shape of the machine and whatever comes between, every
 * count of every CPU and every word of state is the same after each batch.
 */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  BATCH_FETCH,
  BATCH_LOAD,
  BATCH_REGION,
  BATCH_STORE,
  Cr0,
  Cr4,
  cr3Value,
  Efer,
  FAULT,
  type ReferenceBatch,
} from "../../src/api.js";
import { Counters, hwX86, Machine, type MachineSpec, type NumaMachine } from "../../src/index.js";
import {
  GoldenTrace,
  goldenMachine,
  identityMap,
  runGolden,
  runGoldenBatches,
  tinyMachine,
} from "../../src/testing.js";

const cycles = tinyMachine().l2.cycles;

function made(spec: MachineSpec) {
  const assembly = assemble([hwX86(spec)]);
  // Its CPUs so far: one that is asked for comes into being, and from then on the first has company.
  return { machine: assembly.get(Machine) as NumaMachine, bank: assembly.get(Counters), cpus: [0] };
}
type Made = ReturnType<typeof made>;

/**
 * Every array of numbers below an object, by its way there. Hints may be wrong, and nothing asks them but for speed.
 */
function arraysOf(from: object, way: string, found: State, seen = new Set<object>()): void {
  seen.add(from);
  for (const [name, value] of Object.entries(from) as [string, unknown][]) {
    if (typeof value !== "object" || value === null || /hints$/i.test(name) || seen.has(value)) continue;
    if (ArrayBuffer.isView(value)) found.set(`${way}.${name}`, value as Int32Array);
    else if (!["parts", "outer", "fabric", "cores", "batched"].includes(name))
      arraysOf(value, `${way}.${name}`, found, seen);
  }
}

type State = Map<string, Int32Array | Float64Array>;

/** Counts and state of all that a machine has. */
function stateOf({ machine, bank, cpus }: Made): State {
  const found: State = new Map();
  for (const id of cpus) {
    const cpu = machine.cpu(id);
    found.set(`counts ${id}`, bank.of(id));
    found.set(`last ${id}`, Float64Array.of(cpu.lastFrame, cpu.region, cpu.core.tlbs.fills));
    arraysOf(cpu.core, `core of ${id}`, found);
  }
  machine.domains.forEach((domain, nth) => {
    arraysOf(domain, `domain ${nth}`, found);
  });
  return found;
}

/** Every count and every word of state of two machines. */
function same(batched: Made, called: Made, when: string): void {
  const state = stateOf(batched);
  const bytes = ({ buffer, byteOffset, byteLength }: Int32Array | Float64Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  for (const [name, words] of stateOf(called)) {
    const mine = state.get(name)!;
    if (!bytes(mine).equals(bytes(words))) expect([...mine], `${when}: ${name}`).toEqual([...words]);
  }
}

test("the golden's streams: every count and every word of state, in every kind of L3", () => {
  const records = new Uint32Array(60_000);
  for (const mix of ["mixed", "hostile"] as const) {
    new GoldenTrace(mix).fill(records);
    for (const inclusion of ["inclusive", "victim", "independent"] as const) {
      const [called, batched] = [made(goldenMachine(inclusion)), made(goldenMachine(inclusion))];
      for (const { machine } of [called, batched]) identityMap(machine.memory, machine.cpu(0));
      for (let from = 0; from < records.length; from += 20_000) {
        const part = records.subarray(from, from + 20_000);
        expect(runGolden(called.machine.cpu(0), part)).toBe(0);
        expect(runGoldenBatches(batched.machine.cpu(0).batch()!, part)).toBe(0);
      }
      same(batched, called, `${mix}, ${inclusion}`);
    }
  }
});

/**
 * Root tables of two contexts; below both the same: small pages with all kinds of rights, pages of 2 MiB and of 1 GiB.
 */
const ROOT = 0x100;
/** A table that nobody has written, in a chunk of frames of which none was; its pages follow those of 2 MiB. */
const UNWRITTEN = 0x2000;
/** Frames of a node. */
const NODE = 8192;
/** First frame and page of 1 GiB so far up that a small L3 tells its frames from others by blocks. */
const [FAR, FAR_PAGE] = [1 << 18, 2 << 18];
/** Regions of 2 MiB with the small pages of the first. */
const [FIRST_ALIAS, LAST_ALIAS] = [16, 143];

function map({ machine: { memory } }: Made): void {
  const set = (table: number, index: number, frame: number, bits: number): void => {
    memory.write32(table, index * 2, ((frame << 12) | (bits & 0xfff)) >>> 0);
    memory.write32(table, index * 2 + 1, bits < 0 ? 0x8000_0000 : 0);
  };
  const [GLOBAL, LARGE, ALL] = [0x100, 0x80, 0x7];
  for (const root of [ROOT, ROOT + 1]) set(root, 0, ROOT + 2, ALL);
  set(ROOT + 2, 0, ROOT + 3, ALL);
  set(ROOT + 2, 1, 0, LARGE | 0x3 | GLOBAL);
  set(ROOT + 2, 2, FAR, LARGE | 0x63);
  set(ROOT + 3, 0, ROOT + 4, ALL);
  for (let large = 1; large < 8; large++)
    set(ROOT + 3, large, 512 * large, LARGE | (large % 3 === 0 ? 0x3 : ALL | GLOBAL) | (large % 2 === 0 ? 0x20 : 0));
  // Bits that must be zero: beyond the physical width, and within the frame of 2 MiB.
  memory.write32(ROOT + 3, 2 * 7 + 1, 0x8_0000);
  set(ROOT + 3, 6, 512 * 6 + 2, LARGE | ALL | 0x20);
  set(ROOT + 3, 8, UNWRITTEN, ALL);
  // The small pages again and again, by as many entries of a paging-structure cache.
  for (let large = FIRST_ALIAS; large <= LAST_ALIAS; large++) set(ROOT + 3, large, ROOT + 4, ALL | 0x20);
  // Present, writable, for users, global, dirty, no execute: every mixture of them, sixteen frames apart from the last.
  for (let page = 0; page < 64; page++) {
    const bits = (page & 7) | (((page >> 3) & 1) * GLOBAL) | (((page >> 4) & 1) * 0x60);
    set(ROOT + 4, page, page & 15, page >> 5 === 1 ? bits | -0x8000_0000 : bits);
  }
  // Accessed already, so that only the bits that must be zero refuse it.
  set(ROOT + 4, 63, 15, ALL | 0x60);
  memory.write32(ROOT + 4, 2 * 63 + 1, 0x8_0000);
}

function boot(all: Made, cpus: readonly number[]): void {
  for (const id of cpus) {
    const cpu = all.machine.cpu(id);
    cpu.cr4 = Cr4.PhysicalAddressExtension | Cr4.PageGlobal;
    cpu.writeCr3(cr3Value(ROOT));
    cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
    cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
    cpu.cr4 |= Cr4.ProcessContext;
  }
}

const kinds = fc.constantFrom(BATCH_FETCH, BATCH_FETCH, BATCH_LOAD, BATCH_LOAD, BATCH_STORE);
/** Few pages and lines, so that they meet: small ones, of 2 MiB, of 1 GiB, none at all, and no canonical address. */
const page = fc.oneof(
  { weight: 8, arbitrary: fc.nat(63) },
  { weight: 5, arbitrary: fc.tuple(fc.integer({ min: 1, max: 8 }), fc.nat(7)).map(([large, of]) => large * 512 + of) },
  { weight: 3, arbitrary: fc.nat(15).map((of) => (1 << 18) + of) },
  // The second node's memory, or a hole before it; behind both nodes' memory.
  {
    weight: 2,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(3)).map(([nth, of]) => (1 << 18) + nth * NODE + of),
  },
  { weight: 1, arbitrary: fc.nat(3).map((of) => FAR_PAGE + of) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.integer({ min: FIRST_ALIAS, max: LAST_ALIAS }), fc.nat(3))
      .map(([large, of]) => large * 512 + of + 48),
  },
);
const reference = fc.record({
  kind: fc.oneof({ weight: 12, arbitrary: kinds }, { weight: 1, arbitrary: fc.constant(BATCH_REGION) }),
  page,
  line: fc.constantFrom(0, 1, 2, 63),
  high: fc.oneof({ weight: 40, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(0x8000, -1) }),
  region: fc.nat(7),
});
const between = fc.constantFrom(
  "nothing",
  "nothing",
  "user",
  "kernel",
  "other root",
  "root kept",
  "invlpg",
  "chill",
  "flush",
  "execute",
  "table",
  "table",
  "shared",
  "shared",
  "globals",
  "far",
  "pages",
  "put off",
  "first written",
);
const piece = fc.record({
  // Every third refers where the one before it did: a line that is executed and stored to.
  references: fc.array(fc.tuple(reference, fc.nat(2)), { minLength: 1, maxLength: 60, size: "max" }).map((drawn) =>
    drawn.map(([each, again], at) => {
      const [before] = drawn[at - 1] ?? [each];
      return again === 0 ? { ...each, page: before.page, line: before.line, high: before.high } : each;
    }),
  ),
  between,
  page,
  others: fc.array(fc.record({ cpu: fc.integer({ min: 1, max: 3 }), reference }), { maxLength: 8 }),
});

const ways = fc.integer({ min: 1, max: 8 });
const cache = fc.record({ ways, groups: fc.constantFrom(1, 2) }).map(({ ways, groups }) => ({
  bytes: 4096 * ways * groups,
  ways,
  cycles,
}));
/** An L2 may have more ways than the batch knows, or sets that are no power of two. */
const below = fc
  .record({ ways: fc.integer({ min: 1, max: 12 }), groups: fc.constantFrom(1, 2, 2, 3) })
  .map(({ ways, groups }) => ({ bytes: 4096 * ways * groups, ways, cycles }));
const outer = fc
  .record({
    ways: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 32 })),
    groups: fc.constantFrom(1, 2, 3, 3),
  })
  .map(({ ways, groups }) => ({ bytes: 4096 * ways * groups, ways, cycles }));
const tlb = fc
  .record({ ways, sets: fc.constantFrom(1, 2, 4) })
  .map(({ ways, sets }) => ({ entries: ways * sets, ways }));
const spec = fc
  .record({
    l1i: cache,
    l1d: cache,
    l2: below,
    l3: outer,
    hole: fc.boolean(),
    inclusion: fc.constantFrom("inclusive" as const, "victim" as const, "independent" as const),
    prefetchLines: fc.nat(2),
    threads: fc.constantFrom(1, 2),
    instruction: fc.record({ small: tlb, large: fc.option(tlb, { nil: undefined }) }),
    data: fc.record({
      small: tlb,
      large: fc.option(tlb, { nil: undefined }),
      huge: fc.option(tlb, { nil: undefined }),
    }),
    second: fc.tuple(tlb, fc.boolean()).map(([shape, large]) => ({ ...shape, large, cycles })),
    structures: fc.record({ pde: fc.constantFrom(0, 1, 4, 12), pdpte: fc.nat(2), pml4e: fc.nat(1) }),
  })
  .map(({ l1i, l1d, l2, l3, hole, inclusion, prefetchLines, threads, instruction, data, second, structures }) => {
    const defined = <T extends object>(from: T): T =>
      Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined)) as T;
    const tiny = tinyMachine({ coresPerNode: threads === 1 ? 2 : 1, threadsPerCore: threads });
    return {
      ...tiny,
      nodes: tiny.nodes.map((node) => ({
        ...node,
        memoryBytes: 4096 * NODE,
        startAddress: 4096 * NODE * node.id * (hole ? 2 : 1),
      })),
      l1i,
      l1d,
      l2,
      l3: { ...l3, inclusion },
      costs: { ...tiny.costs, prefetchLines },
      translation: {
        ...tiny.translation,
        instruction: defined(instruction),
        data: defined(data),
        second,
        pagingStructure: { ...structures, source: "drawn" },
      },
    } as MachineSpec;
  });

type Drawn = typeof reference extends fc.Arbitrary<infer T> ? T : never;
/** As drawn, of any line. */
type Reference = Omit<Drawn, "line" | "high"> & { readonly line: number; readonly high: number };
const lowOf = ({ page, line }: Reference): number => (page << 12) | (line << 6);

/** One call for each. @returns what each reference ended in */
function call(all: Made, id: number, references: readonly Reference[]): number[] {
  const cpu = all.machine.cpu(id);
  return references.map((each) => {
    const lo = lowOf(each);
    if (each.kind === BATCH_REGION) {
      cpu.region = each.region;
      return 0;
    }
    return each.kind === BATCH_FETCH
      ? cpu.fetch(lo, each.high)
      : each.kind === BATCH_LOAD
        ? cpu.load(lo, each.high)
        : cpu.store(lo, each.high);
  });
}

function batch(
  { input, run, fault: _, ...rest }: ReferenceBatch,
  references: readonly Reference[],
  last: () => number,
): number[] {
  void rest;
  references.forEach((each, at) => {
    input[2 * at] = each.kind === BATCH_REGION ? each.kind : lowOf(each) | each.kind;
    input[2 * at + 1] = each.kind === BATCH_REGION ? each.region : each.high;
  });
  const ends = references.map(() => 0);
  for (let at = run(0, references.length); at < references.length; at = run(at + 1, references.length))
    ends[at] = last();
  return ends;
}

test("any shape, any references, any events between them", () => {
  let faults = 0;
  fc.assert(
    fc.property(
      spec,
      fc.array(piece, { maxLength: 12, size: "max" }),
      fc.nat(4),
      fc.nat(12),
      (shape, pieces, late, company) => {
        const [called, batched] = [made(shape), made(shape)];
        for (const all of [called, batched]) {
          map(all);
          boot(all, [0]);
        }
        pieces.forEach((each, nth) => {
          if (nth === company)
            for (const all of [called, batched]) {
              boot(all, [1, 2, 3]);
              all.cpus.push(1, 2, 3);
            }
          for (const { cpu, reference } of nth < company ? [] : each.others)
            expect(call(batched, cpu, [reference])).toEqual(call(called, cpu, [reference]));
          for (const { machine } of [called, batched]) {
            const cpu = machine.cpu(0);
            if (each.between === "user") cpu.privilege = 3;
            else if (each.between === "kernel") cpu.privilege = 0;
            else if (each.between === "other root") cpu.writeCr3(cr3Value(ROOT + 1, 1));
            else if (each.between === "root kept") cpu.writeCr3(cr3Value(ROOT) | (1n << 63n));
            else if (each.between === "invlpg") cpu.invlpg(BigInt(each.page) << 12n);
            else if (each.between === "flush") cpu.flushTranslations();
            else if (each.between === "chill") machine.chill();
            else if (each.between === "execute")
              cpu.efer = Efer.LongModeEnable | (nth % 2 === 0 ? 0 : Efer.NoExecuteEnable);
            else if (each.between === "table")
              for (let page = 0; page < 16; page++)
                machine.memory.write32(ROOT + 4, 2 * page, (((page + nth) % 16) << 12) | 0x67);
            else if (each.between === "shared")
              // The table's bytes are another frame's, too: the first write takes them elsewhere.
              machine.memory.copyFrame(ROOT + 4, ROOT + 5);
            else if (each.between === "far")
              // As many blocks as short tags can tell apart, and more.
              for (let block = 0; block < (nth % 2 === 0 ? 5 : 80); block++)
                cpu.load((FAR_PAGE + 768 * block) << 12, (FAR_PAGE + 768 * block) >>> 20);
            else if (each.between === "globals") cpu.cr4 ^= Cr4.PageGlobal;
            else if (each.between === "pages")
              // All pages go on in a larger place.
              for (let frame = 0; frame < 16; frame++) machine.memory.write32(0x300 + 16 * nth + frame, 0, 1);
            else if (each.between === "put off") {
              // Its bytes come when somebody looks.
              const bytes = new Uint8Array(4096);
              machine.memory.readBytes(BigInt(ROOT + 4) << 12n, bytes);
              bytes[8 * (nth % 16)]! ^= 0x2;
              machine.memory.defer!(ROOT + 4, 1, (_, into) => {
                into.set(bytes);
              });
            } else if (each.between === "first written")
              machine.memory.write32(UNWRITTEN, 2 * (nth % 8), ((nth % 16) << 12) | 0x67);
          }
          // State moves when some of it is there already.
          const made = nth < late ? undefined : batched.machine.cpu(0).batch()!;
          const expected = call(called, 0, each.references);
          const ends =
            made === undefined ? call(batched, 0, each.references) : batch(made, each.references, () => made.fault);
          expect(ends, `piece ${nth}`).toEqual(expected);
          faults += expected.filter((end) => (end & FAULT) !== 0).length;
          same(batched, called, `piece ${nth}`);
        });
      },
    ),
    { numRuns: 120, seed: 16 },
  );
  expect(faults).toBeGreaterThan(1000);
});

test("an L3 that met more far frames than short tags tell apart is TypeScript's from then on", () => {
  const [called, batched] = [made(tinyMachine()), made(tinyMachine())];
  // Small pages that are there; lines that were not asked for before.
  const near = (first: number) =>
    Array.from({ length: 32 }, (_, nth) => ({
      kind: BATCH_LOAD as Drawn["kind"],
      page: [7, 15, 23, 31][nth % 4]!,
      line: first + (nth >> 2),
      high: 0,
      region: 0,
    }));
  for (const all of [called, batched]) {
    map(all);
    boot(all, [0]);
  }
  const run = batched.machine.cpu(0).batch()!;
  for (const [first, blocks] of [
    [1, 5],
    [9, 80],
    [17, 0],
  ] as const) {
    expect(batch(run, near(first), () => run.fault)).toEqual(call(called, 0, near(first)));
    same(batched, called, `lines from ${first}`);
    for (const { machine } of [called, batched])
      for (let block = 0; block < blocks; block++)
        expect(machine.cpu(0).load((FAR_PAGE + 768 * block) << 12, 0)).toBe(0);
  }
});

test("parts that a batch is not made for have none: more than 8 ways, other replacement, a front end that runs ahead", () => {
  const tiny = tinyMachine();
  const wide = { ...tiny.l2, bytes: 4096 * 9, ways: 9 };
  const shapes: [MachineSpec, boolean][] = [
    [tiny, true],
    [{ ...tiny, l1d: wide }, false],
    [{ ...tiny, l2: wide }, true],
    [{ ...tiny, l1i: { ...tiny.l1i, replacement: { policy: "fifo" } } }, false],
    [
      { ...tiny, translation: { ...tiny.translation, second: { ...tiny.translation.second, entries: 16, ways: 16 } } },
      false,
    ],
  ];
  for (const [shape, has] of shapes) expect(made(shape).machine.cpu(0).batch() !== undefined).toBe(has);
});
