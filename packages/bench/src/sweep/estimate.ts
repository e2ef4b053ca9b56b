/**
 * How long replays may take, from a few that were measured: one of each recording, shortest first, for some seconds.
 */
import type { Work } from "./run-batches.js";

/** A replay, and what it took. */
export interface Sample {
  readonly file: string;
  readonly effort: number;
  readonly seconds: number;
}

/** Seconds of measuring after which no further recording is measured. */
const ENOUGH = 4;

/**
 * @param measure does a replay and keeps nothing @returns seconds: what the first replay of a process takes more than a
 *   later one, and a sample a recording
 */
export async function sampled(
  works: readonly Work[],
  measure: (work: Work) => Promise<number>,
): Promise<{ readonly first: number; readonly samples: readonly Sample[] }> {
  const shortest = new Map<string, Work>();
  for (const work of [...works].sort((a, b) => a.effort - b.effort))
    if (!shortest.has(work.batch.file)) shortest.set(work.batch.file, work);
  const [least] = shortest.values();
  const cold = least ? await measure(least) : 0;
  const samples: Sample[] = [];
  let spent = 0;
  for (const [file, work] of shortest) {
    if (spent >= ENOUGH) break;
    const seconds = await measure(work);
    samples.push({ file, effort: work.effort, seconds });
    spent += seconds;
  }
  return { first: Math.max(0, cold - (samples[0]?.seconds ?? 0)), samples };
}

/**
 * Seconds that replays take on so many workers: of a recording that was measured as that one by its effort, of another
 * as all that were measured together; no shorter than the longest of them.
 *
 * @param samples one at least
 */
export function secondsOf(works: readonly Work[], samples: readonly Sample[], first: number, workers: number): number {
  const rate = (of: readonly Sample[]): number =>
    of.reduce((sum, { seconds }) => sum + seconds, 0) / of.reduce((sum, { effort }) => sum + effort, 0);
  const common = rate(samples);
  const rates = new Map(samples.map((each) => [each.file, rate([each])]));
  const each = works.map(({ batch, effort }) => effort * (rates.get(batch.file) ?? common));
  const all = each.reduce((sum, seconds) => sum + seconds, 0);
  return first + Math.max(all / Math.min(workers, works.length), ...each);
}
