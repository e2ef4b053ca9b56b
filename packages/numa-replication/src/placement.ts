/**
 * Which part of the image is copied, where its copies are, and which 2 MiB of it are mapped by a leaf as a whole.
 *
 * A part that ends inside 2 MiB has a tail of small leaves; patch 06 fills the tail so that none is needed.
 */
import { type Frame, LARGE_PAGES, type NodeId, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import { type PageRun, runsOf } from "./policy.js";

/** Bytes of the image of which each holder gets a copy, whole or of some pages. */
export interface CopiedPart {
  readonly purpose: "text" | "rodata";
  /** Live address of the first byte, on 2 MiB. */
  readonly start: bigint;
  /** 4 KiB pages, copied or not. */
  readonly pages: number;
  /** First frame of the booted copy. */
  readonly original: Frame;
  /** Where the copy has each page, counted from its first; -1 for one that is not copied. */
  readonly places: Int32Array;
  /** Pages of a copy. */
  readonly copied: number;
}

/**
 * Where a copy has each page of a part: all in their order, or those of some runs, with every 2 MiB that is copied as a
 * whole on 2 MiB and before all others, so that one leaf can map it.
 */
export function placesOf(pages: number, runs?: readonly PageRun[]): Int32Array {
  const places = new Int32Array(pages).fill(-1);
  if (!runs) return places.map((_, page) => page);
  for (const { first, pages: length } of runs) places.fill(0, first, Math.min(first + length, pages));
  let next = 0;
  const place = (page: number): void => {
    places[page] = next++;
  };
  const isWhole = (large: number): boolean =>
    large + LARGE_PAGES <= pages && !places.subarray(large, large + LARGE_PAGES).includes(-1);
  const wholes = new Set<number>();
  for (let large = 0; large < pages; large += LARGE_PAGES) if (isWhole(large)) wholes.add(large);
  for (const large of wholes) for (let page = large; page < large + LARGE_PAGES; page++) place(page);
  places.forEach((copied, page) => {
    if (copied !== -1 && !wholes.has(page - (page % LARGE_PAGES))) place(page);
  });
  return places;
}

/** Whether one leaf of 2 MiB can map the pages of a part from this one on, which is on 2 MiB. */
export const isLargeCopy = ({ places }: CopiedPart, page: number): boolean => {
  const first = places[page]!;
  if (first === -1 || first % LARGE_PAGES !== 0 || page + LARGE_PAGES > places.length) return false;
  for (let each = 1; each < LARGE_PAGES; each++) if (places[page + each] !== first + each) return false;
  return true;
};

/** Whether any of the pages below one PMD entry is copied. */
export const isCopiedBelow = ({ places }: CopiedPart, page: number): boolean =>
  places.subarray(page, page + LARGE_PAGES).some((place) => place !== -1);

/** Frames set aside for one holder. */
export interface HolderRoom {
  readonly node: NodeId;
  /**
   * First frame of the copy of text and of rodata: one run each, on 2 MiB. The master's are the booted frames, and so
   * are those of copies that come later.
   */
  readonly text: Frame;
  readonly rodata: Frame;
  /** Frames for the tables to be cloned, taken from the end. */
  readonly tables: Frame[];
  /** First frame of the PGD's pair. */
  readonly root: Frame;
}

/** What is copied of a part, live addresses, ascending. */
export const copiedRanges = ({ start, places }: CopiedPart): PageRange[] =>
  runsOf([...places.keys()].filter((page) => places[page] !== -1)).map(({ first, pages }) => ({
    start: start + BigInt(first) * PAGE,
    pages,
  }));
