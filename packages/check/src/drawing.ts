/**
 * Chance for drawing operations: a seeded source, and what the last operations were about, for operations that never
 * meet find nothing.
 */
import { seededRandom } from "@kreplica/mm-core";
import type { Operation } from "./operation.js";
import { PLACES } from "./places.js";

/** Seed of a run among many. @param first of the first of them */
export const seedOfRun = (first: number, run: number): number => (first + run * 0x9e37_79b9) | 0;

/** What a run draws from: one seeded generator, with the choices operations need. */
export class Drawing {
  /** A whole number below `bound`. */
  readonly random: (bound: number) => number;
  /** What the last operations were about. */
  readonly focus = { p: 0, cpu: 0, page: 0 };

  /** @param inner draws an operation that may lie inside another */
  constructor(
    seed: number,
    private readonly inner: (drawing: Drawing) => Operation,
  ) {
    this.random = seededRandom(seed);
  }

  /** A process: rather the last one. */
  process(): number {
    return this.random(3) === 0 ? (this.focus.p = this.random(8)) : this.focus.p;
  }
  /** A CPU: rather another one, for what one did another must see. */
  cpu(): number {
    return this.random(3) === 0 ? this.focus.cpu : (this.focus.cpu = this.random(16));
  }
  /** A place below {@link PLACES}: rather the last one. */
  place(): number {
    return this.random(4) === 0 ? (this.focus.page = this.random(PLACES)) : this.focus.page;
  }
  /** 1 to 4 pages. */
  pages(): number {
    return 1 + this.random(4);
  }
  flag(): boolean {
    return this.random(2) === 1;
  }
  oneOf<T>(all: readonly T[]): T {
    return all[this.random(all.length)]!;
  }
  /** An operation to lie inside another. */
  nested(): Operation {
    return this.inner(this);
  }
}
