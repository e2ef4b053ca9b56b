/**
 * The cover letter's claims as counters (I5): tables are kept in step at boot, at module deployment and at new or freed
 * top-level slots of a process only; mutable kernel data is never copied; in user space only the PGD has copies.
 */
import { pagesBetween } from "@kreplica/hw-x86/api";
import { boot, type BootOptions, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { imageFrame, LDT_SLOT, PGD_PAGES } from "@kreplica/mm-core";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Differential } from "../src/differential.js";
import { Repertoire } from "../src/families.js";

const kernel = (nodes: number, more: Partial<BootOptions> = {}): BootOptions => ({
  spec: smallMachine(nodes),
  policy: "per-node",
  image: smallImage(),
  ...more,
});
/** A refused fork fills a PGD or two before it gives them back: another count. Races hold two operations. */
const families = CORE_FAMILIES.filter((family) => family.name !== "racing" && family.name !== "refusal");
const repertoire = new Repertoire(families);

/** Present slots of the lower half, and the LDT's, of each space's canonical PGD. */
function slotsOf({ parts: { spaces, entries } }: CheckedSystem): ReadonlyMap<number, ReadonlySet<number>> {
  return new Map(
    [...spaces.all].map((space) => {
      const pgd = space.pgd(space.pgdNodes[0]!);
      return [
        space.id,
        new Set(Array.from({ length: LDT_SLOT + 1 }, (_, slot) => slot).filter((slot) => entries.low(pgd, slot) & 1)),
      ];
    }),
  );
}

describe.each([
  [2, false],
  [2, true],
  [3, true],
  [8, false],
] as const)("%i nodes, KPTI %s", (nodes, pti) => {
  test("every store that a single copy would not make belongs to a new PGD, to a top-level slot that came or went, or to a page of the module area", () => {
    const system = new CheckedSystem(kernel(nodes, { pti }), { families });
    const { entries, layout, spaces } = system.parts;
    const halves = pti ? 2 : 1;
    const others = nodes - 1;
    const seen = { spaces: 0, slots: 0, none: 0, kernel: 0 };
    for (let seed = 0; seed < 4; seed++) {
      for (const operation of repertoire.drawRun(seed, 150)) {
        const [slots, stores] = [slotsOf(system), entries.replicaStores];
        system.step(operation);
        const extra = entries.replicaStores - stores;
        if (operation.op.startsWith("k")) {
          // A page there has an entry on each node; the master's is the boot table's too.
          expect(extra % others, operation.op).toBe(0);
          seen.kernel += extra;
          continue;
        }
        let made = 0;
        let changed = 0;
        const after = slotsOf(system);
        // What a space that ends still has goes slot by slot too; the LDT's stays until the page goes.
        for (const [id, before] of slots)
          if (!after.has(id)) changed += [...before].filter((slot) => slot < 256).length;
        for (const [id, now] of after) {
          const before = slots.get(id);
          if (!before) made++;
          const ldt = now.has(LDT_SLOT) && !before?.has(LDT_SLOT) ? 1 : 0;
          changed += ldt;
          for (let slot = 0; slot < 256; slot++) if (now.has(slot) !== (before?.has(slot) ?? false)) changed++;
        }
        const wanted = others * halves * (made * (512 - layout.kernelBoundary) + changed);
        expect(extra, `${operation.op}: ${made} new spaces, ${changed} top-level slots`).toBe(wanted);
        seen.spaces += made;
        seen.slots += changed;
        if (wanted === 0) seen.none++;
      }
      system.finish();
    }
    expect(spaces.all.size).toBe(0);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(5);
  });

  test("only the PGD has copies in user space: page-table frames beyond a single copy's are PGDs, and all PGDs lead to the same tables", () => {
    const pair = new Differential(kernel(nodes, { pti }), "off", families);
    const twin = new CheckedSystem(kernel(nodes, { pti, policy: "single-copy" }), { families });
    const { subject } = pair;
    const tables = ({ parts: { machine, allocator } }: CheckedSystem): number =>
      machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, "page-table"), 0);
    const [mine, theirs] = [tables(subject), tables(twin)];
    let most = 0;
    for (const operation of repertoire.drawRun(9, 300).filter((each) => each.op !== "refuse")) {
      subject.step(operation);
      twin.step(operation);
      const pgds = subject.population.live.length * (nodes - 1) * PGD_PAGES;
      expect(tables(subject) - mine - (tables(twin) - theirs), operation.op).toBe(pgds);
      most = Math.max(most, pgds);
      for (const {
        process: { space },
      } of subject.population.live) {
        for (let slot = 0; slot < 256; slot++)
          expect(
            new Set(space.pgdNodes.map((node) => subject.parts.entries.low(space.pgd(node), slot) & ~0x60)).size,
          ).toBe(1);
      }
    }
    expect(most).toBeGreaterThanOrEqual(2 * (nodes - 1));
  });
});

test("what is copied at boot is text and rodata, each frame once for each further node, and nothing that can be written", () => {
  const copied = new Map<number, number>();
  const booted = boot(
    kernel(3, {
      before({ machine: { memory } }) {
        const copy = memory.copyFrame.bind(memory);
        memory.copyFrame = (from, to) => {
          copied.set(from, (copied.get(from) ?? 0) + 1);
          copy(from, to);
        };
      },
    }),
  );
  const { image, layout, allocator, machine } = booted;
  const wanted = [
    [image.stext, image.etext],
    [image.startRodata, image.endRodata],
  ].flatMap(([start, end]) =>
    Array.from(
      { length: pagesBetween(start!, end!).pages },
      (_, page) => imageFrame(layout, image.stext, start!) + page,
    ),
  );
  expect([...copied.keys()].sort((a, b) => a - b)).toEqual(wanted);
  expect(new Set(copied.values())).toEqual(new Set([2]));
  const single = boot(kernel(3, { policy: "single-copy" }));
  for (const purpose of ["data", "kernel", "user"] as const) {
    expect(machine.nodes.map((node) => allocator.usedFrames(node, purpose))).toEqual(
      machine.nodes.map((node) => single.allocator.usedFrames(node, purpose)),
    );
  }
});
