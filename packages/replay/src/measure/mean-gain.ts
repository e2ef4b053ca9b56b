/** A gain over the whole machine: the mean of its nodes', with least and most at one corner for all of them. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { CORNERS, gainsAtCorners, percentGained } from "./corners.js";
import { type Gain, nearGain, within } from "./gain.js";

/** What a CPU counted with one copy, and with copies. */
export interface PairOfCounts {
  readonly single: Float64Array;
  readonly perNode: Float64Array;
}

/** The machine as each side of a comparison finds it. */
export interface Sides {
  readonly single: MachineSpec;
  readonly perNode: MachineSpec;
}

/** Nodes by their index in `spec.nodes`: the CPU's, the image's, that of the copy it uses. */
export interface GainPlace {
  readonly nodeIndex: number;
  readonly far: number;
  readonly near: number;
}

/** Sums up what is added. */
export class MeanGain {
  private readonly corners = new Float64Array(CORNERS);
  private middle = 0;
  private fromText = 0;

  /** @param weight all of them together are 1 @returns what was added, unweighted */
  add(
    weight: number,
    { single, perNode }: PairOfCounts,
    { single: before, perNode: after }: Sides,
    place: GainPlace,
  ): { readonly gain: Gain; readonly near: number; readonly singleCycles: number } {
    const { nodeIndex } = place;
    const atCorners = gainsAtCorners(single, perNode, before, nodeIndex, after);
    const singleCycles = account(single, before, nodeIndex).cycles;
    const percent = percentGained(singleCycles, account(perNode, after, nodeIndex).cycles);
    const near = nearGain(single, perNode, before, place, {}, after);
    atCorners.forEach((each, corner) => (this.corners[corner]! += weight * each));
    this.middle += weight * percent;
    this.fromText += weight * near;
    return { gain: within(percent, atCorners), near, singleCycles };
  }

  get gain(): Gain {
    return within(this.middle, this.corners);
  }

  /** What of it is near instead of far text. */
  get near(): number {
    return this.fromText;
  }
}
