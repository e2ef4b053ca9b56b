/**
 * What a CPU has cached of page tables, entry by entry, and which root each PCID stands for: for checks. Nothing here
 * is on an access path.
 */
import { type Frame, NONE } from "./ids.js";
import type { CoreTlbs } from "./tlb-levels.js";
import { Tag } from "./tlb.js";
import { Denial } from "./literals.js";

/** One entry of a TLB or of a paging-structure cache. The same object at each visit: keep what you need. */
export interface CachedEntry {
  /** Virtual page number, bits 31..0 and 44..32; bits below the entry's size are 0. */
  readonly page: number;
  readonly pageHigh: number;
  /** Of a paging-structure cache: {@link frame} is a table, not a page. */
  readonly structure: boolean;
  /** 1 to 3: of the leaf, 4 KiB, 2 MiB or 1 GiB; of a structure, of the table it leads to. */
  readonly level: number;
  /** 0 where {@link global}. */
  readonly pcid: number;
  readonly global: boolean;
  /** First frame of the page, or the table. */
  readonly frame: Frame;
  /** Over all levels of the way. */
  readonly writable: boolean;
  readonly user: boolean;
  readonly executable: boolean;
  /** Of a leaf: a store through it sets no D bit any more. */
  readonly dirty: boolean;
  /** Of a leaf, on a machine with an encryption bit: whether it was set; true on all others. */
  readonly encrypted: boolean;
}

/** What one CPU has cached of page tables. A root is a frame; -1 stands for none. */
export interface CachedTranslations {
  /** Grows with whatever its core enters: while it stands still nothing new is cached. Wraps at 32 bits. */
  readonly fills: number;
  /** Every translation and paging-structure entry of this CPU, its core's other threads' left out. */
  forEach(visit: (entry: CachedEntry) => void): void;
  /** The root that was loaded last under a PCID since its entries were flushed; -1: nothing is cached under it. */
  rootOf(pcid: number): Frame;
  /** Another root, loaded under the PCID before and not flushed since; -1, which is right, when there is none. */
  keptFrom(pcid: number): Frame;
}

/** {@link CachedTranslations} of one thread of a core. */
export class ThreadTranslations implements CachedTranslations {
  /** PCIDs in the order in which they were first loaded: a dozen at most, where an operating system uses six. */
  private readonly pcids: number[] = [];
  /** By place of the PCID: what was loaded last. */
  private readonly roots: Frame[] = [];
  /** By place of the PCID: what was loaded before that, its entries kept. */
  private readonly kept: Frame[] = [];
  private visiting: Visiting | undefined;

  /** @param core whose TLBs are others after its first access @param thread in its place of a TLB tag */
  constructor(
    private readonly core: { readonly tlbs: CoreTlbs },
    private readonly thread: number,
  ) {}

  get fills(): number {
    return this.core.tlbs.fills;
  }
  rootOf(pcid: number): Frame {
    const at = this.placeOf(pcid);
    return at < 0 ? NONE : this.roots[at]!;
  }
  keptFrom(pcid: number): Frame {
    const at = this.placeOf(pcid);
    return at < 0 ? NONE : this.kept[at]!;
  }

  private placeOf(pcid: number): number {
    const { pcids } = this;
    for (let at = 0; at < pcids.length; at++) if (pcids[at] === pcid) return at;
    return -1;
  }

  /** CR3 was written. @param keep with what is cached under the PCID kept */
  loaded(pcid: number, root: Frame, keep: boolean): void {
    const at = this.placeOf(pcid);
    if (at < 0) {
      this.pcids.push(pcid);
      this.roots.push(root);
      this.kept.push(NONE);
      return;
    }
    const known = keep ? this.roots[at]! : NONE;
    if (known === root) return;
    if (known !== NONE && this.kept[at] === NONE) this.kept[at] = known;
    this.roots[at] = root;
  }

  /** Entries of a PCID are gone, or of all of them. @param loaded PCID that CR3 names, under which all goes on */
  forgot(pcid: number | undefined, loaded: number): void {
    const { pcids, roots, kept } = this;
    for (let at = 0; at < pcids.length; at++) {
      if (pcid !== undefined && pcids[at] !== pcid) continue;
      if (pcids[at] !== loaded) roots[at] = NONE;
      kept[at] = NONE;
    }
  }

  forEach(visit: (entry: CachedEntry) => void): void {
    this.visiting ??= visiting(this.thread);
    const { tell, entry } = this.visiting;
    this.visiting.visit = visit;
    const { tlbs } = this.core;
    entry.structure = false;
    tlbs.forEach(tell);
    entry.structure = true;
    tlbs.structures.forEach(tell);
  }
}

/** What a look at a thread's entries takes: made once for all looks. */
interface Visiting {
  visit: (entry: CachedEntry) => void;
  readonly entry: { -readonly [Field in keyof CachedEntry]: CachedEntry[Field] };
  readonly tell: (level: number, page: number, tag: number, frame: number, denials: number) => void;
}

function visiting(thread: number): Visiting {
  const made: Visiting = {
    visit: () => undefined,
    entry: {
      page: 0,
      pageHigh: 0,
      structure: false,
      level: 0,
      pcid: 0,
      global: false,
      frame: 0,
      writable: false,
      user: false,
      executable: false,
      dirty: false,
      encrypted: true,
    },
    tell(level, page, tag, frame, denials) {
      if ((tag & Tag.Thread) !== thread) return;
      entry.level = level;
      entry.page = page >>> 0;
      entry.pageHigh = tag & Tag.Page;
      entry.global = !entry.structure && (tag & Tag.Global) !== 0;
      entry.pcid = entry.global ? 0 : (tag & Tag.Pcid) >>> 13;
      entry.frame = frame >>> 0;
      entry.writable = (denials & Denial.NotWritable) === 0;
      entry.user = (denials & Denial.NotUser) === 0;
      entry.executable = (denials & Denial.NoExecute) === 0;
      entry.dirty = (denials & Denial.NotDirty) === 0;
      entry.encrypted = (denials & Denial.NotEncrypted) === 0;
      made.visit(entry);
    },
  };
  const { entry } = made;
  return made;
}
