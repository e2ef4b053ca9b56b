/**
 * What each operation forgets, as a table.
 *
 * Source: SDM vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches"; vol. 2, "INVPCID", operation.
 *
 * Two pages and one global page are cached for PCID 1, one page for PCID 2, and the tables they went through. Then the
 * tables are changed behind the CPU's back and the operation runs: a page that still leads to the old frame was kept.
 */
import { assemble } from "@kreplica/di";
import { beforeEach, describe, expect, test } from "vitest";
import { Cr0, Cr4, Efer, FAULT, FaultBit, Machine, type Cpu, cr3Value, hwX86 } from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

/** Pages of PCID 1 in a table of their own each; `fresh` are pages beside them that no TLB holds. */
const PAGES = { a: 0x1000, b: 0x20_1000, global: 0x40_1000 } as const;
const OTHER = 0x1000;
/** Roots of PCID 1 and 2, then one PUD and one PMD page and three PTE pages for each. */
const ROOTS = { 1: 0x100, 2: 0x110 } as const;
const OLD = 0x1000;
const NEW = 0x2000;

type Kept = "a" | "b" | "global" | "other" | "sibling" | "tablesOfA" | "tablesOfB" | "tablesOfOther";
const ALL: readonly Kept[] = ["a", "b", "global", "other", "sibling", "tablesOfA", "tablesOfB", "tablesOfOther"];
const without = (...gone: Kept[]): Kept[] => ALL.filter((each) => !gone.includes(each));
const NON_GLOBAL_1: Kept[] = ["a", "b", "tablesOfA", "tablesOfB"];

const machineOf = (): Machine =>
  assemble([
    hwX86(
      tinyMachine({
        nodes: 1,
        coresPerNode: 1,
        threadsPerCore: 2,
        with: {
          translation: {
            ...tinyMachine().translation,
            instruction: { small: { entries: 32, ways: 32 } },
            data: { small: { entries: 32, ways: 32 } },
            second: { ...tinyMachine().translation.second, entries: 64, ways: 64 },
            pagingStructure: { pde: 16, pdpte: 4, pml4e: 4, source: "made up" },
          },
        },
      }),
    ),
  ]).get(Machine);

class Scene {
  readonly machine = machineOf();
  readonly cpu: Cpu = this.machine.cpu(0);
  private readonly sibling: Cpu = this.machine.cpu(1);

  constructor(pcids: boolean) {
    for (const pcid of [1, 2] as const) this.map(pcid, OLD);
    for (const cpu of [this.sibling, this.cpu]) {
      cpu.cr4 = Cr4.PhysicalAddressExtension;
      cpu.writeCr3(cr3Value(ROOTS[1]));
      cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
      cpu.cr0 = Cr0.Paging;
      cpu.cr4 |= Cr4.PageGlobal;
      if (pcids) cpu.cr4 |= Cr4.ProcessContext;
    }
    if (pcids) {
      this.cpu.writeCr3(cr3Value(ROOTS[2], 2));
      this.touch(this.cpu, OTHER);
    }
    for (const cpu of [this.sibling, this.cpu]) {
      cpu.writeCr3(cr3Value(ROOTS[1], pcids ? 1 : 0));
      for (const page of Object.values(PAGES)) this.touch(cpu, page);
    }
    for (const pcid of [1, 2] as const) this.map(pcid, NEW);
  }

  private touch(cpu: Cpu, page: number): number {
    expect(cpu.load(page, 0)).toBe(0);
    return cpu.lastFrame;
  }

  /** Writes the tables of one PCID: pages lead to frames from `frames` on, through PTE pages that also depend on it. */
  private map(pcid: 1 | 2, frames: number): void {
    const { memory } = this.machine;
    const root = ROOTS[pcid];
    const set = (table: number, index: number, frame: number, bits = 0x67): void =>
      memory.write64(BigInt(table) * 4096n + BigInt(index) * 8n, (BigInt(frame) << 12n) | BigInt(bits));
    set(root, 0, root + 1);
    set(root + 1, 0, root + 2);
    for (const two of [0, 1, 2]) {
      const leaves = root + 3 + two + (frames === NEW ? 5 : 0);
      set(root + 2, two, leaves);
      for (const page of [1, 2]) set(leaves, page, frames + two * 2 + page, two === 2 ? 0x167 : 0x67);
      // The old table changes as well: a page that is walked through a kept PDE shows a third frame.
      if (frames === NEW)
        for (const page of [1, 2]) set(root + 3 + two, page, 0x3000 + two * 2 + page, two === 2 ? 0x167 : 0x67);
    }
  }

  /** What survived, looked at in an order in which nothing disturbs the rest. */
  kept(pcids: boolean): Kept[] {
    const kept: Kept[] = [];
    const look = (what: Kept, cpu: Cpu, page: number, first: number): void => {
      const frame = this.touch(cpu, page);
      if (frame >= first && frame < first + 0x1000) kept.push(what);
    };
    const { cpu } = this;
    const bits = cr3Value(ROOTS[1], pcids ? 1 : 0, pcids);
    if (cpu.cr3 !== (bits & ~(1n << 63n)) && pcids) cpu.writeCr3(bits);
    look("a", cpu, PAGES.a, OLD);
    look("b", cpu, PAGES.b, OLD);
    look("global", cpu, PAGES.global, OLD);
    // The neighbour of a page was never loaded: it is walked, from the PTE page that is cached if one is.
    look("tablesOfA", cpu, PAGES.a + 0x1000, 0x3000);
    look("tablesOfB", cpu, PAGES.b + 0x1000, 0x3000);
    look("sibling", this.sibling, PAGES.a, OLD);
    if (pcids) {
      cpu.writeCr3(cr3Value(ROOTS[2], 2, true));
      look("other", cpu, OTHER, OLD);
      look("tablesOfOther", cpu, OTHER + 0x1000, 0x3000);
    }
    return ALL.filter((each) => kept.includes(each));
  }
}

const toggle =
  (bit: Cr4) =>
  (cpu: Cpu): void => {
    cpu.cr4 ^= bit;
  };

describe("with PCIDs", () => {
  test.each<[string, (cpu: Cpu) => void, Kept[]]>([
    ["nothing", () => {}, without()],
    ["INVLPG a", (cpu) => cpu.invlpg(BigInt(PAGES.a)), without("a", "tablesOfA", "tablesOfB")],
    [
      "INVLPG of a global page",
      (cpu) => cpu.invlpg(BigInt(PAGES.global) + 5n),
      without("global", "tablesOfA", "tablesOfB"),
    ],
    [
      "INVLPG of a non-canonical address with a's low bits",
      (cpu) => cpu.invlpg(BigInt(PAGES.a) | (1n << 60n)),
      without(),
    ],
    ["INVPCID 0, PCID 1, a", (cpu) => cpu.invpcid(0, 1, BigInt(PAGES.a)), without("a", "tablesOfA")],
    ["INVPCID 0, PCID 1, the global page", (cpu) => cpu.invpcid(0, 1, BigInt(PAGES.global)), without()],
    ["INVPCID 0, PCID 2, its page", (cpu) => cpu.invpcid(0, 2, BigInt(OTHER)), without("other", "tablesOfOther")],
    ["INVPCID 1, PCID 1", (cpu) => cpu.invpcid(1, 1, 0n), without(...NON_GLOBAL_1)],
    ["INVPCID 1, PCID 2", (cpu) => cpu.invpcid(1, 2, 0n), without("other", "tablesOfOther")],
    ["INVPCID 2", (cpu) => cpu.invpcid(2, 0, 0n), ["sibling"]],
    ["INVPCID 3", (cpu) => cpu.invpcid(3, 0, 0n), ["global", "sibling"]],
    ["MOV CR3, PCID 1, flush", (cpu) => cpu.writeCr3(cr3Value(ROOTS[1], 1)), without(...NON_GLOBAL_1)],
    ["MOV CR3, PCID 1, no flush", (cpu) => cpu.writeCr3(cr3Value(ROOTS[1], 1, true)), without()],
    ["MOV CR3, PCID 2, flush", (cpu) => cpu.writeCr3(cr3Value(ROOTS[2], 2)), without("other", "tablesOfOther")],
    ["MOV CR3, PCID 3, flush", (cpu) => cpu.writeCr3(cr3Value(ROOTS[2], 3)), without()],
    ["CR4.PGE cleared", toggle(Cr4.PageGlobal), ["sibling"]],
    ["CR4.SMEP set", toggle(Cr4.SupervisorExecutePrevention), without("global", ...NON_GLOBAL_1)],
    [
      "CR4.SMAP set",
      (cpu) => {
        cpu.alignmentCheck = true;
        cpu.cr4 |= Cr4.SupervisorAccessPrevention;
      },
      without(),
    ],
    [
      "CR0.WP set",
      (cpu) => {
        cpu.cr0 |= Cr0.WriteProtect;
      },
      without(),
    ],
    ["everything of this thread", (cpu) => cpu.flushTranslations(), ["sibling"]],
  ])("%s", (_, operation, kept) => {
    const scene = new Scene(true);
    operation(scene.cpu);
    expect(scene.kept(true)).toEqual(kept);
  });

  test("CR4.SMEP cleared forgets nothing", () => {
    const scene = new Scene(true);
    scene.cpu.cr4 |= Cr4.SupervisorExecutePrevention;
    const again = new Scene(true);
    expect(again.kept(true)).toEqual(without());
    scene.kept(true);
    scene.cpu.writeCr3(cr3Value(ROOTS[1], 1, true));
    const before = (scene.cpu.load(PAGES.a, 0), scene.cpu.lastFrame);
    scene.machine.memory.write64(BigInt(ROOTS[1]) * 4096n, 0n);
    scene.cpu.cr4 &= ~Cr4.SupervisorExecutePrevention;
    expect([scene.cpu.load(PAGES.a, 0), scene.cpu.lastFrame]).toEqual([0, before]);
  });

  test("CR4.PCIDE cleared forgets all of the thread", () => {
    const scene = new Scene(true);
    scene.cpu.cr4 &= ~Cr4.ProcessContext;
    // PCID 0 is what counts now; nothing of it was cached, so the pages of PCID 0 have to come from the new tables.
    scene.cpu.load(PAGES.a, 0);
    expect(scene.cpu.lastFrame).toBe(NEW + 1);
    scene.cpu.load(PAGES.global, 0);
    expect(scene.cpu.lastFrame).toBe(NEW + 5);
  });
});

describe("without PCIDs", () => {
  const gone: Kept[] = ["other", "tablesOfOther"];
  test.each<[string, (cpu: Cpu) => void, Kept[]]>([
    ["nothing", () => {}, without(...gone)],
    ["MOV CR3", (cpu) => cpu.writeCr3(cr3Value(ROOTS[1])), ["global", "sibling"]],
    [
      "MOV CR3 with bit 63 set flushes all the same",
      (cpu) => cpu.writeCr3(cr3Value(ROOTS[1], 0, true)),
      ["global", "sibling"],
    ],
    ["INVPCID 0, PCID 0, a", (cpu) => cpu.invpcid(0, 0, BigInt(PAGES.a)), without("a", "tablesOfA", ...gone)],
    ["INVPCID 0, PCID 0, the global page", (cpu) => cpu.invpcid(0, 0, BigInt(PAGES.global)), without(...gone)],
    ["INVPCID 1, PCID 0", (cpu) => cpu.invpcid(1, 0, 0n), ["global", "sibling"]],
    [
      "CR0.PG cleared and set",
      (cpu) => {
        cpu.cr0 = 0;
        cpu.cr0 = Cr0.Paging;
      },
      ["sibling"],
    ],
    ["CR4.PCIDE set", toggle(Cr4.ProcessContext), without(...gone)],
    [
      "CR4.PCIDE set and cleared",
      (cpu) => {
        cpu.cr4 |= Cr4.ProcessContext;
        cpu.cr4 &= ~Cr4.ProcessContext;
      },
      ["sibling"],
    ],
  ])("%s", (_, operation, kept) => {
    const scene = new Scene(false);
    operation(scene.cpu);
    expect(scene.kept(false)).toEqual(kept);
  });
});

/**
 * Source: SDM vol. 3A, "Control Registers", "Process-Context Identifiers (PCIDs)"; vol. 2, "MOV (Move to/from Control
 * Registers)"; vol. 4, "IA32_EFER".
 */
describe("what the hardware answers with #GP changes nothing", () => {
  /** Widest physical address of the machine of these tests. */
  const WIDEST = BigInt(tinyMachine().physicalBits);
  test.each<[string, "cr0" | "cr3" | "cr4" | "efer", boolean, (cpu: Cpu) => void]>([
    [
      "CR0.PG cleared with CR4.PCIDE",
      "cr0",
      true,
      (cpu) => {
        cpu.cr0 = 0;
      },
    ],
    [
      "CR4.PCIDE set outside long mode",
      "cr4",
      false,
      (cpu) => {
        cpu.cr0 = 0;
        cpu.cr4 |= Cr4.ProcessContext;
      },
    ],
    [
      "CR4.PCIDE set with a PCID in CR3",
      "cr4",
      false,
      (cpu) => {
        cpu.writeCr3(cr3Value(ROOTS[1], 1));
        cpu.cr4 |= Cr4.ProcessContext;
      },
    ],
    [
      "CR4.PAE cleared while paging is on",
      "cr4",
      true,
      (cpu) => {
        cpu.cr4 &= ~Cr4.PhysicalAddressExtension;
      },
    ],
    [
      "EFER.LME cleared while paging is on",
      "efer",
      true,
      (cpu) => {
        cpu.efer = Efer.NoExecuteEnable;
      },
    ],
    ["CR3 with bit 62", "cr3", true, (cpu) => cpu.writeCr3(cr3Value(ROOTS[1], 1) | (1n << 62n))],
    ["CR3 with bit 60", "cr3", false, (cpu) => cpu.writeCr3(cr3Value(ROOTS[1]) | (1n << 60n))],
    ["CR3 just above the widest physical address", "cr3", true, (cpu) => cpu.writeCr3(1n << WIDEST)],
  ])("%s", (_, field, pcids, operation) => {
    const { cpu } = new Scene(pcids);
    expect(() => operation(cpu)).toThrow(expect.objectContaining({ code: "general-protection", field }));
    if (field !== "cr3") return;
    expect(cpu.rootFrame).toBe(ROOTS[1]);
    expect(cpu.load(PAGES.a, 0)).toBe(0);
  });

  test("the highest root a physical address can name is taken, and LME may change while paging is off", () => {
    const { cpu } = new Scene(false);
    cpu.writeCr3((1n << WIDEST) - 4096n);
    expect(cpu.cr3).toBe((1n << WIDEST) - 4096n);
    cpu.cr0 = 0;
    cpu.efer = 0;
    expect(cpu.efer).toBe(0);
  });
});

describe("a page fault", () => {
  let scene: Scene;
  beforeEach(() => {
    scene = new Scene(true);
  });

  test("forgets the page that caused it: a corrected table is seen at the next try", () => {
    const { cpu, machine } = scene;
    const entry = (BigInt(ROOTS[1] + 8) << 12n) + 8n;
    machine.memory.write64(entry, (BigInt(NEW) << 12n) | 0x65n);
    cpu.cr0 |= Cr0.WriteProtect;
    cpu.invlpg(BigInt(PAGES.a));
    expect(cpu.store(PAGES.a, 0)).toBe(FAULT | FaultBit.Protection | FaultBit.Write);
    machine.memory.write64(entry, (BigInt(NEW) << 12n) | 0x67n);
    expect(cpu.store(PAGES.a, 0)).toBe(0);
  });

  test("on a stale entry as well, and leaves other pages alone", () => {
    const { cpu, machine } = scene;
    cpu.cr0 |= Cr0.WriteProtect;
    const entry = (BigInt(ROOTS[1] + 8) << 12n) + 8n;
    machine.memory.write64(entry, (BigInt(NEW) << 12n) | 0x65n);
    cpu.invlpg(BigInt(PAGES.a));
    expect(cpu.load(PAGES.a, 0)).toBe(0);
    machine.memory.write64(entry, (BigInt(NEW + 9) << 12n) | 0x67n);
    expect(cpu.store(PAGES.a, 0)).toBe(FAULT | FaultBit.Protection | FaultBit.Write);
    expect([cpu.store(PAGES.a, 0), cpu.lastFrame]).toEqual([0, NEW + 9]);
    cpu.load(PAGES.b, 0);
    expect(cpu.lastFrame).toBe(OLD + 3);
  });
});
