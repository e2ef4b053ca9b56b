/**
 * The parts of a core that can be others than ours: interfaces, and the factory that makes them when the machine is
 * built. Nothing on an access path asks which they are: it reads the fields named here, and V8 sees one class behind
 * each unless a process builds machines of both kinds.
 */
import type { PagingStructureCaches } from "./pwc.js";
import type { PhysMemory } from "./memory-api.js";
import type { CacheSpec, TlbSpec } from "./spec.js";

/** A translation look-aside buffer, entries laid out as tlb.ts draws them. */
export interface TranslationBuffer {
  /** Four words an entry: page, tag, frame, denials; [(set * ways + way) * 4]. A tag of -1 is an empty way. */
  readonly entries: Int32Array;
  /**
   * By set: in the bits of {@link lastMask}, a way whose use again would change nothing, the one used last. An access
   * that finds its page there calls nothing.
   */
  readonly order: Int32Array;
  readonly lastMask: number;
  readonly ways: number;
  /** Sets - 1, sets being a power of two. */
  readonly setMask: number;
  /**
   * REGIONS counts, by regionAt of tlb.ts, from {@link countRegions} on: 0 says that no page of the region is here.
   * Empty where it was not asked for.
   */
  readonly regions: Uint16Array;
  /** 0: nothing is here. */
  readonly used: number;
  /**
   * 1: using an entry that was entered and not used since changes something, so the core does not keep the next fetch
   * from it. Left out: it changes nothing, as any further use in a row never does.
   */
  readonly usedAfterFill?: 0 | 1;
  readonly hostBytes: number;
  /**
   * Uses an entry.
   * @param index page number in units of the page size
   * @returns position of the entry's first word, or -1
   */
  lookup(index: number, page: number, tag: number, globalTag: number): number;
  /** Enters a page that is not there. */
  insert(index: number, page: number, tag: number, frame: number, denials: number): void;
  /** Forgets the entries of one page whose tag has these bits. */
  drop(index: number, page: number, mask: number, bits: number): void;
  /** Forgets every entry whose tag has these bits; a mask of 0 forgets all. */
  flush(mask: number, bits: number): void;
  countRegions(): void;
}

/** L1 or L2, sets laid out as cache.ts draws them: state words, then from `first` on the tags by way. */
export interface CoreCache {
  readonly ways: number;
  readonly words: Int32Array;
  /** Words of a set's record before its tags, and in all. */
  readonly first: number;
  readonly stride: number;
  /** Where each line was prefetched from, plus 1, at the index of its tag; empty where it was not asked for. */
  readonly origins: Uint8Array;
  /**
   * By hintAt of cache.ts, if asked for: a way. Where its tag is the line's, an access calls nothing but, where {@link
   * narrow} is 1, moves that way to the front of the order word; a cache that must hear of every use points its hints
   * at a word that never is a tag.
   */
  readonly hints: Uint8Array;
  /** Low-bit mask of the group where groups are a power of two, else -1; L1D has one. */
  readonly groupMask: number;
  /**
   * 1: words 2 to 4 of a record are order and marks as ours has them. 0: nobody but the cache reads more than state and
   * tags.
   */
  readonly narrow: number;
  /** As {@link TranslationBuffer.usedAfterFill}, of a line that was brought in. */
  readonly usedAfterFill?: 0 | 1;
  readonly orderMask: number;
  readonly oldestShift: number;
  /** Way in which {@link touch} left the line. */
  readonly way: number;
  /** Frame that the last {@link touch} that missed threw out, or -1. */
  readonly victimFrame: number;
  readonly victimModified: number;
  readonly lines: number;
  readonly hostBytes: number;
  baseOf(frame: number, line: number): number;
  /** @returns false only where the line is not there for certain */
  mayHold(base: number, marks: number): boolean;
  /** @returns the line's way or -1; nothing changes */
  find(base: number, frame: number): number;
  /** Uses a line, bringing it in with state 0. @returns 1 if it was there */
  touch(base: number, frame: number): number;
  /** @returns -1 when it is not there, else whether it was modified */
  remove(base: number, frame: number): number;
  stateOf(base: number, way: number): number;
  setState(base: number, way: number, bits: number): void;
  clear(): void;
  forEachLine(visit: (frame: number, line: number) => void): void;
}

/** The cache of a domain, behind the cores' own. */
export interface SharedCache {
  readonly victimFrame: number;
  readonly victimModified: number;
  readonly hostBytes: number;
  /**
   * Uses a line, bringing it in clean.
   * @returns whether it was there; if not, the victim's fields tell what had to leave
   */
  touch(frame: number, line: number): boolean;
  holds(frame: number, line: number): boolean;
  modify(frame: number, line: number): boolean;
  /** @returns -1 when it is not there, else whether it was modified */
  clean(frame: number, line: number): number;
  remove(frame: number, line: number): number;
  clear(): void;
}

/** What a walker has of its core: where it is charged for what it reads, and where a walk may start. */
export interface WalkedCore {
  readonly tlbs: { readonly structures: PagingStructureCaches };
  data(frame: number, line: number, write: number, counters: Float64Array, row: number): void;
}

/** The hardware page walk; one of each thread. Its results stand in fields, so that a walk allocates nothing. */
export interface PageWalker {
  /**
   * Frame of the root table, 32 signed bits; its level, 4 or 5; first index of the walk's references in the counters.
   */
  root: number;
  levels: number;
  row: number;
  /** After a successful walk. */
  readonly level: number;
  readonly frame: number;
  readonly global: number;
  readonly denials: number;
  /** @param enabled EFER.NXE */
  setNoExecute(enabled: boolean): void;
  /** @returns 0, or WALK_FAULT of walker.ts with error-code bits */
  walk(lo: number, hi: number, tag: number, write: number, deny: number): number;
}

/**
 * Makes the parts of a machine's cores and domains: a domain's and a walker when a CPU of theirs is first asked for, a
 * core's caches and TLBs at its first access. One more set is made that stands for those of all cores before that: it
 * is asked what it holds and told to forget, and nothing is entered.
 */
export interface MachineParts {
  /** @param regions keeps {@link TranslationBuffer.regions} */
  tlb(shape: TlbSpec, regions: boolean): TranslationBuffer;
  /** @param origins keeps {@link CoreCache.origins} @param hints keeps {@link CoreCache.hints} */
  cache(shape: CacheSpec, origins: boolean, hints: boolean): CoreCache;
  sharedCache(shape: CacheSpec): SharedCache;
  /** @param encryption the high half's encryption bit; absent or 0: the machine has none */
  walker(
    memory: PhysMemory,
    core: WalkedCore,
    physicalBits: number,
    counters: Float64Array,
    encryption?: number,
  ): PageWalker;
}
