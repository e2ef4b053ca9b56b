/** The encryption bit: no bit of an address where a machine has it, reserved where it has none, kept of each leaf. */
import { assemble } from "@kreplica/di";
import { describe, expect, test } from "vitest";
import {
  Cr0,
  Cr4,
  Efer,
  encryptionHigh,
  entryHigh,
  entryLow,
  FAULT,
  frameOf,
  hwX86,
  Machine,
  type MachineSpec,
  BATCH_LOAD,
} from "../src/index.js";
import { tinyMachine } from "../src/testing.js";

const PLACES = [47, 51] as const;
/** Root and its lower tables, one behind another; two pages are mapped at 0 and 0x1000. */
const ROOT = 0x100;
const PAGES = [0x4_0321, 0x4_0322];

function booted(spec: Partial<MachineSpec>, place: number, encrypted: readonly boolean[]): Machine {
  const machine = assemble([hwX86(tinyMachine({ with: { physicalBits: 44, ...spec } }))]).get(Machine);
  const { memory } = machine;
  const set = (table: number, index: number, frame: number, carries: boolean): void => {
    memory.write32(table, index * 2, entryLow(frame, 0x67));
    memory.write32(table, index * 2 + 1, entryHigh(frame, false) | (carries ? encryptionHigh(place) : 0));
  };
  for (let level = 0; level < 3; level++) set(ROOT + level, 0, ROOT + level + 1, true);
  PAGES.forEach((frame, page) => {
    set(ROOT + 3, page, frame, encrypted[page]!);
  });
  const cpu = machine.cpu(0);
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
  return machine;
}

describe.each(PLACES)("the encryption bit in place %i", (place) => {
  const spec = { vendor: "amd", encryptionBit: place } as const;

  test.each(["calls", "a batch"])("leads to no other frame, and is kept of each leaf that %s cache", (by) => {
    const machine = booted(spec, place, [true, false]);
    const cpu = machine.cpu(0);
    const value = (BigInt(ROOT) << 12n) | (1n << BigInt(place));
    cpu.writeCr3(value);
    cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
    expect([cpu.cr3, cpu.rootFrame]).toEqual([value, ROOT]);
    const batch = by === "calls" ? undefined : cpu.batch!()!;
    for (const [page, frame] of PAGES.entries()) {
      if (batch) {
        batch.input.set([(page * 4096) | BATCH_LOAD, 0]);
        expect(batch.run(0, 1)).toBe(1);
      } else expect(cpu.load(page * 4096, 0)).toBe(0);
      expect(cpu.lastFrame).toBe(frame);
    }
    const kept = new Map<number, boolean>();
    cpu.cached.forEach(({ structure, frame, encrypted }) => {
      if (!structure) kept.set(frame, encrypted);
    });
    expect([...kept].sort()).toEqual([
      [PAGES[0], true],
      [PAGES[1], false],
    ]);
  });

  test("is reserved where the machine has none, in entries as in CR3", () => {
    const machine = booted({}, place, [true, true]);
    const cpu = machine.cpu(0);
    expect(() => {
      cpu.writeCr3((BigInt(ROOT) << 12n) | (1n << BigInt(place)));
    }).toThrow("are reserved");
    cpu.writeCr3(BigInt(ROOT) << 12n);
    cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;
    // P and RSVD of the error code.
    expect(cpu.load(0, 0)).toBe(FAULT | 9);
  });

  test("is read by no frame of an entry", () => {
    for (const frame of [0, 1, 0x1234_5678, 0xefff_ffff])
      expect(frameOf(entryLow(frame, 0x63), entryHigh(frame, true) | encryptionHigh(place))).toBe(frame);
  });
});
