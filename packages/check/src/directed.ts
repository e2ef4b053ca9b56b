/**
 * Drawing toward what was not seen yet. In turn a run has all operations by their usual weights; a mix of its own, with
 * some left out and some often (a swarm); and the beginning of a run that came to a new state of a CPU's tables, gone
 * on from there with another mix.
 *
 * @source Groce et al., "Swarm Testing" (ISSTA 2012), for why mixes find what all operations together do not
 */
import { seededRandom } from "@kreplica/mm-core";
import type { Coverage } from "./coverage.js";
import type { Repertoire } from "./families.js";
import type { Operation } from "./operation.js";

/** Beginnings that are kept: the latest. */
const KEPT = 64;
/** A beginning leaves at least this share of a run to what is new. */
const SHARE = 2;

/** The beginnings of runs that came to something new, and what is drawn from them. */
export class DirectedDrawing {
  private readonly beginnings: (readonly Operation[])[] = [];

  constructor(readonly coverage: Coverage) {}

  /**
   * The operations of a run.
   * @param round how many runs of this kind there were: the first is drawn as without direction
   */
  drawRun(repertoire: Repertoire, seed: number, steps: number, round: number): Operation[] {
    if (round % 3 === 0) return repertoire.drawRun(seed, steps);
    const beginning =
      round % 3 === 2 && this.beginnings.length > 0 ? this.beginnings[seededRandom(seed)(this.beginnings.length)]! : [];
    return repertoire.drawRun(seed, steps, beginning.slice(0, Math.floor(steps / SHARE)), true);
  }

  /**
   * What a run came to is kept up to where it saw something new last.
   * @param done operations of the run up to there; 0 and below: it saw nothing new
   */
  learn(operations: readonly Operation[], done: number): void {
    if (done <= 0) return;
    if (this.beginnings.length === KEPT) this.beginnings.shift();
    this.beginnings.push(operations.slice(0, done));
  }
}
