/** Surveys run to their end, on small kernels without a twin unless asked. */
import { CORE_FAMILIES } from "../src/core-families.js";
import { kernelOf, type Kind } from "../src/kinds.js";
import { toward } from "../src/reach.js";
import { laidOn, SERIES_IDS, withSeries } from "../src/series.js";
import { type Finding, survey, type SurveyOptions, type SurveyResult } from "../src/survey.js";

export const PLAIN: Kind = { nodes: 2, levels: 4, pti: false };

/** @param more in place of 20 runs of 200 operations of the core, with the whole series laid */
export function surveyOf(kinds: readonly Kind[], more: Partial<SurveyOptions<string>>): SurveyResult<string> {
  const work = survey<string>({
    kinds: kinds.length,
    kernel: (kind, laid) => withSeries(kernelOf("per-node", kinds[kind]!), kinds[kind]!, laid),
    laidOn: (kind, ids) => laidOn(kinds[kind]!, ids),
    toward: (kind, ids) => toward(ids, kinds[kind]!, more.families ?? CORE_FAMILIES),
    defects: SERIES_IDS,
    runs: 20,
    steps: 200,
    seed: 1,
    comparison: "off",
    families: CORE_FAMILIES,
    ...more,
  });
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/** Rule by name. */
export const byName = (findings: readonly Finding<string>[]): Record<string, string> =>
  Object.fromEntries(findings.map(({ names, invariant }) => [names.join(), invariant]));
