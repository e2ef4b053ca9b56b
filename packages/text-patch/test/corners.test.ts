/** Probes beside one another, text of which a part is read-only, and where the poking alias lies. */
import { bytesAt } from "@kreplica/hw-x86/api";
import { NONE } from "@kreplica/hw-x86";
import { walk } from "@kreplica/mm-core/api";
import { expect, test } from "vitest";
import { JMP32, Kprobes, RET, TextPatchError } from "../src/api.js";
import { PokingSpace } from "../src/poke/poking-space.js";
import { areasOn } from "./areas.js";
import { makeKernel, TEXT, YOUNG } from "./kernel.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("both pages of the poking alias have one table, whatever the seed", () => {
  const kernel = makeKernel([0]);
  // Without memory it is refused, and says for which place.
  const parts = {
    ...kernel,
    allocator: Object.assign(Object.create(kernel.allocator) as typeof kernel.allocator, { allocate: () => NONE }),
  };
  const places = new Set<bigint>();
  let last = 0;
  for (let seed = 0; seed < 4000; seed++) {
    try {
      new PokingSpace(parts, seed);
    } catch (error) {
      if (!(error instanceof TextPatchError)) throw error;
      const page = error.address >> 12n;
      expect([error.address & 0xfffn, (page & 511n) === 511n]).toEqual([0n, false]);
      if ((page & 511n) === 510n) last++;
      places.add(page);
    }
  }
  // Every 256th stands in front of the last page: those that would have begun there, too.
  expect(places.size).toBeGreaterThan(3900);
  expect(last).toBeGreaterThan(8);
});

test("text of which a part is read-only, on one node alone, is refused before anything is written", () => {
  const { poke, tables, view, bytes, entries, layout } = makeKernel([0, 1]);
  const site = YOUNG + 4096n - 2n;
  const before = view.holders.map((node) => hex(bytes(node, site, 4)));
  const leaf = walk(entries.memory, view.kernelRoot(1), layout.levels, YOUNG + 4096n);
  entries.write(leaf.table, leaf.index, leaf.lo & ~2, leaf.hi);
  const readOnly = view.holders.map((node) => !tables.lookup(node, YOUNG + 4096n)!.writable);
  expect(readOnly).toEqual([false, true]);
  expect(() => {
    poke.early(site, Uint8Array.of(1, 2, 3, 4));
  }).toThrow(/read-only already/);
  expect(view.holders.map((node) => hex(bytes(node, site, 4)))).toEqual(before);
  poke.early(YOUNG, Uint8Array.of(1, 2));
  expect(view.holders.map((node) => hex(bytes(node, YOUNG, 2)))).toEqual(["0102", "0102"]);
});

test("no holder has a poking root before the first poke, and those that it took have one behind it", () => {
  const { poke } = makeKernel([0, 1]);
  expect([...poke.roots]).toEqual([]);
  poke.poke(TEXT, Uint8Array.of(0x90));
  expect(poke.roots.size).toBeGreaterThan(0);
});

/** Six instructions of three bytes and a return; the third has a probe whose detour covers the fourth, too. */
function probed() {
  const kernel = makeKernel([0, 1]);
  const { pages } = areasOn(kernel);
  const code = Uint8Array.of(...Array(6).fill([0x48, 0xff, 0xc0]).flat(), RET);
  kernel.poke.poke(TEXT, code);
  const probes = new Kprobes(kernel.poke, pages(32), pages(128));
  const at = (instruction: number): bigint => TEXT + BigInt(3 * instruction);
  const first = (instruction: number): number => kernel.poke.read(bytesAt(at(instruction), 1))[0]!;
  probes.arm(at(2));
  probes.optimise(at(2), new Uint8Array(0), TEXT, code.length);
  expect(first(2)).toBe(JMP32);
  return { probes, at, first };
}

test("a probe armed before a detour, or right behind what it covers, leaves it; one on a covered instruction does not", () => {
  const { probes, at, first } = probed();
  probes.arm(at(1));
  probes.arm(at(4));
  expect([first(1), first(2), first(4)]).toEqual([0xcc, JMP32, 0xcc]);
  probes.arm(at(3));
  expect([first(2), first(3)]).toEqual([0xcc, 0xcc]);
});

test("text that goes takes the probes that reach into it along, and none before or behind it", () => {
  const { probes, at } = probed();
  probes.arm(at(0));
  probes.arm(at(5));
  const alive = (): boolean[] => [0, 2, 5].map((each) => probes.hit(at(each)) !== undefined);
  expect(alive()).toEqual([true, true, true]);
  probes.forget({ start: at(1), end: at(2) });
  probes.forget({ start: at(4), end: at(5) });
  expect(alive()).toEqual([true, true, true]);
  // The detour of the third covers the fourth.
  probes.forget({ start: at(3), end: at(4) });
  expect(alive()).toEqual([true, false, true]);
});
