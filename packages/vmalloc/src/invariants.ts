/**
 * Invariants of group E about areas, looked at by walking every holder's tables: what must be true when no operation is
 * in flight.
 */
import { type AddressRange, hex, type NodeId, NONE, PAGE, type PhysMemory } from "@kreplica/hw-x86/api";
import { type Finding, findings, inOrder, type Invariant, invariantOf } from "@kreplica/invariants/api";
import { type KernelLayout, type KernelTables, type ReplicaView, sameBytes } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "./api.js";
import { AreaPages } from "./area-pages.js";

/** What a check needs of a kernel. */
export interface AreaWitnesses {
  readonly vmalloc: Vmalloc;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
  readonly memory: PhysMemory;
  readonly layout: KernelLayout;
  /** Sites of a patch under way, where copies may differ. */
  readonly patchedNow?: readonly AddressRange[];
}

/** One area under check: what every holder maps of it. */
export interface AreaSubject extends AreaWitnesses {
  readonly area: VmArea;
  readonly pages: AreaPages;
}

/** What page counts are compared with. */
type Book = Pick<AreaWitnesses, "vmalloc" | "memory">;

/** Rows about an area. */
const OF_AN_AREA: readonly Invariant<AreaSubject>[] = [
  {
    id: "E1",
    when: "always",
    where: ["areas", "run"],
    sentence:
      "area in W is either mapped on all nodes or on none (no node-dependent holes) when no operation is " +
      "in flight",
    check({ pages, area, view, vmalloc }, verdict) {
      pages.forEach((address, frames) => {
        if (frames.includes(NONE))
          verdict.fail(`${hex(address)} is a hole on node ${view.holders[frames.indexOf(NONE)]}`);
      });
      const guard = area.start + BigInt(area.pages) * PAGE;
      for (const holder of area.guard ? view.holders : []) {
        if (vmalloc.toFrameOn(holder, guard) !== NONE)
          verdict.fail(`guard page ${hex(guard)} is mapped on node ${holder}`);
      }
    },
  },
  {
    id: "E2",
    when: "always",
    where: ["areas", "run"],
    sentence:
      "SHARED area: same pfn for page i on all nodes; REPLICATED area: #R distinct pfns, equal bytes, base " +
      "copy on area.node",
    check({ pages, area, view: { holders }, memory, patchedNow }, verdict) {
      pages.forEachMapped((address, frames, page) => {
        holders.forEach((holder, i) => {
          const expected =
            area.state === "replicated" && holder !== area.node ? area.copies.get(holder)?.[page] : area.frames[page];
          const frame = frames[i]!;
          if (frame !== expected) verdict.fail(`${hex(address)} on node ${holder} is frame ${frame}, not ${expected}`);
          if (area.state !== "replicated") return;
          if (memory.nodeOf(frame) !== holder)
            verdict.fail(`${hex(address)} on node ${holder} lies on node ${memory.nodeOf(frame)}`);
          if (!sameBytes(memory, frame, area.frames[page]!, address, patchedNow))
            verdict.fail(`${hex(address)} on node ${holder} differs from the base copy`);
        });
        if (area.state === "replicated" && new Set(frames).size !== holders.length)
          verdict.fail(`${hex(address)}: holders share a frame`);
      });
    },
  },
  {
    id: "E8",
    when: "always",
    where: ["areas"],
    sentence: "vmalloc_to_page(va) = node-0 frame; for any va in vmalloc range result independent of node",
    check({ pages, vmalloc }, verdict) {
      pages.forEachMapped((address, frames) => {
        if (vmalloc.toFrame(address) !== frames[0])
          verdict.fail(`${hex(address)}: vmalloc_to_page is not the lowest holder's frame`);
      });
    },
  },
  {
    id: "E12",
    when: "always",
    where: ["areas", "run"],
    sentence:
      "area is SHARED exactly if it lies in W, and the leak tracker knows every allocated area, at once " +
      "or, where who asks wants to tell it himself, from then on; what one flag of a request asks for, no " +
      "other does",
    check({ area, view, vmalloc }, verdict) {
      const inWindow = view.isPrivate(area.start);
      if ((area.state !== "unshared") !== inWindow)
        verdict.fail(`${hex(area.start)} is ${area.state}, and lies ${inWindow ? "in" : "outside"} the window`);
      // What is mapped is somebody else's memory, and told of, or not, by whoever made that.
      if (area.kind === "allocated" && !vmalloc.leaks.knows(area)) {
        verdict.fail(
          `the leak tracker was never told of the area at ${hex(area.start)}: what only it points to counts as lost`,
        );
      }
    },
  },
];

/** B6 of an area's pages. */
const SAME_PROTECTION: Invariant<AreaSubject> = {
  ...invariantOf("B6"),
  check({ pages, view, tables }, verdict) {
    pages.forEachMapped((address) => {
      const flags = view.holders.map((holder) => {
        const { writable, executable, global, cache } = tables.lookup(holder, address)!;
        return `${writable} ${executable} ${global} ${cache}`;
      });
      if (new Set(flags).size > 1) verdict.fail(`${hex(address)}: protection differs between nodes`);
    });
  },
};

/** The page counters must be what a recount of live areas gives. */
const OF_THE_BOOK: Invariant<Book> = {
  id: "E6",
  when: "unload",
  where: ["areas", "run"],
  sentence:
    "after vfree: no node maps the range, every frame (base + replicas) is freed exactly once, " +
    "direct-map permissions of all of them restored, counters (nr_vmalloc, memcg) return to start",
  check({ vmalloc, memory }, verdict) {
    const count = new Map<NodeId, number>();
    for (const area of vmalloc.areas()) {
      if (area.kind === "mapped") continue;
      for (const frames of [area.frames, ...area.copies.values()]) {
        for (const frame of frames) count.set(memory.nodeOf(frame), (count.get(memory.nodeOf(frame)) ?? 0) + 1);
      }
    }
    for (const node of new Set(memory.ranges.map((range) => range.node))) {
      const [counted, said] = [count.get(node) ?? 0, vmalloc.counters.pages(node)];
      if (counted !== said) verdict.fail(`node ${node}: the counter says ${said} pages, the areas have ${counted}`);
    }
  },
};

/** What only an operation shows. */
const WHILE_COPYING: Invariant<never> = {
  id: "E7",
  when: "OOM",
  where: ["run"],
  sentence: "failure to allocate any replica leaves the area SHARED, fully mapped, executable, nothing leaked",
};

/** All rows of this package, for the list. */
export const AREA_INVARIANTS: readonly Invariant<never>[] = inOrder<Invariant<never>>([
  ...OF_AN_AREA,
  OF_THE_BOOK,
  WHILE_COPYING,
]);

/** E1, E2, E6, E8, E12 and B6. @returns every finding, none when all holds */
export const checkAreas = (kernel: AreaWitnesses): Finding[] => [
  ...[...kernel.vmalloc.areas()].flatMap((area) => checkArea(kernel, area)),
  ...checkPageCounts(kernel),
];

/** E1, E2, E8, E12 and B6 of one area, its guard page included. */
export const checkArea = (kernel: AreaWitnesses, area: VmArea): Finding[] =>
  findings([...OF_AN_AREA, SAME_PROTECTION], { ...kernel, area, pages: new AreaPages(kernel, area) });

/** E6: the page counters. */
export const checkPageCounts = (kernel: Book): Finding[] => findings([OF_THE_BOOK], kernel);
