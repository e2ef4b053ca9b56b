/** The policies that come with kreplica, by name: who holds copies, and what else of a kernel follows from that. */
import type { MachineSpec, NodeId } from "@kreplica/hw-x86";
import { didYouMean, InputError } from "@kreplica/inputs";
import { HOME_PGDS, LAZY_PGDS, type Policy, singleCopy } from "@kreplica/mm-core";
import { asPosted, type ModulePolicy } from "@kreplica/modules";
import { everyNth, numaReplication, PER_NODE, perSocket, replicationBy, TEXT_ONLY } from "@kreplica/numa-replication";
import { SERIES_DEFECTS, type SeriesDefect } from "@kreplica/series-as-posted";
import { PARAMETERS } from "./policy-parameters.js";

/** A policy with what more than the core's ports may hang on it; all of it may be left out. */
export interface KernelPolicy extends Policy {
  /** Comes up only on a CPU of this node. */
  readonly bootNode?: {
    readonly node: NodeId;
    /** The defect that makes it so, in a word. */
    readonly because: string;
    /** What becomes of a boot elsewhere, as a clause's end. */
    readonly elsewhere: string;
  };
  /** Node of all that module_alloc gives: module bases, BPF images; chosen by the caller when absent. */
  readonly codeNode?: NodeId;
  /**
   * Where modules' base copies lie and which have copies, unless the caller says; beside each loading CPU, and all,
   * when absent.
   */
  readonly modules?: ModulePolicy;
  /** Defects of the series that are laid over a kernel under it, unless the caller says which. */
  readonly defects?: readonly SeriesDefect[];
  /** What a check lays over this policy's corrected kernel one by one, in place of {@link defects} as a whole. */
  readonly surveyed?: { readonly over: Policy; readonly defects: readonly SeriesDefect[] };
  /** Levels of page tables that it can be configured with beside KASAN; both when absent. */
  readonly kasanLevels?: readonly (4 | 5)[];
  /** Why no kernel of a machine can have it; undefined where one can. */
  readonly unfit?: (machine: MachineSpec) => PolicyFault | undefined;
  /** What it is called in a sentence; "the policy NAME" when absent. */
  readonly called?: string;
  /** Words of a comparison's tables. */
  readonly words?: {
    /** What its kernel has. */
    readonly design: string;
    /** Head of its column, two lines. */
    readonly column: string;
    /** Its row below the one of a single copy. */
    readonly row: string;
  };
  /** What it does and no recording has, so that a comparison leaves it out; clauses. */
  readonly notCompared?: readonly string[];
}

/** What is called for by name, or handed over. */
export type PolicyChoice = string | KernelPolicy;

/** A policy's words, and what it is called in a sentence. */
export const wordsOf = ({ name, words }: KernelPolicy): NonNullable<KernelPolicy["words"]> =>
  words ?? {
    design: `the policy ${name}`,
    column: name.includes("-") ? name.replace("-", "-\n") : `\n${name}`,
    row: "with",
  };
export const calledOf = ({ name, called }: KernelPolicy): string => called ?? `the policy ${name}`;

/** Whether there is more than one copy of anything under it, given the memory. */
export const replicates = ({ holders }: Policy): boolean => holders !== "master";

/** The corrected series: what is meant where no policy is named. */
export const perNode: KernelPolicy = {
  ...numaReplication,
  words: { design: "a copy on every node", column: "copy per\nnode", row: "each" },
};

/** Under another name, with another line about it. */
const known = (name: string, summary: string, policy: Policy, more: Partial<KernelPolicy> = {}): KernelPolicy => ({
  ...policy,
  ...more,
  name,
  summary,
});

/**
 * The series as posted: all its defects but those that are a configuration of the kernel (D13, D16), and D5, whose
 * unconverted calls leave generated code that other nodes cannot run at all: `check --policy rfc-v1` has them.
 */
const rfcV1 = known(
  "rfc-v1",
  "the series as posted, its defects included; needs a boot CPU on node 0",
  replicationBy({ ...PER_NODE, name: "rfc-v1" }),
  {
    called: "the series as posted",
    defects: SERIES_DEFECTS.filter(({ id, onlyThere }) => !onlyThere && id !== "D5"),
    surveyed: { over: perNode, defects: SERIES_DEFECTS },
    bootNode: {
      node: 0,
      because: "D1",
      elsewhere: "hangs in trap_init on every CPU that is not on logical node 0: no other node has a root yet",
    },
    codeNode: 0,
    modules: asPosted,
    kasanLevels: [4],
  },
);

const own: readonly KernelPolicy[] = [
  singleCopy,
  rfcV1,
  perNode,
  replicationBy(TEXT_ONLY),
  known(
    "lazy-pgd",
    "as per-node; a process gets a node's PGD at its first switch there, and can give it back",
    replicationBy(PER_NODE, LAZY_PGDS),
  ),
  known(
    "home-node",
    "as per-node; a process has one PGD, of the node it was made on, and runs that node's copy everywhere",
    replicationBy(PER_NODE, HOME_PGDS),
    { notCompared: ["a process that has moved from the node it was made on, and runs that node's text from afar"] },
  ),
  replicationBy(everyNth(2)),
  replicationBy(perSocket()),
];

/** Those that come with kreplica, as they are without a parameter. */
export const POLICIES: Readonly<Record<string, KernelPolicy>> = Object.fromEntries(
  own.map((policy) => [policy.name, policy]),
);

/** Whether its name says all about it, as it does of those that come with kreplica. */
export const isNamed = (choice: PolicyChoice): boolean =>
  typeof choice === "string" || findPolicy(choice.name) === choice;

/** Where a policy's name was written: the option, or a file and its field. */
export interface Place {
  readonly file: string;
  readonly field?: string;
}

/** The policy of a name, or the one handed over. @throws InputError when there is none of that name */
export function policyOf(choice: PolicyChoice = perNode, place: Place = { file: "--policy" }): KernelPolicy {
  if (typeof choice !== "string") return choice;
  const found = findPolicy(choice);
  if ("reason" in found) throw new InputError({ ...place, ...found });
  return found;
}

/** What is wrong with a name, for whoever tells it beside other faults. */
export interface PolicyFault {
  readonly reason: string;
  readonly remedy: string;
}

/** What may be written for a policy: names, and with a colon those that take a parameter. */
export const policyForms = (): string[] => [
  ...Object.keys(POLICIES),
  ...Object.entries(PARAMETERS).map(([name, { form }]) => `${name}:${form}`),
];

const withParameter = new Map<string, KernelPolicy>();

/** The policy of a name, or of a name and its parameter, or why there is none: the same object for the same name. */
export function findPolicy(name: string): KernelPolicy | PolicyFault {
  if (Object.hasOwn(POLICIES, name)) return POLICIES[name]!;
  const colon = name.indexOf(":");
  const family = colon < 0 ? name : name.slice(0, colon);
  const parameter = Object.hasOwn(PARAMETERS, family) ? PARAMETERS[family] : undefined;
  if (parameter) {
    const remedy = `write ${family}:${parameter.form}, as in ${family}:${parameter.example}: ${parameter.about}`;
    if (colon < 0) return { reason: `${name} is named without its parameter`, remedy };
    const made = withParameter.get(name) ?? parameter.make(name.slice(colon + 1), name);
    if (typeof made === "string") return { reason: `${JSON.stringify(name.slice(colon + 1))} ${made}`, remedy };
    withParameter.set(name, made);
    return made;
  }
  if (colon >= 0 && Object.hasOwn(POLICIES, family))
    return { reason: `the policy ${family} takes no parameter`, remedy: `write ${family}` };
  const names = [...new Set([...Object.keys(POLICIES), ...Object.keys(PARAMETERS)])];
  return {
    reason: `there is no policy ${family}`,
    remedy: didYouMean(family, names, `choose one of ${policyForms().join(", ")}`),
  };
}
