/** Which kernel a story is about: plain values, and the kernel they come to. */
import { CONFIGURATIONS, type Configuration, kernelOf, type Kind, type Operation, laidOn } from "@kreplica/check";
import { InputError } from "@kreplica/inputs";
import { type Kernel, policyOf } from "@kreplica/kernel";
import { imageAddress } from "@kreplica/mm-core";
import { type Bug, bugOf } from "@kreplica/museum";
import { machineOf, ownKernel } from "./own.js";
import { type SeriesDefect, defectOf } from "@kreplica/series-as-posted";

/** A kernel, as plain values. */
export interface Setup {
  /** 1 to 8. */
  readonly nodes: number;
  readonly levels: 4 | 5;
  readonly pti: boolean;
  readonly kasan?: boolean;
  readonly configuration?: Configuration;
  /** A machine somebody opened, as an address holds it; one of {@link nodes} small nodes when absent. */
  readonly machine?: string;
  /** A kernel somebody opened, as an address names it; one of a few megabytes when absent. */
  readonly kernel?: string;
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

/** @throws InputError for a policy that is none, or a kernel that cannot be */
export function kernelFor({ policy: name, laid, machine, kernel: own, ...kind }: Setup): Kernel {
  const policy = policyOf(name, { file: "the address", field: "policy" });
  const plain = kernelOf(
    policy.surveyed?.over ?? policy,
    kind as Kind,
    own === undefined ? undefined : ownKernel(own).image,
  );
  const kernel = machine === undefined ? plain : plain.with({ spec: machineOf(machine) });
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
export function wrongWith({ nodes, configuration, machine }: Setup): string | undefined {
  if (configuration !== undefined && machine !== undefined)
    return `${configuration} is about machines of this page: take your own away first`;
  if (configuration !== undefined && nodes < CONFIGURATIONS[configuration].fewest)
    return `${configuration} takes ${CONFIGURATIONS[configuration].fewest} nodes`;
  return undefined;
}

/**
 * What is looked into, as an address.
 * @param page hexadecimal with 0x, or a symbol
 * @throws InputError for a symbol that the kernel does not have
 */
export function addressOfPage(setup: Setup, page: string): bigint {
  if (page.startsWith("0x")) return BigInt(page);
  const { image, layout } = kernelFor(setup);
  const link = image.symbol(page);
  if (link !== undefined) return imageAddress(layout, link);
  throw new InputError({
    file: setup.kernel === undefined ? "the page's own kernel" : ownKernel(setup.kernel).file,
    field: "look into",
    reason: `no symbol is called ${JSON.stringify(page)}`,
    remedy:
      setup.kernel === undefined
        ? "open a vmlinuz of your own, which has thousands, or give an address with 0x"
        : "look into another, or give an address with 0x",
  });
}

/** The function of an opened kernel that an address is in: `do_syscall_64+0x10`; undefined where none is known. */
export function nameAt({ kernel }: Setup, { layout }: Pick<Kernel, "layout">, address: bigint): string | undefined {
  if (kernel === undefined) return undefined;
  const place = Number(BigInt.asUintN(32, address - layout.imageOffset));
  const found = ownKernel(kernel).names.at(place);
  return found && address >> 32n === 0xffff_ffffn ? `${found.name}+0x${(place - found.start).toString(16)}` : undefined;
}
