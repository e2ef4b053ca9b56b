/** TLBs, paging-structure caches and walker, access by access against the slow model: results, table bytes and every event. */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NumaMachine} from "../src/index.js";
import { Counters, Cr0, Cr4, Efer, FAULT, Kind, Machine, NOT_CANONICAL, Place, fromHalves, highOf, hwX86, lowOf, type MachineSpec } from "../src/index.js";
import { SlowTranslation, tinyMachine } from "../src/testing.js";

const INDICES = [0, 1, 256, 511];
const TABLES = [0, 1, 2].map((n) => BigInt(0x100 + n));
/** Frames a leaf may name: aligned for every size or for none, below and above 4 GiB, and two that are too wide. */
const FRAMES = [0n, 0x4_0000n, 0x4_0200n, 0x4_0201n, 0x10_0000n, 0x1_0000_0000n, 0x8_0000_0000n];

/** Addresses whose indices are all among {@link INDICES}, in both halves; some are not canonical. */
const address = fc.tuple(fc.constantFrom(0, 256, 511, 511), fc.constantFrom(...INDICES), fc.constantFrom(...INDICES), fc.constantFrom(...INDICES), fc.constantFrom(0, 1, 2, 3, 511), fc.boolean(), fc.nat(8)).map(
  ([five, four, three, two, one, extend, odd]) => {
    const low = (BigInt(five) << 48n) | (BigInt(four) << 39n) | (BigInt(three) << 30n) | (BigInt(two) << 21n) | (BigInt(one) << 12n) | 0x40n;
    if (odd === 0) return low | (1n << 60n);
    return BigInt.asUintN(64, extend ? BigInt.asIntN(48, low) : BigInt.asIntN(57, low));
  });

const flags = fc.record({ present: fc.nat(9), writable: fc.nat(3), user: fc.nat(3), large: fc.nat(3), global: fc.boolean(), accessed: fc.boolean(), dirty: fc.boolean(), noExecute: fc.nat(4), cache: fc.nat(3) }).map(
  ({ present, writable, user, large, global, accessed, dirty, noExecute, cache }) => (present > 0 ? 1n : 0n) | (writable > 0 ? 2n : 0n) | (user > 0 ? 4n : 0n) | (large === 0 ? 0x80n : 0n)
    | (global ? 0x100n : 0n) | (accessed ? 0x20n : 0n) | (dirty ? 0x40n : 0n) | (noExecute === 0 ? 1n << 63n : 0n) | (cache === 0 ? 0x18n : 0n));
/** An entry of a table: a table or a leaf, any flags. Every table page is used at every level, so walks meet in all ways. */
const entry = fc.record({ table: fc.nat(2), pick: fc.constantFrom(...TABLES), frame: fc.constantFrom(...FRAMES), flags, patLarge: fc.nat(8) }).map(
  ({ table, pick, frame, flags: bits, patLarge }) => ((table > 0 && (bits & 0x80n) === 0n ? pick : frame) << 12n) | bits | (patLarge === 0 && (bits & 0x80n) !== 0n ? 0x1000n : 0n));
const place = fc.record({ table: fc.constantFrom(...TABLES), index: fc.constantFrom(0, 1, 2, 3, 256, 511) });

const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ op: fc.constant("access" as const), thread: fc.nat(1), address, access: fc.constantFrom("fetch" as const, "load" as const, "store" as const) }) },
  { weight: 100, arbitrary: fc.record({ op: fc.constant("again" as const), thread: fc.nat(1), back: fc.nat(3), page: fc.nat(3), access: fc.constantFrom("fetch" as const, "load" as const, "store" as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("cr3" as const), thread: fc.nat(1), table: fc.constantFrom(...TABLES), pcid: fc.nat(2), keep: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("edit" as const), place, entry }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("user" as const), thread: fc.nat(1), on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constantFrom("wp" as const, "nxe" as const, "ac" as const, "pge" as const, "smep" as const, "smap" as const, "pcide" as const), thread: fc.nat(1), on: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("invlpg" as const), thread: fc.nat(1), address }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("invpcid" as const), thread: fc.nat(1), type: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const), pcid: fc.nat(2), address }) },
);

const tiny = tinyMachine({ nodes: 1, coresPerNode: 1, threadsPerCore: 2 });
/** TLBs so small that three or four pages push one another out. */
const base: MachineSpec = { ...tiny, translation: { ...tiny.translation,
  instruction: { small: { entries: 4, ways: 2 }, large: { entries: 2, ways: 2 } }, data: { ...tiny.translation.data, small: { entries: 4, ways: 2 } },
  second: { ...tiny.translation.second, entries: 8, ways: 4 } } };
const shapes: [string, MachineSpec, 4 | 5][] = [
  ["4 levels", base, 4],
  ["5 levels", base, 5],
  ["no large TLBs, no paging-structure caches, 1 GiB in the second level", { ...base, physicalBits: 40, translation: {
    ...base.translation, instruction: { small: { entries: 4, ways: 4 } }, data: { small: { entries: 4, ways: 2 } },
    second: { entries: 8, ways: 8, large: true, cycles: base.translation.second.cycles, huge: { entries: 2, ways: 2 } },
    pagingStructure: { pde: 0, pdpte: 0, pml4e: 0, source: "none" },
  } }, 4],
  ["more than 8 ways", { ...base, translation: { ...base.translation,
    instruction: { small: { entries: 9, ways: 9 }, large: { entries: 9, ways: 9 } }, data: { small: { entries: 9, ways: 9 } }, second: { ...base.translation.second, entries: 20, ways: 10 } } }, 4],
  ["second level for small pages only", { ...base, translation: {
    ...base.translation, data: { ...base.translation.data, small: { entries: 2, ways: 1 } }, second: { entries: 6, ways: 3, large: false, cycles: base.translation.second.cycles },
    pagingStructure: { pde: 1, pdpte: 3, pml4e: 2, source: "made up" },
  } }, 5],
];

/** The machine and the model side by side. */
class Pair {
  readonly machine: NumaMachine;
  readonly model: SlowTranslation;
  private readonly words = new Map<bigint, bigint>();
  private readonly bank;
  private readonly last: bigint[] = [];

  constructor(spec: MachineSpec, private readonly levels: 4 | 5) {
    const assembly = assemble([hwX86(spec)]);
    this.machine = assembly.get(Machine) as NumaMachine;
    this.bank = assembly.get(Counters);
    this.model = new SlowTranslation(spec.translation, this.words, spec.physicalBits, 2);
    for (const thread of [0, 1]) {
      const cpu = this.machine.cpu(thread);
      cpu.cr4 = Cr4.PhysicalAddressExtension | (levels === 5 ? Cr4.FiveLevels : 0);
      cpu.writeCr3(TABLES[0]! << 12n);
      cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
      cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
      Object.assign(this.model.registers[thread]!, { root: TABLES[0]! << 12n, levels });
    }
  }

  edit(table: bigint, index: number, value: bigint): void {
    const at = (table << 12n) + BigInt(index) * 8n;
    this.words.set(at, value);
    this.machine.memory.write64(at, value);
  }

  access(thread: number, at: bigint, access: "fetch" | "load" | "store"): void {
    this.last.unshift(at);
    const cpu = this.machine.cpu(thread);
    const { layout } = this.bank;
    const before = this.bank.snapshot(thread);
    const result = cpu[access](lowOf(at) | 0, highOf(at) | 0);
    const after = this.bank.of(thread);
    const grown = (index: number): number => after[index]! - before[index]!;
    let walkReferences = 0;
    for (let source = 0; source < layout.sources; source++) walkReferences += grown(layout.row(0, Kind.Walk) + source);
    const physical = result === 0 ? { physical: (BigInt(cpu.lastFrame) << 12n) | (at & 4095n) } : { fault: result === NOT_CANONICAL ? "GP" as const : result & ~FAULT };
    expect({
      ...physical, walkReferences,
      secondTlb: grown(layout.place(0, Place.FetchSecondTlb)) + grown(layout.place(0, Place.DataSecondTlb)) === 1,
      walked: grown(layout.place(0, access === "fetch" ? Place.FetchWalks : Place.DataWalks)) === 1,
    }).toEqual(this.model.access(thread, at, access));
  }

  /** One of the last pages, or its neighbour. */
  again(thread: number, back: number, page: number, access: "fetch" | "load" | "store"): void {
    const at = this.last[back];
    if (at !== undefined) this.access(thread, (at & ~0x3000n) | (BigInt(page) << 12n), access);
  }

  writeCr3(thread: number, table: bigint, pcid: number, keep: boolean): void {
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
        expect(() => { cpu.cr4 |= Cr4.ProcessContext; }).toThrow(expect.objectContaining({ code: "general-protection", field: "cr4" }));
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

  invlpg(thread: number, at: bigint): void {
    this.machine.cpu(thread).invlpg(at);
    if (!this.canonical(at)) return;
    const { pcid } = this.model.registers[thread]!;
    this.model.dropTlb((each) => each.thread === thread && this.model.covers(each, at) && (each.pcid === undefined || each.pcid === pcid));
    this.model.dropPointers((each) => each.thread === thread && each.pcid === pcid);
  }

  invpcid(thread: number, type: 0 | 1 | 2 | 3, pcid: number, at: bigint): void {
    const registers = this.model.registers[thread]!;
    const cpu = this.machine.cpu(thread);
    if (type <= 1 && ((pcid !== 0 && !registers.pcids) || (type === 0 && !this.canonical(at)))) {
      expect(() => cpu.invpcid(type, pcid, at)).toThrow(expect.objectContaining({ name: "MachineError", code: "general-protection" }));
      return;
    }
    cpu.invpcid(type, pcid, at);
    if (type === 0) {
      this.model.dropTlb((each) => each.thread === thread && each.pcid === pcid && this.model.covers(each, at));
      this.model.dropPointers((each) => each.thread === thread && each.pcid === pcid && each.page === at >> BigInt(12 + 9 * each.level));
    } else if (type === 1) this.forgetContext(thread, pcid);
    else if (type === 2) this.forgetThread(thread);
    else {
      this.model.dropTlb((each) => each.thread === thread && each.pcid !== undefined);
      this.model.dropPointers((each) => each.thread === thread);
    }
  }

  /** Table bytes are what the model made of them. */
  checkTables(): void {
    for (const [at, value] of this.words) expect(this.machine.memory.read64(at), `entry at 0x${at.toString(16)}`).toBe(value);
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
    fc.assert(fc.property(fc.array(fc.tuple(place, entry), { maxLength: 24, size: "max" }), fc.array(step, { maxLength: 300, size: "max" }), (tables, steps) => {
      const pair = new Pair(spec, levels);
      for (const [{ table, index }, value] of tables) pair.edit(table, index, value);
      for (const each of steps) {
        if (each.op === "access") pair.access(each.thread, each.address, each.access);
        else if (each.op === "again") pair.again(each.thread, each.back, each.page, each.access);
        else if (each.op === "cr3") pair.writeCr3(each.thread, each.table, each.pcid, each.keep);
        else if (each.op === "edit") pair.edit(each.place.table, each.place.index, each.entry);
        else if (each.op === "invlpg") pair.invlpg(each.thread, each.address);
        else if (each.op === "invpcid") pair.invpcid(each.thread, each.type, each.pcid, each.address);
        else pair.set(each.thread, each.op, each.on);
      }
      pair.checkTables();
    }), { numRuns: 300, seed: 1 });
  });
});

test("halves may be signed or unsigned", () => {
  const at = 0xffff_ffff_8100_0040n;
  expect(fromHalves(lowOf(at) | 0, highOf(at) | 0)).toBe(at);
  const pair = new Pair(base, 4);
  for (const [table, index, value] of [[0x100n, 511, 0x101003n], [0x101n, 510, 0x102003n], [0x102n, 8, 0x1e3n]] as const) pair.edit(table, index, value);
  const cpu = pair.machine.cpu(0);
  for (const access of ["fetch", "load", "store"] as const) {
    expect(cpu[access](lowOf(at), highOf(at))).toBe(0);
    expect(cpu[access](lowOf(at) | 0, highOf(at) | 0)).toBe(0);
  }
});
