/**
 * The defects of the series as posted, each so that it can be taken away: what `check --policy rfc-v1` lays over the
 * corrected series, less those it has found.
 */
import type { Kernel } from "@kreplica/kernel";
import { defectOf, SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { CONFIGURATIONS, type Configuration, fewestNodes, type Kind } from "./kinds.js";

export const SERIES_IDS: readonly string[] = SERIES_DEFECTS.map(({ id }) => id);

/** Those of the ids that are laid on a kind of kernel: what makes a configuration is no part of others. */
export const laidOn = (kind: Kind, ids: readonly string[]): string[] =>
  ids.filter((id) => {
    const { onlyThere, configuration } = defectOf(id)!;
    return !onlyThere || configuration === kind.configuration;
  });

/** A kernel with defects of the series, and no others, over the corrected one. @param plain of the corrected series */
export const withSeries = (plain: Kernel, kind: Kind, ids: readonly string[]): Kernel =>
  plain.with({ defects: laidOn(kind, ids).map((id) => defectOf(id)!) });

/**
 * A kind of each configuration that a defect needs, as a machine of that many nodes allows; on the first of the kinds
 * that has enough.
 */
export function configuredKinds(kinds: readonly Kind[]): Kind[] {
  return (Object.keys(CONFIGURATIONS) as Configuration[]).flatMap((configuration) => {
    if (!SERIES_DEFECTS.some((defect) => defect.configuration === configuration)) return [];
    if (kinds.some((kind) => kind.configuration === configuration)) return [];
    const fewest = fewestNodes(configuration);
    const fits = ({ levels }: Kind): boolean => configuration !== "KASAN without vmalloc" || levels === 4;
    const base = kinds.find((kind) => kind.configuration === undefined && kind.nodes >= fewest && fits(kind));
    return base ? [{ ...base, configuration }] : [];
  });
}
