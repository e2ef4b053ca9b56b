/**
 * KASAN's shadow of areas: one byte for eight, at (address >> 3) + offset, present on every node before the area is
 * used.
 *
 * The series leaves the shadow of module areas on the node that populated it when five levels put it under the private
 * slot, and excludes that configuration. Mapping it through KernelTables reaches every root, so here it needs no
 * exception.
 */
import { inject, injectable } from "@kreplica/di";
import { endOf, type Frame, type NodeId, NONE, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import { KernelTables, PageAllocator } from "@kreplica/mm-core/api";
import type { ShadowMemory } from "./api.js";

/** @source arch/x86/Kconfig KASAN_SHADOW_OFFSET */
const SHADOW_OFFSET = 0xdfff_fc00_0000_0000n;
const SCALE = 3n;

/** A kernel without KASAN. */
@injectable()
export class NoShadow implements ShadowMemory {
  readonly align = 1n;
  cover(): boolean {
    return true;
  }
  uncover(): void {
    /* nothing was covered */
  }
}

/** Address of an address's shadow byte. */
export const shadowOf = (address: bigint): bigint => BigInt.asUintN(64, (address >> SCALE) + SHADOW_OFFSET);

/** Shadow pages, counted because neighbours may share one. */
@injectable()
export class KasanShadow implements ShadowMemory {
  /**
   * One shadow page covers 32 KiB: areas of modules begin there, so that two never write one shadow page.
   * @source arch/x86/include/asm/module.h MODULE_ALIGN
   */
  readonly align = 0x8000n;
  private readonly users = new Map<bigint, { frame: Frame; count: number }>();

  constructor(
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(KernelTables) private readonly tables: KernelTables,
  ) {}

  cover(range: PageRange, node: NodeId): boolean {
    const done: bigint[] = [];
    for (const page of this.pagesOf(range)) {
      const known = this.users.get(page);
      if (known) known.count++;
      else {
        const frame = this.allocator.allocate(node, 0, { purpose: "kernel", zero: true });
        const mapped =
          frame !== NONE &&
          this.tables.editLazily((editor) =>
            editor.map(page, {
              frame,
              level: 1,
              writable: true,
              executable: false,
              global: true,
              user: false,
              present: true,
              cache: "wb",
            }),
          );
        if (!mapped) {
          if (frame !== NONE) this.allocator.free(frame, 0);
          this.drop(done);
          return false;
        }
        this.users.set(page, { frame, count: 1 });
      }
      done.push(page);
    }
    return true;
  }

  uncover(range: PageRange): void {
    this.drop(this.pagesOf(range));
  }

  /** Shadow pages in use. */
  get pages(): number {
    return this.users.size;
  }

  /** One flush for all pages that lose their last user; only then may their frames be used again. */
  private drop(pages: Iterable<bigint>): void {
    const gone: { readonly page: bigint; readonly frame: Frame }[] = [];
    for (const page of pages) {
      const known = this.users.get(page)!;
      if (--known.count > 0) continue;
      this.users.delete(page);
      gone.push({ page, frame: known.frame });
    }
    if (gone.length === 0) return;
    this.tables.edit((editor) => {
      for (const { page } of gone) editor.unmap(page, 1);
    });
    for (const { frame } of gone) this.allocator.free(frame, 0);
  }

  private *pagesOf(range: PageRange): Generator<bigint> {
    const end = shadowOf(endOf(range) - 1n);
    for (let page = shadowOf(range.start) & ~(PAGE - 1n); page <= end; page += PAGE) yield page;
  }
}
