/** What may follow a policy's name and a colon: `every-nth:4`, `groups:0-1,2-3`, `per-socket:21`. */
import type { MachineSpec, NodeId } from "@kreplica/hw-x86";
import {
  byGroups,
  everyNth,
  hotSubset,
  type NodeGroup,
  type OnDemand,
  type PageRun,
  perDistance,
  replicationBy,
  runsOf,
  whenItPays,
  withinBudget,
} from "@kreplica/numa-replication";
import { modulePolicy, placements, replications } from "@kreplica/modules";
import { copyPrice } from "./demand-price.js";
import type { KernelPolicy, PolicyFault } from "./kernel-policy.js";

/** A parameter of a policy. */
export interface PolicyParameter {
  /** As the help writes what follows the colon. */
  readonly form: string;
  /** What it says, a clause. */
  readonly about: string;
  /** One that can be written. */
  readonly example: string;
  /** The policy with it. @param name of both, colon included @returns why it is none, a clause */
  readonly make: (parameter: string, name: string) => KernelPolicy | string;
}

/** A whole number of up to three digits in a range. */
function numberIn(text: string, least: number, most: number): number | undefined {
  const value = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  return value >= least && value <= most ? value : undefined;
}

const MOST_NODES = 64;

/**
 * A number, or a range with a hyphen.
 * @param what they number
 * @returns first and last; what is wrong with them, a clause; undefined for anything else
 */
function rangeIn(text: string, what: "node" | "page", count: number): readonly [number, number] | string | undefined {
  const digits = String(count - 1).length;
  const [, from, to] = new RegExp(`^(\\d{1,${digits}})(?:-(\\d{1,${digits}}))?$`).exec(text) ?? [];
  if (from === undefined) return undefined;
  const [first, last] = [Number(from), Number(to ?? from)];
  if (first > last) return `has a range that goes down, ${text}`;
  return last < count ? [first, last] : `names ${what} ${last}: ${what}s are 0 to ${count - 1}`;
}

/** Where copies of text come by counts, no module has any: nothing counts what its text is waited for. */
const MODULES_ONCE = modulePolicy("local, no copies", placements.local, replications.none);

const COPY_UNPRICED =
  "What a copy costs that comes while the kernel runs is in no figure here, its cycles and the memory it takes after the boot: `kreplica policies --compare` runs one.";

/** By policy. */
export const PARAMETERS: Readonly<Record<string, PolicyParameter>> = {
  "every-nth": {
    form: "N",
    about: `one in N nodes with memory holds a copy, 1 to ${MOST_NODES}; 2 where it is left out`,
    example: "4",
    make(parameter, name) {
      const nth = numberIn(parameter, 1, MOST_NODES);
      return nth === undefined ? `is no whole number from 1 to ${MOST_NODES}` : replicationBy(everyNth(nth, name));
    },
  },
  "hot-subset": {
    form: "PAGES",
    about:
      "only these pages of text are copied: tests of shipped recordings, for what they fetch, and pages or ranges of " +
      "pages of 4 KiB from the first of the kernel's text, 0 to 65535, joined by +",
    example: "fork-1+kill",
    make(parameter, name) {
      const pages = textPages(parameter);
      return typeof pages === "string" ? pages : replicationBy(hotSubset(pages, name));
    },
  },
  budget: {
    form: "PERCENT",
    about:
      "a copy takes at most this share of the memory of the nodes that share it, above 0 to 100, with up to four " +
      "decimals; nodes that cannot pay alone share one with the nearest",
    example: "0.05",
    make(parameter, name) {
      const percent = /^\d{1,3}(\.\d{1,4})?$/.test(parameter) ? Number(parameter) : NaN;
      return percent > 0 && percent <= 100
        ? replicationBy(withinBudget(percent, name))
        : "is no percentage above 0, up to 100, with up to four decimals";
    },
  },
  "on-demand": {
    form: "CYCLES",
    about:
      "a node gets its copy of text when it has waited so many cycles for the master's, 0 to 999999999999, or `copy`: " +
      "as many as copying it costs on the machine; behind a comma, how many a copy has to save between two counts to stay",
    example: "copy",
    make(parameter, name) {
      const [, price, keep = "0"] = /^(copy|\d{1,12})(?:,(\d{1,12}))?$/.exec(parameter) ?? [];
      if (price === undefined)
        return "is neither a number of cycles nor `copy`, alone or with another number behind a comma";
      const terms: OnDemand = {
        price: ({ spec }, node, master, pages) =>
          price === "copy" ? copyPrice(spec, node, master, pages) : Number(price),
        keep: Number(keep),
      };
      return { ...replicationBy(whenItPays(terms, name)), modules: MODULES_ONCE, unpriced: [COPY_UNPRICED] };
    },
  },
  groups: {
    form: "NODES,NODES",
    about: "nodes of a group share one copy; each node stands in one group: 0-1 is a range, 0+2 two nodes",
    example: "0-1,2-3",
    make(parameter, name) {
      const groups = groupsIn(parameter);
      if (typeof groups === "string") return groups;
      return { ...replicationBy(byGroups(groups, name)), unfit: (machine) => unfit(groups, machine) };
    },
  },
  "per-socket": {
    form: "SLIT",
    about:
      "nodes up to this SLIT distance from each other are one socket, 10 to 254; as the machine says where it is left out",
    example: "21",
    make(parameter, name) {
      const distance = numberIn(parameter, 10, 254);
      return distance === undefined ? "is no SLIT distance, 10 to 254" : replicationBy(perDistance(distance, name));
    },
  },
};

/** Pages of text that a piece of work fetches, by its name; undefined for a name that nothing is known of. */
export type TextProfile = (name: string) => readonly PageRun[] | undefined;

let textProfile: TextProfile = () => undefined;

/** Says which pages a name after `hot-subset:` stands for: a command's, from its beginning to its end. */
export const useTextProfile = (profile: TextProfile): void => {
  textProfile = profile;
};

const MOST_PAGES = 65536;

/** @returns runs that ascend and do not touch, or why there are none, a clause */
function textPages(text: string): readonly PageRun[] | string {
  const pages = new Set<number>();
  const written = new Set<number>();
  for (const part of text.split("+")) {
    const profile = textProfile(part);
    for (const { first, pages: many } of profile ?? [])
      for (let page = first; page < first + many; page++) pages.add(page);
    if (profile) continue;
    const range = rangeIn(part, "page", MOST_PAGES);
    if (range === undefined)
      return `has ${JSON.stringify(part)}, which is neither a test of a shipped recording nor a page or a range of pages`;
    if (typeof range === "string") return range;
    for (let [page, last] = range; page <= last; page++) {
      if (written.has(page)) return `names page ${page} twice`;
      written.add(page);
      pages.add(page);
    }
  }
  return runsOf(pages);
}

/** @returns the groups, or why there are none, a clause */
function groupsIn(text: string): readonly NodeGroup[] | string {
  const seen = new Set<NodeId>();
  const groups: NodeId[][] = [];
  for (const part of text.split(",")) {
    const group: NodeId[] = [];
    for (const range of part.split("+")) {
      const found = rangeIn(range, "node", MOST_NODES);
      if (found === undefined) return `has ${JSON.stringify(range)} where a node or a range of nodes is expected`;
      if (typeof found === "string") return found;
      for (let [node, last] = found; node <= last; node++) {
        if (seen.has(node)) return `names node ${node} twice`;
        seen.add(node);
        group.push(node);
      }
    }
    groups.push(group.sort((a, b) => a - b));
  }
  return groups;
}

/** Why groups are none of a machine. */
function unfit(groups: readonly NodeGroup[], { name, nodes }: MachineSpec): PolicyFault | undefined {
  const stranger = groups.flat().find((node) => !nodes.some(({ id }) => id === node));
  const list = nodes.map(({ id }) => id).join(", ");
  if (stranger !== undefined)
    return { reason: `${name} has no node ${stranger}`, remedy: `its nodes are ${list}: name each in one group` };
  const missing = nodes.find(({ id }) => !groups.some((group) => group.includes(id)));
  if (missing)
    return {
      reason: `node ${missing.id} of ${name} is in no group`,
      remedy: `its nodes are ${list}: name each in one group`,
    };
  const empty = groups.find((group) => nodes.every(({ id, memoryBytes }) => !group.includes(id) || memoryBytes === 0));
  if (empty)
    return {
      reason: `no node of the group ${empty.join("+")} has memory for a copy`,
      remedy: "join it with another group",
    };
  return undefined;
}
