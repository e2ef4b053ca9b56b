/**
 * The leak tracker's book: the areas it was told of. Looking for leaks is not modelled; what it does not know of, it
 * would not search for pointers.
 */
import type { LeakTracker, VmArea } from "./api.js";

export class LeakBook implements LeakTracker {
  private readonly known = new Set<VmArea>();

  knows(area: VmArea): boolean {
    return this.known.has(area);
  }
  /** Linux: kmemleak_vmalloc. */
  tell(area: VmArea): void {
    this.known.add(area);
  }
  /** Linux: kmemleak_free; of an area it never knew it says nothing. */
  forget(area: VmArea): void {
    this.known.delete(area);
  }
}
