/**
 * Areas that map files: who has one, and what becomes of their pages when the file gets shorter.
 *
 * A file that gets shorter ends first, so that no fault brings a page back; then every area that reaches behind the end
 * loses its leaves there, copies of its own among them, and each CPU that may have one is flushed; then the areas let
 * go of their frames, and at last the cache. Tables stay. Source: Linux 6.5 mm/truncate.c truncate_pagecache,
 * mm/memory.c unmap_mapping_range with even_cows.
 */
import { type AddressRange, type CpuId, type Frame, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import { addressOfLeaf, eachLeaf, pagesOf } from "./leaves.js";
import type { PageCache, UserFile } from "./page-cache-api.js";
import type { Process, Vma } from "./process-api.js";
import type { SwitchMm } from "./switch-api.js";
import type { UserFrames } from "./user-frames-api.js";

/** Part of an area that lies behind its file's end, perhaps none. */
function behindEnd({ file, offset, start, end }: Vma): AddressRange {
  const from = start + BigInt(Math.max(0, file!.pages - offset)) * PAGE;
  return { start: from < end ? from : end, end };
}

/** Keeps nothing: areas are looked for among all that there are. */
export class FileMappings {
  constructor(
    private readonly alive: ReadonlySet<Process>,
    private readonly cache: PageCache,
    private readonly frames: UserFrames,
    private readonly switcher: SwitchMm,
  ) {}

  /** See {@link Processes.truncate}. */
  truncate(file: UserFile, pages: number, cpu: CpuId): void {
    this.cache.resize(file, pages);
    for (const { process, vma } of this.areasOf(file)) {
      const { start, end } = behindEnd(vma);
      const gone: Frame[] = [];
      eachLeaf(process.space, { start, end }, (leaf) => {
        const mapping = process.space.clear(addressOfLeaf(leaf))!;
        process.rss -= pagesOf(mapping);
        gone.push(mapping.frame);
      });
      if (gone.length > 0) this.switcher.flush(process.space, pagesBetween(start, end), false, cpu);
      for (const frame of gone) this.frames.drop(frame);
    }
    this.cache.dropBehind(file);
  }

  /** Areas were taken away: memory that was shared without a file goes with the last. */
  forget(areas: readonly Vma[]): void {
    for (const file of new Set(areas.map((vma) => vma.file)))
      if (file?.anonymous && this.areasOf(file).length === 0) this.cache.forget(file);
  }

  /** Linux keeps them in a tree of the file's own, i_mmap. */
  private areasOf(file: UserFile): readonly { readonly process: Process; readonly vma: Vma }[] {
    return [...this.alive].flatMap((process) =>
      process.vmas
        .all()
        .filter((vma) => vma.file === file)
        .map((vma) => ({ process, vma })),
    );
  }
}
