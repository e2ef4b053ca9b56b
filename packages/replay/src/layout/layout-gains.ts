/** Where a gain lies over layouts, and a gain whose limits have that in them. */
import type { Gain } from "../measure/gain.js";

/** Least and most of a gain over layouts, percent: the layout as linked is one of them. */
export interface LayoutGains {
  /** A layout for each kernel. */
  readonly low: number;
  readonly high: number;
  /** The same for both. */
  readonly sameLow: number;
  readonly sameHigh: number;
}

/**
 * A gain whose limits have the layouts in them: as far beyond the corners as layouts move it at the parameters' values.
 */
export const spreadBy = (gain: Gain, layout: LayoutGains | undefined): Gain =>
  layout === undefined
    ? gain
    : {
        percent: gain.percent,
        low: gain.low + layout.low - gain.percent,
        high: gain.high + layout.high - gain.percent,
      };
