/** The policies that come with kreplica, by name: who holds copies, and what else of a kernel follows from that. */
import { didYouMean, InputError } from "@kreplica/inputs";
import { HOME_PGDS, LAZY_PGDS, type Policy, singleCopy } from "@kreplica/mm-core";
import { asPosted } from "@kreplica/modules";
import { everyNth, numaReplication, PER_NODE, perSocket, replicationBy, TEXT_ONLY } from "@kreplica/numa-replication";
import { SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { extensions } from "./extensions.js";
import type { KernelPolicy, PolicyChoice, PolicyFault } from "./kernel-policy.js";
import { PARAMETERS } from "./policy-parameters.js";

export type { KernelPolicy, PolicyChoice, PolicyFault } from "./kernel-policy.js";

/** A policy's words, and what it is called in a sentence. */
export const wordsOf = ({ name, words }: KernelPolicy): NonNullable<KernelPolicy["words"]> =>
  words ?? {
    design: `the policy ${name}`,
    column: name.includes("-") ? name.replace("-", "-\n") : `\n${name}`,
    row: "with",
  };
/** What a policy is called in a sentence. */
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

/** Names that are taken by what comes with kreplica. */
export const policyNames = (): string[] => [...new Set([...Object.keys(POLICIES), ...Object.keys(PARAMETERS)])];

/** What may be written for a policy: names, and with a colon those that take a parameter. */
export const policyForms = (): string[] => [
  ...Object.keys(POLICIES),
  ...extensions().policies.keys(),
  ...Object.entries(PARAMETERS).map(([name, { form }]) => `${name}:${form}`),
];

const withParameter = new Map<string, KernelPolicy>();

/** The policy of a name, or of a name and its parameter, or why there is none: the same object for the same name. */
export function findPolicy(name: string): KernelPolicy | PolicyFault {
  if (Object.hasOwn(POLICIES, name)) return POLICIES[name]!;
  const own = extensions().policies.get(name);
  if (own) return own;
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
  const names = [...policyNames(), ...extensions().policies.keys()];
  return {
    reason: `there is no policy ${family}`,
    remedy: didYouMean(family, names, `choose one of ${policyForms().join(", ")}`),
  };
}
