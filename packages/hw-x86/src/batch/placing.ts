/**
 * Decides where a core's state lies in the memory of its batches, and moves it there.
 *
 * The TypeScript model goes on to work on the same bytes: its arrays become views of the memory, at the first batch, so
 * that a core which runs none takes none, and one that does takes no more than before beside the places for references.
 */
import type { LineCache } from "../cache.js";
import type { Core } from "../core.js";
import { KINDS, REGIONS as CPU_REGIONS } from "../counters.js";
import { HOLE } from "../memory-layout.js";
import { REGIONS, type Tlb } from "../tlb.js";
import { Control } from "./control.js";
import type { Outer, Parts } from "./parts.js";
import {
  type CachePlace,
  CAPACITY,
  type OuterPlace,
  type Places,
  TABLES,
  type TlbPlace,
  type WalkPlace,
} from "./places.js";

/** Bytes before and behind the L3's sets, of which a vector may take some. */
const MARGIN = 64;

/** Decides where everything lies. @param walks whether the binary does @param outer what it does beyond L2 */
export function placesOf(core: Core, parts: Parts, sources: number, walks: boolean, outer: Outer | undefined): Places {
  let end = 0;
  const place = (bytes: number): number => {
    const at = end;
    // The host's lines: a set or a control block that began in the middle of one would be on two.
    end = Math.ceil((at + bytes) / 64) * 64;
    return at;
  };
  const cache = ({ words, origins, groupMask, ways }: LineCache): CachePlace => ({
    at: place(words.byteLength),
    bytes: words.byteLength,
    originsAt: origins.length === 0 ? 0 : place(origins.length),
    groupMask,
    ways,
  });
  const tlb = ({ entries, order, regions, ways, setMask }: Tlb): TlbPlace => ({
    entriesAt: place(entries.byteLength),
    pagesAt: place(entries.length),
    orderAt: place(order.byteLength),
    regionsAt: regions.length === 0 ? 0 : place(REGIONS * 2),
    ways,
    setMask,
  });
  const walk = (): WalkPlace => ({
    steps: place(6 * 8),
    tables: place(TABLES * 8),
    structures: core.tlbs.structures.tables.map((each) => each && { ...each.placesBy(place), shift: each.shift }),
  });
  const beyond = ({ domain, l3 }: Outer): OuterPlace => {
    const { homes, spec } = domain.fabric;
    return {
      at: place(MARGIN + l3.shortBytes + MARGIN) + MARGIN,
      ways: l3.ways,
      groups: l3.groups,
      groupBits: l3.groupBits,
      inclusion: spec.l3.inclusion,
      homes: place(homes.owner.length),
      homesLength: homes.owner.length,
      homesShift: homes.shift,
      ownHome: core.nodeIndex,
      nodes: spec.nodes.length,
      writeBacks: place(4 * spec.nodes.length),
    };
  };
  return {
    control: place(Control.Words * 4),
    counts: place(CPU_REGIONS * KINDS * sources * 4),
    secondCounts: place(CPU_REGIONS * 4 * 4),
    sources,
    codeSmall: tlb(parts.codeSmall),
    dataSmall: tlb(parts.dataSmall),
    codeLarge: parts.codeLarge && tlb(parts.codeLarge),
    dataLarge: parts.dataLarge && tlb(parts.dataLarge),
    dataHuge: parts.dataHuge && tlb(parts.dataHuge),
    second: tlb(parts.second),
    secondHuge: parts.secondHuge && tlb(parts.secondHuge),
    secondLarge: core.tlbs.secondLarge !== 0,
    walk: walks ? walk() : null,
    outer: outer === undefined ? null : beyond(outer),
    l1i: cache(parts.l1i),
    l1d: cache(parts.l1d),
    l2: parts.l2 && cache(parts.l2),
    present: place(2 ** (33 - core.presentBits)),
    presentShift: core.presentBits,
    prefetchLines: core.prefetchLines,
    input: place(CAPACITY * 8),
    end,
  };
}

/** Moves a core's state to its places. */
export function moveTo(core: Core, parts: Parts, outer: Outer | undefined, places: Places, buffer: ArrayBuffer): void {
  for (const name of ["l1i", "l1d", "l2"] as const) {
    const to = places[name];
    if (to !== null) parts[name]!.moveTo(buffer, to.at, to.originsAt);
  }
  for (const name of [
    "codeSmall",
    "dataSmall",
    "codeLarge",
    "dataLarge",
    "dataHuge",
    "second",
    "secondHuge",
  ] as const) {
    const to = places[name];
    if (to !== null) parts[name]!.moveTo(buffer, to.entriesAt, to.pagesAt, to.orderAt, to.regionsAt);
  }
  places.walk?.structures.forEach((to, below) => {
    if (to !== null) core.tlbs.structures.tables[below]!.moveTo(buffer, to);
  });
  if (outer !== undefined && places.outer !== null) {
    const { at, homes, ownHome } = places.outer;
    outer.l3.moveTo(buffer, at);
    const { owner } = outer.domain.fabric.homes;
    new Uint8Array(buffer, homes, owner.length).set(owner.map((home) => (home === HOLE ? ownHome : home)));
  }
  core.moved(buffer, places.present);
}
