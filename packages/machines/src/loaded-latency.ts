/**
 * How much longer memory takes to answer when a controller or a link is busy: a machine's curve, or the common shape.
 */
import type { LoadedLatency } from "@kreplica/hw-x86/api";

/** Where the common shape ends and the climb to saturation begins. */
const KNEE = 0.93;
/**
 * Latency over idle latency at the peak. 2.8 to 4.0 was published; in a closed loop it says how many lines were asked
 * for at once rather than what the memory does.
 */
const SATURATED = 3.4;
/** Beyond the peak nothing is served: so steep that whoever asks for more waits until he asks for no more. */
const BEYOND_PEAK = 100;

const shape = (utilisation: number): number => 1 + 0.4 * utilisation + 1.42 * utilisation ** 8;

/** Where the common shape comes from. */
export const COMMON_SHAPE_SOURCE =
  "1 + 0.40 u + 1.42 u^8 up to 0.93, then straight to 3.4 at the peak: least squares over four outputs of Intel MLC (2x E5-2699 v3 and 2x 8180 of FD.io CSIT, a two-socket server of 159 GB/s, 2x 8269CY with SNC2), rms 0.04; for links no curve is published: the same shape is assumed";

/**
 * Latency over idle latency.
 *
 * @param curve of the machine; the common shape where there is none
 * @param utilisation share of the peak that is in use, from 0; above 1 more is asked for than can be served
 */
export function timesIdle(curve: LoadedLatency | undefined, utilisation: number): number {
  const [, atPeak] = lastOf(curve);
  if (utilisation >= 1) return atPeak * (1 + BEYOND_PEAK * (utilisation - 1));
  if (!curve)
    return utilisation <= KNEE ? shape(utilisation) : between([KNEE, shape(KNEE)], [1, SATURATED], utilisation);
  let before: readonly [number, number] = [0, 1];
  for (const point of curve.points) {
    if (point.utilisation === utilisation) return point.timesIdle;
    if (point.utilisation > utilisation) return between(before, [point.utilisation, point.timesIdle], utilisation);
    before = [point.utilisation, point.timesIdle];
  }
  return between(before, [1, atPeak], utilisation);
}

/**
 * A curve that was not measured up to the peak goes on to the common saturation, where it is not above that already.
 */
function lastOf(curve: LoadedLatency | undefined): readonly [number, number] {
  const last = curve?.points.at(-1);
  return [1, last ? (last.utilisation === 1 ? last.timesIdle : Math.max(last.timesIdle, SATURATED)) : SATURATED];
}

const between = ([x0, y0]: readonly [number, number], [x1, y1]: readonly [number, number], x: number): number =>
  y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
