/**
 * Thunks for a module's indirect branches on CPUs with Indirect Target Selection (ITS): a branch that ends in the lower
 * half of a cache line may be mispredicted to where somebody else went, so it goes through a jump of its own in the
 * upper half of another line.
 *
 * Pages come one at a time, as they fill; each belongs to the module like its text, and gets copies with it.
 * Source: Documentation/admin-guide/hw-vuln/indirect-target-selection.rst; arch/x86/kernel/alternative.c
 * its_allocate_thunk (layout only).
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { VmArea } from "@kreplica/vmalloc/api";

const LINE = 64;
const HALF = 32;
const INT3 = 0xcc;

/** Pages of one module. */
export class ItsThunks {
  readonly pages: { readonly area: VmArea; readonly bytes: Uint8Array }[] = [];
  private offset = PAGE_BYTES;

  /** @param page one page in the module range, or undefined when memory gave out */
  constructor(private readonly page: () => VmArea | undefined) {}

  /**
   * Address of a new `jmp *register`; undefined when there is no page for it: the kernel's shared thunk will do.
   * @param register 0 to 15
   */
  take(register: number): bigint | undefined {
    const code = [...(register >= 8 ? [0x41] : []), 0xff, 0xe0 + (register & 7), INT3];
    if (this.offset + code.length > PAGE_BYTES) {
      const area = this.page();
      if (!area) return undefined;
      this.pages.push({ area, bytes: new Uint8Array(PAGE_BYTES).fill(INT3) });
      this.offset = HALF;
    }
    // Neither begun in a lower half nor reaching into the next line's.
    if ((this.offset + code.length - 1) % LINE < HALF) this.offset = Math.ceil(this.offset / LINE) * LINE + HALF;
    const { area, bytes } = this.pages.at(-1)!;
    bytes.set(code, this.offset);
    const at = area.start + BigInt(this.offset);
    this.offset += code.length;
    return at;
  }
}
