/**
 * Which allocations of a step were refused, told so that a kernel with other policies can refuse the same ones.
 *
 * PGDs are counted apart: how many an address space has is the policy's business. All others (tables, user frames)
 * every kernel asks for in the same order, so that the n-th of a step means the same on both.
 */
import { NONE } from "@kreplica/hw-x86";
import type { BootParts } from "@kreplica/kernel";

export class AllocationRecord {
  /** Outcomes of the step, in order, PGDs left out: whether there was memory. */
  granted: boolean[] = [];
  /** For each address space that was asked for in the step, whether there was memory for its PGDs. */
  spaces: boolean[] = [];
  /** Whether memory ran out here where the other kernel had some: from then on they need not be alike. */
  parted = false;
  private inPgd = 0;
  private like: AllocationRecord | undefined;

  constructor(parts: BootParts) {
    const { allocator, spaces } = parts;
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (node, order, gfp) => {
      if (this.inPgd > 0) return allocate(node, order, gfp);
      const wanted = this.like?.granted[this.granted.length] ?? true;
      const frame = wanted ? allocate(node, order, gfp) : NONE;
      if (this.like && wanted && frame === NONE) this.parted = true;
      this.granted.push(frame !== NONE);
      return frame;
    };
    const create = spaces.create.bind(spaces);
    spaces.create = (node, parent) => {
      const wanted = this.like?.spaces[this.spaces.length] ?? true;
      const space = wanted ? this.forPgds(() => create(node, parent)) : undefined;
      if (this.like && wanted && !space) this.parted = true;
      this.spaces.push(space !== undefined);
      if (!space) return undefined;
      const enter = space.enter.bind(space);
      space.enter = (entered) => {
        this.forPgds(() => {
          enter(entered);
        });
      };
      return space;
    };
  }

  /** Starts a step. @param like refuses what that record says was refused there */
  begin(like?: AllocationRecord): void {
    this.granted = [];
    this.spaces = [];
    this.like = like;
  }

  private forPgds<T>(work: () => T): T {
    this.inPgd++;
    try {
      return work();
    } finally {
      this.inPgd--;
    }
  }
}
