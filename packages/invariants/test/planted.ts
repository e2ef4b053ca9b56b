/**
 * One kernel with two holders for a file of tests, names for its parts, and how a row is asked: silent on the sound
 * kernel, and with the place, by node and address, once one thing is wrong.
 */
import { type Frame, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { bootRoot, imageAddress, lookup, type ReplicaView } from "@kreplica/mm-core/api";
import { afterEach, describe, expect, test } from "vitest";
import { type CheckedKernel, checkInvariants } from "../src/index.js";
import { type TwoHolders, twoHolders } from "./two-holders.js";

export const sound = twoHolders();
export const { layout, image, entries, allocator, machine, witness } = sound;
export const { memory } = entries;
export const BOOT = bootRoot(layout, image);
export const [R0, R1] = [0, 1].map((node) => sound.view.kernelRoot(node)) as [Frame, Frame];
export const TEXT = imageAddress(layout, image.stext);
/** Of text and of rodata: behind their 2 MiB, small pages. */
export const TAIL = TEXT + LARGE;
export const RODATA = imageAddress(layout, image.startRodata);
export const DATA = imageAddress(layout, image.sections.find(({ kind }) => kind === "data")!.start);
export const INIT = imageAddress(layout, image.initBegin);
/** A small page of .bss, whose small table all roots share, and what makes that of node 1 its own. */
export const BSS = imageAddress(layout, image.symbol("idt_table")!) + 4n * PAGE;
/** A new table of node 1. */
export const table = (): Frame => allocator.allocate(1, 0, { purpose: "page-table", zero: true });
export const ownBss = (): Frame => sound.move(R1, BSS, 2, 1);
export const WINDOW = 0xffff_ffff_8000_0000n;
export const frameAt = (root: Frame, address: bigint): Frame => {
  const { frame, level } = lookup(memory, root, layout.levels, address)!;
  return frame + (level === 2 ? Number((address >> 12n) & 511n) : 0);
};
export const [TEXT_FRAME, RODATA_FRAME] = [TEXT, RODATA].map((address) => frameAt(R0, address)) as [Frame, Frame];
export const spaces = [...sound.spaces.all];
export const PGD = (node: number): Frame => spaces[0]!.pgd(node);

/** What a row says of a kernel, none for nothing; undefined where it is not reached. */
export function said(id: string, more: Partial<CheckedKernel> = {}): string[] | undefined {
  const { violated, notReached } = checkInvariants({ ...sound, ...more }, [id]);
  expect(violated.every((each) => each.id === id)).toBe(true);
  return notReached.includes(id) ? undefined : violated.map(({ detail }) => detail);
}
export const to =
  (frame: Frame) =>
  (lo: number, hi: number): [number, number] => [((frame & 0xf_ffff) << 12) | (lo & 0xfff), hi];
export const without =
  (bits: number, high = 0) =>
  (lo: number, hi: number): [number, number] => [lo & ~bits, hi & ~high];
export const having =
  (bits: number, high = 0) =>
  (lo: number, hi: number): [number, number] => [lo | bits, hi | high];
export const gone = (): [number, number] => [0, 0];
export const [P, W, U, G] = [1, 2, 4, 0x100];
export const NX = 0x8000_0000;
export const view = (more: Partial<ReplicaView>): ReplicaView =>
  Object.assign(Object.create(sound.view) as ReplicaView, more);

afterEach(() => {
  sound.undo();
});

/** A row, what is wrong, how it is planted, and what is said. */
export type Planted = readonly [
  id: string,
  what: string,
  plant: () => void | Partial<CheckedKernel>,
  says: string | RegExp,
];
export const change: TwoHolders["change"] = (...args) => {
  sound.change(...args);
};

/** A test for each: what is planted is found by its row, in these words, and nothing is before and after. */
export function silentUntilPlanted(cases: readonly Planted[]): void {
  describe.each(cases)("%s: %s", (id, _what, plant, says) => {
    test("is silent before and after, and names it", () => {
      const cr3 = machine.cpuIds.map((cpu) => machine.cpu(cpu).cr3);
      const more = plant() ?? {};
      const found = said(id, more);
      expect(found).toEqual([typeof says === "string" ? says : expect.stringMatching(says)]);
      sound.undo();
      machine.cpuIds.forEach((cpu, at) => {
        machine.cpu(cpu).writeCr3(cr3[at]!);
      });
      if (!("view" in more)) expect(said(id)).toEqual(id === "A11" ? undefined : []);
    });
  });
}
