/**
 * Which part of the image is copied, where its copies are, and which 2 MiB of it are mapped by a leaf as a whole.
 *
 * A part that ends inside 2 MiB has a tail of small leaves; patch 06 fills the tail so that none is needed.
 */
import type { Frame, NodeId } from "@kreplica/hw-x86/api";

/** Bytes of the image that get a copy on each holder. */
export interface CopiedPart {
  readonly purpose: "text" | "rodata";
  /** Live address of the first byte, on 2 MiB. */
  readonly start: bigint;
  /** 4 KiB pages. */
  readonly pages: number;
  /** First frame of the booted copy. */
  readonly original: Frame;
}

/** Frames set aside for one holder. */
export interface HolderRoom {
  readonly node: NodeId;
  /** First frame of the copy of text and of rodata: one run each, on 2 MiB. The master's are the booted frames. */
  readonly text: Frame;
  readonly rodata: Frame;
  /** Frames for the tables to be cloned, taken from the end. */
  readonly tables: Frame[];
  /** First frame of the PGD's pair. */
  readonly root: Frame;
}

/** Frames to ask for: whole 2 MiB would waste a tail, so the run is exact and only its start is aligned. */
export const roomFor = (part: CopiedPart): number => part.pages;
