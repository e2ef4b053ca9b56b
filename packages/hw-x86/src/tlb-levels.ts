/** The TLBs of one core: first level by kind of access and page size, second level shared. */
import type { MachineParts, TranslationBuffer } from "./parts.js";
import { MISS, Tag } from "./tlb.js";
import { PagingStructureCaches } from "./pwc.js";
import type { TlbSpec, TranslationSpec } from "./spec.js";

/** Bits of a 4 KiB page number below those of the page size. */
const enum Below {
  TwoMegabytes = 0x1ff,
  Gigabyte = 0x3_ffff,
}

export class CoreTlbs {
  readonly codeSmall: TranslationBuffer;
  readonly codeLarge: TranslationBuffer | null;
  readonly dataSmall: TranslationBuffer;
  readonly dataLarge: TranslationBuffer | null;
  readonly dataHuge: TranslationBuffer | null;
  readonly second: TranslationBuffer;
  /** 2 MiB pages use the second level, too. */
  readonly secondLarge: number;
  readonly secondHuge: TranslationBuffer | null;
  readonly structures: PagingStructureCaches;
  private readonly all: TranslationBuffer[];
  /** {@link codeKept} after a page was entered, by the first level that took it: 0, too, where its next use is told. */
  private readonly smallKept: number;
  private readonly largeKept: number;
  /**
   * Whether the page of the last code translation is in the first level, and using it again there changes nothing: not,
   * where its size has no TLB of its own there; and not, where L1I is to hear of the line's next use (core.ts).
   */
  codeKept: number;
  /** A page larger than 4 KiB was ever entered: else nobody need look for one. */
  anyLarge: number;
  /** Where {@link find} and {@link findSecond} found the page. */
  hitFrame: number;
  hitDenials: number;
  /** Walks that entered something, modulo 2^32: while it stands still nothing new is here. */
  fills: number;
  /** Tag of the entry {@link takeFrom} found. */
  private hitTag: number;

  constructor(spec: TranslationSpec, parts: MachineParts) {
    const tlb = (shape: TlbSpec | undefined): TranslationBuffer | null =>
      shape === undefined ? null : parts.tlb(shape, false);
    this.codeKept = 1;
    this.anyLarge = 0;
    this.hitFrame = 0;
    this.hitDenials = 0;
    this.hitTag = 0;
    this.fills = 0;
    this.codeSmall = parts.tlb(spec.instruction.small, true);
    this.codeLarge = tlb(spec.instruction.large);
    this.smallKept = this.codeSmall.usedAfterFill === 1 ? 0 : 1;
    this.largeKept = this.codeLarge === null || this.codeLarge.usedAfterFill === 1 ? 0 : 1;
    this.dataSmall = parts.tlb(spec.data.small, true);
    this.dataLarge = tlb(spec.data.large);
    this.dataHuge = tlb(spec.data.huge);
    this.second = parts.tlb(spec.second, false);
    this.secondLarge = spec.second.large ? 1 : 0;
    this.secondHuge = tlb(spec.second.huge);
    this.structures = new PagingStructureCaches(spec.pagingStructure);
    this.all = [
      this.codeSmall,
      this.codeLarge,
      this.dataSmall,
      this.dataLarge,
      this.dataHuge,
      this.second,
      this.secondHuge,
    ].filter((each) => each !== null);
  }

  /** Bytes of host memory of the entries. */
  get hostBytes(): number {
    return this.all.reduce((sum, each) => sum + each.hostBytes, this.structures.hostBytes);
  }

  /**
   * First-level lookup of the large sizes, after the small one missed.
   * @returns 1 if found, then {@link hitFrame} is the 4 KiB frame
   */
  findLarge(code: number, page: number, tag: number, globalTag: number): number {
    const large = code !== 0 ? this.codeLarge : this.dataLarge;
    if (
      large !== null &&
      large.used !== 0 &&
      this.takeFrom(
        large,
        page >>> 9,
        page & ~Below.TwoMegabytes,
        tag | Tag.Large,
        globalTag | Tag.Large,
        page & Below.TwoMegabytes,
      ) !== 0
    ) {
      if (code !== 0) this.codeKept = 1;
      return 1;
    }
    const huge = code !== 0 ? null : this.dataHuge;
    return huge === null || huge.used === 0
      ? 0
      : this.takeFrom(
          huge,
          page >>> 18,
          page & ~Below.Gigabyte,
          tag | Tag.Large,
          globalTag | Tag.Large,
          page & Below.Gigabyte,
        );
  }

  /** Second-level lookup of every size; a hit is copied to the first level. @returns 1 for a hit */
  findSecond(code: number, page: number, tag: number, globalTag: number): number {
    const at = this.second.lookup(page, page, tag, globalTag);
    if (at !== MISS) {
      const entries = this.second.entries;
      this.hitFrame = entries[at + 2]!;
      this.hitDenials = entries[at + 3]!;
      if (code !== 0) this.codeKept = this.smallKept;
      (code !== 0 ? this.codeSmall : this.dataSmall).insert(
        page,
        page,
        entries[at + 1]!,
        this.hitFrame,
        this.hitDenials,
      );
      return 1;
    }
    if (
      this.secondLarge !== 0 &&
      this.anyLarge !== 0 &&
      this.takeFrom(
        this.second,
        page >>> 9,
        page & ~Below.TwoMegabytes,
        tag | Tag.Large,
        globalTag | Tag.Large,
        page & Below.TwoMegabytes,
      ) !== 0
    ) {
      const first = code !== 0 ? this.codeLarge : this.dataLarge;
      const large = page & ~Below.TwoMegabytes;
      if (code !== 0) this.codeKept = this.largeKept;
      if (first !== null)
        first.insert(page >>> 9, large, this.hitTag, this.hitFrame - (page & Below.TwoMegabytes), this.hitDenials);
      return 1;
    }
    if (
      this.secondHuge !== null &&
      this.secondHuge.used !== 0 &&
      this.takeFrom(
        this.secondHuge,
        page >>> 18,
        page & ~Below.Gigabyte,
        tag | Tag.Large,
        globalTag | Tag.Large,
        page & Below.Gigabyte,
      ) !== 0
    ) {
      if (code !== 0) this.codeKept = 0;
      else if (this.dataHuge !== null) {
        this.dataHuge.insert(
          page >>> 18,
          page & ~Below.Gigabyte,
          this.hitTag,
          this.hitFrame - (page & Below.Gigabyte),
          this.hitDenials,
        );
      }
      return 1;
    }
    return 0;
  }

  /**
   * Enters what a walk found, in both levels.
   * @param level 1 is 4 KiB, 2 is 2 MiB, 3 is 1 GiB
   * @param frame first frame of the page
   */
  insert(code: number, level: number, page: number, tag: number, frame: number, denials: number): void {
    this.fills = (this.fills + 1) | 0;
    if (level === 1) {
      if (code !== 0) this.codeKept = this.smallKept;
      this.second.insert(page, page, tag, frame, denials);
      (code !== 0 ? this.codeSmall : this.dataSmall).insert(page, page, tag, frame, denials);
      return;
    }
    if (this.anyLarge === 0) {
      this.anyLarge = 1;
      this.codeSmall.countRegions();
      this.dataSmall.countRegions();
    }
    const largeTag = tag | Tag.Large;
    if (level === 2) {
      const large = page & ~Below.TwoMegabytes;
      if (this.secondLarge !== 0) this.second.insert(page >>> 9, large, largeTag, frame, denials);
      const first = code !== 0 ? this.codeLarge : this.dataLarge;
      if (code !== 0) this.codeKept = this.largeKept;
      if (first !== null) first.insert(page >>> 9, large, largeTag, frame, denials);
      return;
    }
    const huge = page & ~Below.Gigabyte;
    if (code !== 0) this.codeKept = 0;
    if (this.secondHuge !== null) this.secondHuge.insert(page >>> 18, huge, largeTag, frame, denials);
    if (code === 0 && this.dataHuge !== null) this.dataHuge.insert(page >>> 18, huge, largeTag, frame, denials);
  }

  /** Forgets the translations of one address whose tag, size bit aside, has these bits. @param page number 31..0 */
  drop(page: number, mask: number, bits: number): void {
    const sizes = mask | Tag.Large;
    const large = bits | Tag.Large;
    // Each TLB by the sizes it holds: a 2 MiB page at the start of a GiB is not the GiB.
    const { codeLarge, dataLarge, second, dataHuge, secondHuge } = this;
    this.codeSmall.drop(page, page, sizes, bits);
    this.dataSmall.drop(page, page, sizes, bits);
    second.drop(page, page, sizes, bits);
    const ofLarge = page & ~Below.TwoMegabytes;
    codeLarge?.drop(page >>> 9, ofLarge, sizes, large);
    dataLarge?.drop(page >>> 9, ofLarge, sizes, large);
    second.drop(page >>> 9, ofLarge, sizes, large);
    const ofHuge = page & ~Below.Gigabyte;
    dataHuge?.drop(page >>> 18, ofHuge, sizes, large);
    secondHuge?.drop(page >>> 18, ofHuge, sizes, large);
  }

  /** Forgets every translation whose tag has these bits. Paging-structure caches are {@link structures}' own. */
  flush(mask: number, bits: number): void {
    for (const each of this.all) each.flush(mask, bits);
  }

  /** Visits every translation: level of the leaf, page bits 31..0, tag, frame, denials. Off the access path. */
  forEach(visit: (level: number, page: number, tag: number, frame: number, denials: number) => void): void {
    const { codeLarge, dataLarge, dataHuge, secondHuge } = this;
    for (const each of this.all) {
      if (each.used === 0) continue;
      const own = each === dataHuge || each === secondHuge ? 3 : each === codeLarge || each === dataLarge ? 2 : 1;
      const { entries } = each;
      for (let at = 0; at < entries.length; at += 4) {
        const tag = entries[at + 1]!;
        if (tag === -1) continue;
        // The second level holds 2 MiB pages among the small ones.
        visit(own === 1 && (tag & Tag.Large) !== 0 ? 2 : own, entries[at]!, tag, entries[at + 2]!, entries[at + 3]!);
      }
    }
  }

  private takeFrom(
    from: TranslationBuffer,
    index: number,
    page: number,
    tag: number,
    globalTag: number,
    below: number,
  ): number {
    const at = from.lookup(index, page, tag, globalTag);
    if (at === MISS) return 0;
    this.hitTag = from.entries[at + 1]!;
    this.hitFrame = from.entries[at + 2]! + below;
    this.hitDenials = from.entries[at + 3]!;
    return 1;
  }
}
