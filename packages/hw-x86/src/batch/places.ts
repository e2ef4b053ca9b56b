/**
 * Where a core's state lies in the memory that its batches work on, and what the binary has to know of its shape.
 *
 * The TypeScript model goes on to work on the same bytes: its arrays become views of the memory, at the first batch, so
 * that a core which runs none takes none, and one that does takes no more than before beside the places for references.
 */
import { LineCache } from "../cache.js";
import { Domain } from "../coherence.js";
import type { Core } from "../core.js";
import { LastLevelCache } from "../last-level-cache.js";
import type { LruPlaces } from "../lru-table.js";
import { HOLE } from "../memory-layout.js";
import { KINDS, REGIONS as CPU_REGIONS } from "../counters.js";
import { REGIONS, Tlb } from "../tlb.js";

/** Tables whose places are kept, a power of two: their frames' low bits choose among them. */
export const TABLES = 1024;

/** References that are handed over at once. */
export const CAPACITY = 8192;

/** Words of the control block: what a thread and a batch tell each other. */
export const enum Control {
  /** 1: the line fetched last is {@link FetchLo}, {@link FetchHi}, and fetching there again changes nothing. */
  Kept,
  FetchLo,
  FetchHi,
  /** Frame of the page fetched from last; of the last access. */
  FetchFrame,
  Frame,
  Context,
  GlobalContext,
  DenyLoad,
  DenyStore,
  DenyFetch,
  CanonicalShift,
  AnyLarge,
  /** The region register, and where its counts begin: bytes from the first region's. */
  Region,
  Row,
  /** Bit r: under region r references were run; something other than hits of L1 was counted. */
  Touched,
  Counted,
  /** Core.counting, Core.tlbs.codeKept. */
  Counting,
  CodeKept,
  /** What the last reference ended in. */
  Fault,
  /**
   * The thread's walker: root's frame, its level, bits of an entry's high half that must be zero; CR4.PGE as a mask.
   */
  WalkRoot,
  WalkLevels,
  WalkReserved,
  Globals,
  /** Where the last walk began, and the slot that said so, or 0; what it found. */
  WalkStart,
  WalkSlot,
  WalkFrame,
  WalkGlobal,
  WalkDenials,
  /** Pages entered by walks of this batch. */
  Fills,
  /** 1: the L3 lies in the memory, and no other core is to be asked. */
  Alone,
  Words,
}

/** Shape of a cache, and where its sets and origins lie. */
export interface CachePlace {
  readonly at: number;
  readonly bytes: number;
  /** 0 where it keeps none. */
  readonly originsAt: number;
  readonly groupMask: number;
  readonly ways: number;
}

/** Shape of a TLB, and where its arrays lie. */
export interface TlbPlace {
  readonly entriesAt: number;
  readonly pagesAt: number;
  readonly orderAt: number;
  /** 0 where it keeps none. */
  readonly regionsAt: number;
  readonly ways: number;
  readonly setMask: number;
}

/** A paging-structure cache: where its arrays lie. */
export interface LruPlace extends LruPlaces {
  /** What is shifted out of a key's hash to get its bucket. */
  readonly shift: number;
}

/** What a walk needs. */
export interface WalkPlace {
  /** By level, two words: the table that a walk reads there, and what was denied above it. */
  readonly steps: number;
  /** {@link TABLES} times a frame, or -1, and the byte address of its table. */
  readonly tables: number;
  /** By level of the table that an entry leads to. */
  readonly structures: readonly (LruPlace | null)[];
}

/** An L3 that the core has to itself, and what lies beyond it. */
export interface OuterPlace {
  /** Its sets; before and behind them a vector can be read. */
  readonly at: number;
  readonly ways: number;
  readonly groups: number;
  /** log2(groups), or -1. */
  readonly groupBits: number;
  readonly inclusion: "inclusive" | "victim" | "independent";
  /** A byte for each so many frames: index of their node, in holes the core's own, as beyond the last. */
  readonly homes: number;
  readonly homesLength: number;
  readonly homesShift: number;
  readonly ownHome: number;
  readonly nodes: number;
  /** A count for each node. */
  readonly writeBacks: number;
}

/** All the binary depends on: plain data, so that cores of one shape share one. */
export interface Places {
  readonly control: number;
  /**
   * Counts of a batch, 32 bits each: rows by region as in counters.ts, then by region the second-level TLB hits of code
   * and of data, and their walks.
   */
  readonly counts: number;
  readonly secondCounts: number;
  readonly sources: number;
  readonly input: number;
  readonly l1i: CachePlace;
  readonly l1d: CachePlace;
  /** null where TypeScript keeps it: more than 8 ways, or not ours. */
  readonly l2: CachePlace | null;
  readonly codeSmall: TlbPlace;
  readonly dataSmall: TlbPlace;
  readonly codeLarge: TlbPlace | null;
  readonly dataLarge: TlbPlace | null;
  readonly dataHuge: TlbPlace | null;
  readonly second: TlbPlace;
  readonly secondHuge: TlbPlace | null;
  /** The second level has pages of 2 MiB among the small ones. */
  readonly secondLarge: boolean;
  /** null where TypeScript walks. */
  readonly walk: WalkPlace | null;
  /** null where TypeScript goes beyond L2. */
  readonly outer: OuterPlace | null;
  readonly present: number;
  readonly presentShift: number;
  readonly prefetchLines: number;
  /** Bytes in all. */
  readonly end: number;
}

/** The core's own parts, all of one kind. */
export interface Parts {
  readonly l1i: LineCache;
  readonly l1d: LineCache;
  readonly l2: LineCache | null;
  readonly codeSmall: Tlb;
  readonly dataSmall: Tlb;
  readonly codeLarge: Tlb | null;
  readonly dataLarge: Tlb | null;
  readonly dataHuge: Tlb | null;
  readonly second: Tlb;
  readonly secondHuge: Tlb | null;
}

/**
 * Tags are compared eight at a time, pages four: what has more ways, or is another's part, TypeScript does, which for
 * L2 is worth a question.
 */
const isNarrow = (cache: unknown): cache is LineCache =>
  cache instanceof LineCache && cache.constructor === LineCache && cache.narrow !== 0 && cache.groupMask >= 0;

const isOurs = (tlb: unknown): tlb is Tlb => tlb instanceof Tlb && tlb.constructor === Tlb && tlb.ways <= 8;

/** @returns undefined where a part of the core is one that a batch cannot work on */
export function batchedParts({ l1i, l1d, l2, tlbs }: Core): Parts | undefined {
  const { codeSmall, dataSmall, codeLarge, dataLarge, dataHuge, second, secondHuge } = tlbs;
  if (!isNarrow(l1i) || !isNarrow(l1d)) return undefined;
  if (!isOurs(codeSmall) || !isOurs(dataSmall) || !isOurs(second)) return undefined;
  if ((codeLarge !== null && !isOurs(codeLarge)) || (dataLarge !== null && !isOurs(dataLarge))) return undefined;
  if (dataHuge !== null && !isOurs(dataHuge)) return undefined;
  if (secondHuge !== null && !isOurs(secondHuge)) return undefined;
  const own = { codeSmall, dataSmall, codeLarge, dataLarge, dataHuge, second, secondHuge };
  return { l1i, l1d, l2: isNarrow(l2) ? l2 : null, ...own };
}

/** What is beyond a core, where nobody shares it and all of it is ours. */
export interface Outer {
  readonly domain: Domain;
  readonly l3: LastLevelCache;
}

/** Bytes before and behind the L3's sets, of which a vector may take some. */
const MARGIN = 64;

/** @returns undefined where other cores are there, or another's part */
export function outerOf(core: Core, { l2 }: Parts): Outer | undefined {
  const domain = core.outer;
  if (!(domain instanceof Domain) || !domain.isFor(core) || l2 === null) return undefined;
  const { l3 } = domain;
  if (!(l3 instanceof LastLevelCache) || l3.constructor !== LastLevelCache || l3.shortBytes === 0) return undefined;
  return { domain, l3 };
}

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
