/** Which kernel a story is about: plain values, and the kernel they come to. */
import { CONFIGURATIONS, type Configuration, kernelOf, type Kind, type Operation, laidOn } from "@kreplica/check";
import { type Kernel, policyOf } from "@kreplica/kernel";
import { type Bug, bugOf } from "@kreplica/museum";
import { type SeriesDefect, defectOf } from "@kreplica/series-as-posted";

/** A kernel, as plain values. */
export interface Setup {
  /** 1 to 8. */
  readonly nodes: number;
  readonly levels: 4 | 5;
  readonly pti: boolean;
  readonly kasan?: boolean;
  readonly configuration?: Configuration;
  /** Name of a policy. */
  readonly policy: string;
  /** Defects of the series and bugs of the museum that are laid over it, by id. */
  readonly laid: readonly string[];
}

/** A kernel and what is done on it. */
export interface Story extends Setup {
  readonly operations: readonly Operation[];
}

/** Two nodes, the corrected series, nothing done yet. */
export const FIRST_STORY: Story = { nodes: 2, levels: 4, pti: false, policy: "per-node", laid: [], operations: [] };

/** The most nodes a picture has room for. */
export const MOST_NODES = 8;

/** @throws InputError for a policy that is none, or a kernel that cannot be */
export function kernelFor({ policy: name, laid, ...kind }: Setup): Kernel {
  const policy = policyOf(name, { file: "the address", field: "policy" });
  const kernel = kernelOf(policy.surveyed?.over ?? policy, kind as Kind);
  const ids =
    laid.length > 0
      ? laid
      : laidOn(
          kind as Kind,
          (policy.surveyed?.defects ?? []).map(({ id }) => id),
        );
  return ids.length === 0 ? kernel : kernel.with({ defects: ids.flatMap((id) => faultOf(id) ?? []) });
}

/** What can be laid over a kernel: a defect of the series or a bug of the museum; undefined for a name of neither. */
export const faultOf = (id: string): SeriesDefect | Bug | undefined => defectOf(id) ?? bugOf(id);

/** Why a setup cannot be, in a sentence; undefined where it can. */
export function wrongWith({ nodes, configuration }: Setup): string | undefined {
  if (configuration !== undefined && nodes < CONFIGURATIONS[configuration].fewest)
    return `${configuration} takes ${CONFIGURATIONS[configuration].fewest} nodes`;
  return undefined;
}
