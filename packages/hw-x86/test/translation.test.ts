/**
 * TLBs, paging-structure caches and walker, access by access against the slow model: results, table bytes and every
 * event.
 */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NumaMachine } from "../src/index.js";
import {
  addressOfFrame,
  Counters,
  Cr0,
  Cr4,
  Efer,
  FAULT,
  Kind,
  Machine,
  NOT_CANONICAL,
  Place,
  fromHalves,
  highOf,
  hwX86,
  lowOf,
  type MachineSpec,
} from "../src/index.js";
import { SlowTranslation, tinyMachine } from "../src/testing.js";

/** Bits of a page's number that are windows of frame numbers. */
const WINDOWS = [32n, 33n, 34n, 36n, 37n, 38n];
/** Tables by level, two of each, as pages; the root of CR3 is one of level 4 or 5. @param far the second in a window */
const tableAt = (level: number, which: number, far: boolean): bigint =>
  BigInt(0x100 + level * 2 + which) + (far && which === 1 ? 1n << WINDOWS[level]! : 0n);
/** A leaf's page. @param far some in a window */
const pageAt = (page: number, size: bigint, far: boolean): bigint =>
  BigInt(page) * size + (far && page > 3 ? 1n << WINDOWS[page % 6]! : 0n);
const ROOTS = [0, 1];
/** Indices that tables of a level are used with. */
const INDICES: Record<number, readonly number[]> = {
  1: [0, 1, 2, 3, 4, 8],
  2: [0, 1, 511],
  3: [0, 511],
  4: [0, 511],
  5: [0, 511],
};
/**
 * Pages beyond what a leaf should name: misaligned for a large page, above 4 GiB, above 8 TiB, where windows of frame
 * numbers begin, the first and the last of one, between and beyond them, too wide for most CPUs.
 */
const ODD_FRAMES = [
  0x4_0201n,
  0x10_0000n,
  0x9000_0000n,
  0xf000_0000n,
  0x1_0000_0000n,
  0x1_01ff_ffffn,
  0x1_0200_0000n,
  0x3_0000_0000n,
  0x8_0000_0000n,
  0x80_0004_0000n,
  0x90_0000_0000n,
];

/** An address by its indices, as numbers that pick from {@link INDICES}; `odd` 0 makes it non-canonical. */
const address = fc.record({
  five: fc.nat(1),
  four: fc.nat(1),
  three: fc.nat(1),
  two: fc.nat(2),
  one: fc.nat(5),
  line: fc.nat(1),
  odd: fc.nat(30),
});
type Address = typeof address extends fc.Arbitrary<infer T> ? T : never;

function addressOf({ five, four, three, two, one, line, odd }: Address, levels: 4 | 5): bigint {
  const part = (level: number, pick: number): bigint => BigInt(INDICES[level]![pick]!) << BigInt(12 + 9 * (level - 1));
  const low =
    (levels === 5 ? part(5, five) : 0n) |
    part(4, four) |
    part(3, three) |
    part(2, two) |
    part(1, one) |
    (BigInt(line) << 6n);
  const sound = BigInt.asUintN(64, BigInt.asIntN(levels === 5 ? 57 : 48, low));
  return odd === 0 ? sound ^ (1n << 60n) : sound;
}

/** Mostly permissive: each restriction is one choice in eight, so that walks of four or five levels often end well. */
const flags = fc
  .record({
    present: fc.nat(15),
    writable: fc.nat(7),
    user: fc.nat(7),
    global: fc.boolean(),
    accessed: fc.boolean(),
    dirty: fc.boolean(),
    noExecute: fc.nat(7),
    cache: fc.nat(7),
  })
  .map(
    ({ present, writable, user, global, accessed, dirty, noExecute, cache }) =>
      (present > 0 ? 1n : 0n) |
      (writable > 0 ? 2n : 0n) |
      (user > 0 ? 4n : 0n) |
      (global ? 0x100n : 0n) |
      (accessed ? 0x20n : 0n) |
      (dirty ? 0x40n : 0n) |
      (noExecute === 0 ? 1n << 63n : 0n) |
      (cache === 0 ? 0x18n : 0n),
  );

/**
 * A table entry to write: which table, where, and what; `large` 0 makes it a leaf where the level allows one (and where
 * it does not).
 */
const edit = fc.record({
  level: fc.constantFrom(1, 1, 1, 2, 2, 3, 4, 5),
  which: fc.nat(1),
  index: fc.nat(5),
  lower: fc.nat(1),
  page: fc.nat(6),
  large: fc.nat(5),
  odd: fc.nat(40),
  patLarge: fc.boolean(),
  flags,
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function entryOf({ level, lower, page, large, odd, patLarge, flags: bits }: Edit, far: boolean): bigint {
  const leaf = level === 1 || large === 0;
  const size = level === 2 ? 512n : level === 3 ? 0x4_0000n : 1n;
  const frame = ODD_FRAMES[odd] ?? (leaf ? pageAt(page, size, far) : tableAt(level - 1, lower, far));
  return (frame << 12n) | bits | (leaf && level > 1 ? 0x80n : 0n) | (leaf && level > 1 && patLarge ? 0x1000n : 0n);
}

const thread = fc.nat(1);
const access = fc.constantFrom("fetch" as const, "load" as const, "store" as const);
const on = fc.boolean();
/** Nine steps of ten look at few pages again, so that TLBs hit, fill up and push out; the rest changes something. */
const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ op: fc.constant("access" as const), thread, address, access }) },
  {
    weight: 100,
    arbitrary: fc.record({
      op: fc.constant("again" as const),
      thread,
      back: fc.nat(3),
      page: fc.nat(9),
      line: fc.nat(1),
      access,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("clean" as const),
      level: fc.constantFrom(1, 1, 2, 3),
      which: fc.nat(1),
      index: fc.nat(5),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("cr3" as const),
      thread,
      root: fc.constantFrom(...ROOTS),
      pcid: fc.nat(2),
      keep: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("edit" as const), edit }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("user" as const), thread, on }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constantFrom(
        "wp" as const,
        "nxe" as const,
        "ac" as const,
        "pge" as const,
        "smep" as const,
        "smap" as const,
        "pcide" as const,
      ),
      thread,
      on,
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("invlpg" as const), thread, address }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant("invpcid" as const),
      thread,
      type: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
      pcid: fc.nat(2),
      address,
    }),
  },
);

const tiny = tinyMachine({ nodes: 1, coresPerNode: 1, threadsPerCore: 2 });
/** TLBs so small that three or four pages push one another out. */
const base: MachineSpec = {
  ...tiny,
  translation: {
    ...tiny.translation,
    instruction: { small: { entries: 4, ways: 2 }, large: { entries: 2, ways: 2 } },
    data: { ...tiny.translation.data, small: { entries: 4, ways: 2 } },
    second: { ...tiny.translation.second, entries: 8, ways: 4 },
  },
};
const shapes: [string, MachineSpec, 4 | 5][] = [
  ["4 levels", base, 4],
  ["5 levels", base, 5],
  ["addresses of 52 bits", { ...base, physicalBits: 52 }, 5],
  [
    "no large TLBs, no paging-structure caches, 1 GiB in the second level",
    {
      ...base,
      physicalBits: 40,
      translation: {
        ...base.translation,
        instruction: { small: { entries: 4, ways: 4 } },
        data: { small: { entries: 4, ways: 2 }, huge: { entries: 1, ways: 1 } },
        second: {
          entries: 8,
          ways: 8,
          large: true,
          cycles: base.translation.second.cycles,
          huge: { entries: 2, ways: 2 },
        },
        pagingStructure: { pde: 0, pdpte: 0, pml4e: 0, source: "none" },
      },
    },
    4,
  ],
  [
    "more than 8 ways",
    {
      ...base,
      translation: {
        ...base.translation,
        instruction: { small: { entries: 9, ways: 9 }, large: { entries: 9, ways: 9 } },
        data: { small: { entries: 9, ways: 9 } },
        second: { ...base.translation.second, entries: 20, ways: 10 },
      },
    },
    4,
  ],
  [
    "second level for small pages only",
    {
      ...base,
      translation: {
        ...base.translation,
        data: { ...base.translation.data, small: { entries: 2, ways: 1 } },
        second: { entries: 6, ways: 3, large: false, cycles: base.translation.second.cycles },
        pagingStructure: { pde: 1, pdpte: 3, pml4e: 2, source: "made up" },
      },
    },
    5,
  ],
];

/** The machine and the model side by side. */
class Pair {
  readonly machine: NumaMachine;
  readonly model: SlowTranslation;
  private readonly words = new Map<bigint, bigint>();
  private readonly bank;
  private readonly last: Address[] = [];
  private readonly far: boolean;

  constructor(
    spec: MachineSpec,
    private readonly levels: 4 | 5,
  ) {
    this.far = spec.physicalBits === 52;
    const assembly = assemble([hwX86(spec)]);
    this.machine = assembly.get(Machine) as NumaMachine;
    this.bank = assembly.get(Counters);
    this.model = new SlowTranslation(spec.translation, this.words, spec.physicalBits, 2);
    for (const thread of [0, 1]) {
      const cpu = this.machine.cpu(thread);
      cpu.cr4 = Cr4.PhysicalAddressExtension | (levels === 5 ? Cr4.FiveLevels : 0);
      cpu.writeCr3(tableAt(levels, 0, this.far) << 12n);
      cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
      cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
      Object.assign(this.model.registers[thread]!, { root: tableAt(levels, 0, this.far) << 12n, levels });
    }
  }

  /** Every entry in use, permissive, leading to the first or second table below by the parity of its index. */
  fill(): void {
    for (const level of [1, 2, 3, 4, 5]) {
      for (const which of [0, 1]) {
        INDICES[level]!.forEach((index, n) =>
          this.write(
            level,
            which,
            index,
            ((level === 1 ? BigInt(index + which * 16) : tableAt(level - 1, n & 1, this.far)) << 12n) |
              (level === 1 && n === 1 ? 0x107n : 0x7n),
          ),
        );
      }
    }
  }

  edit(each: Edit): void {
    this.write(
      each.level,
      each.which,
      INDICES[each.level]![each.index % INDICES[each.level]!.length]!,
      entryOf(each, this.far),
    );
  }

  /** Clears A and D, as a kernel does that wants to know whether a page is used. */
  clean(level: number, which: number, index: number): void {
    const indices = INDICES[level]!;
    const place = indices[index % indices.length]!;
    this.write(
      level,
      which,
      place,
      (this.words.get((tableAt(level, which, this.far) << 12n) + BigInt(place) * 8n) ?? 0n) & ~0x60n,
    );
  }

  private write(level: number, which: number, index: number, value: bigint): void {
    const at = (tableAt(level, which, this.far) << 12n) + BigInt(index) * 8n;
    this.words.set(at, value);
    this.machine.memory.write64(at, value);
  }

  access(thread: number, where: Address, access: "fetch" | "load" | "store"): void {
    this.last.unshift(where);
    const at = addressOf(where, this.levels);
    const cpu = this.machine.cpu(thread);
    const { layout } = this.bank;
    const before = this.bank.snapshot(thread);
    const result = cpu[access](lowOf(at) | 0, highOf(at) | 0);
    const after = this.bank.of(thread);
    const grown = (index: number): number => after[index]! - before[index]!;
    let walkReferences = 0;
    for (let source = 0; source < layout.sources; source++) walkReferences += grown(layout.row(0, Kind.Walk) + source);
    const physical =
      result === 0
        ? { physical: addressOfFrame(cpu.lastFrame) | (at & 4095n) }
        : { fault: result === NOT_CANONICAL ? ("GP" as const) : result & ~FAULT };
    expect({
      ...physical,
      walkReferences,
      secondTlb: grown(layout.place(0, Place.FetchSecondTlb)) + grown(layout.place(0, Place.DataSecondTlb)) === 1,
      walked: grown(layout.place(0, access === "fetch" ? Place.FetchWalks : Place.DataWalks)) === 1,
    }).toEqual(this.model.access(thread, at, access));
  }

  /** One of the last pages, or its neighbour. */
  again(thread: number, back: number, page: number, line: number, access: "fetch" | "load" | "store"): void {
    const where = this.last[back];
    if (where !== undefined) this.access(thread, { ...where, one: page > 5 ? where.one : page, line }, access);
  }

  writeCr3(thread: number, root: number, pcid: number, keep: boolean): void {
    const table = tableAt(this.levels, root, this.far);
    const cpu = this.machine.cpu(thread);
    const registers = this.model.registers[thread]!;
    const effective = registers.pcids ? pcid : 0;
    cpu.writeCr3((table << 12n) | BigInt(effective) | (keep ? 1n << 63n : 0n));
    registers.root = table << 12n;
    registers.pcid = effective;
    if (!(registers.pcids && keep)) this.forgetContext(thread, effective);
  }

  set(thread: number, op: string, on: boolean): void {
    const cpu = this.machine.cpu(thread);
    const registers = this.model.registers[thread]!;
    const bit = (register: number, mask: number): number => (on ? register | mask : register & ~mask) >>> 0;
    if (op === "user") {
      cpu.privilege = on ? 3 : 0;
      registers.user = on;
    } else if (op === "wp") {
      cpu.cr0 = bit(cpu.cr0, Cr0.WriteProtect);
      registers.writeProtect = on;
    } else if (op === "nxe") {
      cpu.efer = bit(cpu.efer, Efer.NoExecuteEnable);
      registers.noExecute = on;
    } else if (op === "ac") {
      cpu.alignmentCheck = on;
      registers.accessAllowed = on;
    } else if (op === "smap") {
      cpu.cr4 = bit(cpu.cr4, Cr4.SupervisorAccessPrevention);
      registers.smap = on;
    } else if (op === "smep") {
      if (on && !registers.smep) {
        this.forgetContext(thread, registers.pcid);
        this.model.dropTlb((each) => each.thread === thread && each.pcid === undefined);
      }
      cpu.cr4 = bit(cpu.cr4, Cr4.SupervisorExecutePrevention);
      registers.smep = on;
    } else if (op === "pge") {
      if (on !== registers.globals) this.forgetThread(thread);
      cpu.cr4 = bit(cpu.cr4, Cr4.PageGlobal);
      registers.globals = on;
    } else {
      if (on && !registers.pcids && (cpu.cr3 & 0xfffn) !== 0n) {
        expect(() => {
          cpu.cr4 |= Cr4.ProcessContext;
        }).toThrow(expect.objectContaining({ code: "general-protection", field: "cr4" }));
        return;
      }
      if (!on && registers.pcids) {
        this.forgetThread(thread);
        registers.pcid = 0;
      }
      cpu.cr4 = bit(cpu.cr4, Cr4.ProcessContext);
      registers.pcids = on;
    }
  }

  invlpg(thread: number, where: Address): void {
    const at = addressOf(where, this.levels);
    this.machine.cpu(thread).invlpg(at);
    if (!this.canonical(at)) return;
    const { pcid } = this.model.registers[thread]!;
    this.model.dropTlb(
      (each) =>
        each.thread === thread && this.model.covers(each, at) && (each.pcid === undefined || each.pcid === pcid),
    );
    this.model.dropPointers((each) => each.thread === thread && each.pcid === pcid);
  }

  invpcid(thread: number, type: 0 | 1 | 2 | 3, pcid: number, where: Address): void {
    const at = addressOf(where, this.levels);
    const registers = this.model.registers[thread]!;
    const cpu = this.machine.cpu(thread);
    if (type <= 1 && ((pcid !== 0 && !registers.pcids) || (type === 0 && !this.canonical(at)))) {
      expect(() => cpu.invpcid(type, pcid, at)).toThrow(
        expect.objectContaining({ name: "MachineError", code: "general-protection" }),
      );
      return;
    }
    cpu.invpcid(type, pcid, at);
    if (type === 0) {
      this.model.dropTlb((each) => each.thread === thread && each.pcid === pcid && this.model.covers(each, at));
      this.model.dropPointers(
        (each) => each.thread === thread && each.pcid === pcid && each.page === at >> BigInt(12 + 9 * each.level),
      );
    } else if (type === 1) this.forgetContext(thread, pcid);
    else if (type === 2) this.forgetThread(thread);
    else {
      this.model.dropTlb((each) => each.thread === thread && each.pcid !== undefined);
      this.model.dropPointers((each) => each.thread === thread);
    }
  }

  /** Table bytes are what the model made of them. */
  checkTables(): void {
    for (const [at, value] of this.words)
      expect(this.machine.memory.read64(at), `entry at 0x${at.toString(16)}`).toBe(value);
  }

  private canonical(at: bigint): boolean {
    const top = BigInt.asIntN(64, at) >> (this.levels === 5 ? 56n : 47n);
    return top === 0n || top === -1n;
  }

  private forgetContext(thread: number, pcid: number): void {
    this.model.dropTlb((each) => each.thread === thread && each.pcid === pcid);
    this.model.dropPointers((each) => each.thread === thread && each.pcid === pcid);
  }

  private forgetThread(thread: number): void {
    this.model.dropTlb((each) => each.thread === thread);
    this.model.dropPointers((each) => each.thread === thread);
  }
}

describe.each(shapes)("%s", (_, spec, levels) => {
  test("every access ends as the slow model says, and takes as many lookups and walk references", () => {
    fc.assert(
      fc.property(
        fc.array(edit, { maxLength: 12, size: "max" }),
        fc.array(step, { maxLength: 300, size: "max" }),
        (tables, steps) => {
          const pair = new Pair(spec, levels);
          pair.fill();
          for (const each of tables) pair.edit(each);
          for (const each of steps) {
            if (each.op === "access") pair.access(each.thread, each.address, each.access);
            else if (each.op === "again") pair.again(each.thread, each.back, each.page, each.line, each.access);
            else if (each.op === "cr3") pair.writeCr3(each.thread, each.root, each.pcid, each.keep);
            else if (each.op === "edit") pair.edit(each.edit);
            else if (each.op === "clean") pair.clean(each.level, each.which, each.index);
            else if (each.op === "invlpg") pair.invlpg(each.thread, each.address);
            else if (each.op === "invpcid") pair.invpcid(each.thread, each.type, each.pcid, each.address);
            else pair.set(each.thread, each.op, each.on);
          }
          pair.checkTables();
        },
      ),
      { numRuns: 200 },
    );
  });
});

test("halves may be signed or unsigned", () => {
  const pair = new Pair(base, 4);
  pair.fill();
  const at = addressOf({ five: 0, four: 1, three: 1, two: 1, one: 2, line: 0, odd: 1 }, 4);
  expect(fromHalves(lowOf(at) | 0, highOf(at) | 0)).toBe(at);
  const cpu = pair.machine.cpu(0);
  for (const access of ["fetch", "load", "store"] as const) {
    expect(cpu[access](lowOf(at), highOf(at))).toBe(0);
    expect(cpu[access](lowOf(at) | 0, highOf(at) | 0)).toBe(0);
  }
});
