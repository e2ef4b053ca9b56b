/**
 * What a row must pass over, though it looks odd: entries that are absent and still say something, frames behind a
 * leaf, tables that one half lacks. Each beside the fault that it must not hide. And what a witness makes of what it
 * sees.
 */
import { type Frame, hex, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { type BootStep, directAddress, type ReplicaView, walk } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { BootWitness, type StepSeen } from "../src/index.js";
import {
  allocator,
  BOOT,
  BSS,
  change,
  DATA,
  entries,
  frameAt,
  having,
  layout,
  memory,
  ownBss,
  P,
  PGD,
  R0,
  R1,
  RODATA,
  said,
  sound,
  table,
  TAIL,
  TEXT,
  TEXT_FRAME,
  to,
  W,
  without,
} from "./planted.js";

describe("H5: what user mode reads of the entry text", () => {
  /** Has node 1's user half map the large page of entry text by small ones. @returns their table */
  const small = (): Frame => {
    const made = table();
    const first = frameAt(R1, TEXT);
    for (let page = 0; page < 512; page++) entries.write(made, page, ((first + page) << 12) | 0x161, 0);
    change(R1 + 1, TEXT, 2, () => [(made << 12) | 0x63, 0]);
    return made;
  };

  test("may lie in other frames, whatever lies behind them", () => {
    const made = small();
    expect(said("H5")).toEqual([]);
    const copy = allocator.allocate(0, 0, { purpose: "kernel", zero: true });
    memory.copyFrame(frameAt(R1, TEXT), copy);
    entries.write(made, 0, (copy << 12) | 0x161, 0);
    expect(memory.equalFrames(copy + 1, frameAt(R1, TEXT + PAGE))).toBe(false);
    expect(said("H5")).toEqual([]);
  });

  test.each([0, 1, 510, 511])("is the kernel's in page %i, of a large leaf and of small ones", (page) => {
    const at = TEXT + BigInt(page) * PAGE;
    const says = [`node 1: user mode reads other bytes than the kernel at ${hex(at)}`];
    const made = small();
    entries.write(made, page, ((TEXT_FRAME + 512) << 12) | 0x161, 0);
    expect(said("H5")).toEqual(says);
    sound.undo();
    change(R1 + 1, TEXT, 2, to(TEXT_FRAME));
    expect(said("H5")).toEqual([]);
    sound.poke(TEXT_FRAME + page, 1, memory.read32(TEXT_FRAME + page, 1) ^ 1);
    const found = said("H5");
    expect(found).toContain(says[0]);
    expect(found).not.toContain(`node 1: user mode reads other bytes than the kernel at ${hex(at + PAGE)}`);
  });

  test("and is there for the kernel too", () => {
    change(R1, TEXT, 2, without(P));
    expect(said("H5")![0]).toMatch(`user mode reads other bytes than the kernel at ${hex(TEXT)} (and `);
  });
});

describe("C8: a slot that one half lacks says nothing of its tables,", () => {
  test.each([
    ["kernel", 0],
    ["user", 1],
  ] as const)("not that they were looked at: the %s half's", (_, half) => {
    // Of node 1 one half has the slot no more, and still names its table; a process's PGD there has both.
    change(R1 + half, TEXT, 4, without(P));
    expect(said("C8")).toEqual([]);
    change(PGD(1) + 1, TEXT, 2, having(W));
    expect(said("C8")).toEqual([
      `${hex(TEXT)} of space 1 on node 1: the user half maps it with another right than the kernel's half`,
    ]);
  });

  test("nor does one that neither has", () => {
    change(R1, TEXT, 4, without(P));
    change(R1 + 1, TEXT, 4, without(P));
    change(PGD(1) + 1, TEXT, 2, having(W));
    expect(said("C8")![0]).toMatch("of space 1 on node 1");
  });
});

describe("what is absent is a hole, whatever else its entry says:", () => {
  test("a table of small pages", () => {
    ownBss();
    change(R1, BSS, 2, without(P));
    const start = BSS & ~(LARGE - 1n);
    const frame = frameAt(R0, start);
    expect(said("B6")![0]).toMatch(`${hex(start)}: a hole on node 1, RW- on node 0 (and `);
    expect(said("A4")![0]).toMatch(`${hex(start)}: node 1 has a hole, node 0 frame ${frame} (and `);
  });

  test("a small page", () => {
    ownBss();
    change(R1, BSS, 1, without(P));
    expect(said("B6")).toEqual([`${hex(BSS)}: a hole on node 1, RW- on node 0`]);
    expect(said("A4")).toEqual([`${hex(BSS)}: node 1 has a hole, node 0 frame ${frameAt(R0, BSS)}`]);
  });

  test("a large page", () => {
    change(R1, DATA, 2, without(P));
    expect(said("B6")![0]).toMatch(`${hex(DATA)}: a hole on node 1, RW- on node 0 (and 511 more)`);
    expect(said("A4")![0]).toMatch(`${hex(DATA)}: node 1 has a hole, node 0 frame ${frameAt(R0, DATA)} (and 511 more)`);
  });

  test("two holes are alike, whatever their entries say", () => {
    ownBss();
    change(R1, BSS, 1, without(P));
    change(R0, BSS, 1, () => [0, 0]);
    expect([said("B6"), said("A4")]).toEqual([[], []]);
    sound.undo();
    change(R1, DATA, 2, without(P));
    change(R0, DATA, 2, () => [0, 0]);
    expect([said("B6"), said("A4")]).toEqual([[], []]);
  });
});

describe("a witness", () => {
  const OWN: ReplicaView = Object.assign(Object.create(sound.view) as ReplicaView, {
    master: 0,
    replicaFrame: (address: bigint, node: number) => {
      const { present, lo, level } = walk(memory, sound.view.kernelRoot(node), layout.levels, address);
      if (!present) return undefined;
      return level === 1 ? lo >>> 12 : frameAt(sound.view.kernelRoot(node), address);
    },
  });
  /** A witness of a boot whose steps are done by hand. */
  function watching(view: ReplicaView = OWN): { witness: BootWitness; step: (name: BootStep) => StepSeen } {
    const during: [string, () => string][] = [];
    const boot = {
      units: sound.kernel.boot.units,
      during: (step: string, act: () => string) => during.push([step, act]),
    };
    const witness = BootWitness.of({ ...sound, view, boot } as unknown as Parameters<typeof BootWitness.of>[0]);
    return {
      witness,
      step: (name) => {
        const acts = during.filter(([step]) => step === name);
        expect(acts.map(([, act]) => act())).toEqual(acts.map(() => ""));
        return witness.steps.at(-1)!;
      },
    };
  }
  const copies = 514 + 515;

  test("sees copies of text and rodata, by each holder's root, and what they take", () => {
    const { step } = watching();
    expect(step("running")).toEqual({
      step: "running",
      holders: [0, 1],
      ownText: true,
      ownRodata: true,
      sameRodata: false,
      equalText: true,
      copyFrames: copies,
    });
  });

  const last = (start: bigint, pages: number): bigint => start + BigInt(pages - 1) * PAGE;
  test.each([
    ["text", "first", TEXT, TEXT_FRAME],
    ["text", "last", last(TEXT, 514), TEXT_FRAME + 513],
    ["rodata", "first", RODATA, frameAt(R0, RODATA)],
    ["rodata", "last", last(RODATA, 515), frameAt(R0, RODATA) + 514],
  ] as const)("sees that of %s the %s page is not a holder's own, or is no page", (part, _, address, original) => {
    const { step } = watching();
    const { level } = walk(memory, R1, layout.levels, address);
    change(R1, address, level, to(original));
    const own = step("running");
    expect([own.ownText, own.ownRodata]).toEqual([part !== "text", part !== "rodata"]);
    expect([own.sameRodata, own.equalText]).toEqual([false, true]);
    sound.undo();
    change(R1, address, level, without(P));
    const hole = step("running");
    expect([hole.ownText, hole.ownRodata]).toEqual([part !== "text", part !== "rodata"]);
    expect(hole.equalText).toBe(part !== "text");
  });

  test("sees that one page of text holds other bytes", () => {
    const { step } = watching();
    for (const page of [0, 257, 513]) {
      const frame = frameAt(R1, TEXT + BigInt(page) * PAGE);
      sound.poke(frame, 1000, memory.read32(frame, 1000) ^ 1);
      expect(step("running").equalText, `page ${page}`).toBe(false);
      sound.undo();
    }
    expect(step("running").equalText).toBe(true);
  });

  test("sees that all holders map one rodata, and that one page of it is another's", () => {
    const { step } = watching();
    const original = frameAt(R0, RODATA);
    const share = (): void => {
      change(R1, RODATA, 2, to(original));
      for (let page = 512; page < 515; page++) change(R1, RODATA + BigInt(page) * PAGE, 1, to(original + page));
    };
    share();
    expect(step("running")).toMatchObject({ sameRodata: true, ownRodata: false, ownText: true });
    change(R1, RODATA + 514n * PAGE, 1, to(5));
    expect(step("running")).toMatchObject({ sameRodata: false, ownRodata: false });
  });

  test("asks of text the pages alone that are copied; one holder has nothing of its own", () => {
    const { step } = watching(
      Object.assign(Object.create(OWN) as ReplicaView, {
        copies: { ...OWN.copies, textRanges: [{ start: TEXT, pages: 2 }] },
      }),
    );
    change(R1, TAIL, 1, to(TEXT_FRAME + 512));
    change(R1, TAIL + PAGE, 1, to(TEXT_FRAME + 513));
    expect(step("running").ownText).toBe(true);
    sound.undo();
    const alone = watching(Object.assign(Object.create(OWN) as ReplicaView, { holders: [0] }));
    expect(alone.step("running")).toMatchObject({
      holders: [0],
      ownText: false,
      ownRodata: false,
      sameRodata: true,
      equalText: true,
    });
  });

  test("notes each node's root until there are holders' own, and counts tables once they are cloned", () => {
    const { witness, step } = watching();
    step("load-image");
    expect(witness.earlyRoots).toEqual([0, 1].map((node) => ({ step: "load-image", node, root: [R0, R1][node] })));
    step("mm-core-init");
    step("numa-replicate-kernel");
    step("running");
    expect(new Set(witness.earlyRoots.map(({ step: at }) => at))).toEqual(new Set(["load-image", "mm-core-init"]));
    expect([...witness.tablesAfterClone]).toEqual([
      [0, 4],
      [1, 4],
    ]);
    // The boot table is nobody's own; a large page in the window's place is no table.
    const early = watching(Object.assign(Object.create(OWN) as ReplicaView, { kernelRoot: () => BOOT }));
    early.step("numa-replicate-kernel");
    expect([...early.witness.tablesAfterClone]).toEqual([]);
    change(R1, 0xffff_ffff_c000_0000n, 3, () => [0x4000_00e3, 0]);
    const large = watching();
    large.step("numa-replicate-kernel");
    expect(large.witness.tablesAfterClone.get(1)).toBe(3);
    change(R1, 0xffff_ffff_c000_0000n, 3, () => [0x4000_00e2, 0]);
    const absent = watching();
    absent.step("numa-replicate-kernel");
    expect(absent.witness.tablesAfterClone.get(1)).toBe(3);
  });

  describe("tells what the booting CPU's node saw change, page by page:", () => {
    const PAGES_TO_DATA = Number((DATA - TEXT) / PAGE);
    const between = (act: () => void): string[] => {
      const { witness, step } = watching();
      step("mm-core-init");
      act();
      step("numa-replicate-kernel");
      return witness.changeByReplication;
    };
    test("nothing where nothing changed, or node 1 did", () => {
      expect(between(() => undefined)).toEqual([]);
      expect(between(() => change(R1, TAIL, 1, having(W)))).toEqual([]);
    });
    test("a right", () => {
      expect(between(() => change(R0, TAIL, 1, having(W)))).toEqual([
        "page 512 of the image has other flags on the booting CPU's node than before",
      ]);
    });
    test("a frame with other bytes, where one with the same is nothing", () => {
      const copy = frameAt(R1, TAIL);
      expect(between(() => change(R0, TAIL, 1, to(copy)))).toEqual([]);
      sound.undo();
      sound.poke(copy, 5, memory.read32(copy, 5) ^ 1);
      expect(between(() => change(R0, TAIL, 1, to(copy)))).toEqual([
        "page 512 of the image has other bytes on the booting CPU's node than before",
      ]);
    });
    test("a write to text, also one that both copies got", () => {
      const word = memory.read32(TEXT_FRAME + 512, 5);
      const says = ["page 512 of the image has other bytes on the booting CPU's node than before"];
      expect(between(() => sound.poke(TEXT_FRAME + 512, 5, word ^ 1))).toEqual(says);
    });
    test("a page of data that holds something else", () => {
      const frame = frameAt(R0, DATA);
      const found = between(() => {
        for (let word = 0; word < 1024; word++) sound.poke(frame, word, memory.read32(frame, word) ^ 1);
      });
      expect(found).toEqual([
        `page ${PAGES_TO_DATA} of the image has other bytes on the booting CPU's node than before`,
      ]);
    });
  });

  test("keeps how often rodata was written when it was sealed; knows a CPU's TSS page from others", () => {
    const { witness, step } = watching();
    expect(witness.rodataVersions).toEqual([]);
    step("mark-rodata-ro");
    const first = frameAt(R0, RODATA);
    expect(witness.rodataVersions).toEqual(Array.from({ length: 515 }, (_, page) => memory.version(first + page)));
    sound.poke(first + 514, 0, 1);
    step("mark-rodata-ro");
    expect(witness.rodataVersions[514]).toBe(memory.version(first + 514));
    sound.undo();
    for (const unit of sound.kernel.boot.units.values())
      expect([5, 6, 7].map((page) => witness.isTaskState(directAddress(layout, unit + page)))).toEqual([
        false,
        true,
        false,
      ]);
  });
});
