/** From what several inputs say to one machine: later ones refine earlier ones, what nobody said is the base's. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import type { FoundNode } from "../found-node.js";
import { distancesFromLatency, nodeOfBase, nodesAsInBase, tooManyCpus, withOwn } from "../from-latencies.js";
import { loadedLatencyOf } from "../loaded-latencies.js";
import { machineOnFound } from "../on-base.js";
import { defaultPreset } from "../presets/index.js";
import { MOST_NODE, type MachineAccount } from "./account.js";
import { JoinedAccount } from "./joined.js";
import { nearestFamily } from "./nearest-family.js";
import { coreAsTold } from "./told-core.js";
import { placeAsTold } from "./told-places.js";

/** What stands where no input says anything. */
export interface Fallback {
  /** Absent: the preset nearest to the processor that the inputs name, else the default one. */
  readonly base?: MachineSpec;
  /** The base is a machine the user gave, not only one like it: its nodes stand unless an input has others. */
  readonly whole?: boolean;
}

/** Nodes with CPUs and memory, and what of that is nobody's word. */
interface Nodes {
  readonly nodes: readonly FoundNode[];
  readonly assumed: readonly string[];
}

/**
 * @param accounts later ones refine earlier ones; at least one
 * @param name of the machine
 * @throws InputError where the inputs cannot be one machine
 */
export function machineFromAccounts(
  accounts: readonly MachineAccount[],
  name: string,
  { base: given, whole = false }: Fallback = {},
): MachineSpec {
  const said = new JoinedAccount(accounts);
  const near = nearestFamily(said.get("vendor"), said.get("family"), said.get("model"), socketsOf(said));
  const base = given ?? near?.base ?? defaultPreset;
  const why = given ? "" : near ? `, the nearest to ${near.why}` : ", since no input names the processor";
  const { nodes, assumed } = nodesOf(said, base, whole, accounts);
  const ids = nodes.map(({ id }) => id);
  const figures = (kind: "latencyNs" | "bandwidthMBs"): (number | undefined)[][] =>
    ids.map((from) => ids.map((to) => said.get(kind, `${from} ${to}`)));
  const latency = figures("latencyNs");
  const { distance, fromFirmware, distanceAssumed } = distancesOf(said, ids, base, whole);
  const wholeNodes = whole && said.whose("nodeCpus").length === 0 && sameIds(ids, base);
  const told = ["packageOf", "coreOf", "l3Of"].some((kind) => said.whose(kind as "coreOf").length > 0);
  const placed =
    wholeNodes && !told
      ? { cpus: base.cpus, assumed: base.assumedTopology }
      : placeAsTold(nodes, distance, base, said, fromFirmware);
  const core = coreAsTold(said, base);
  const onNodes = machineOnFound(
    {
      name,
      description: `${[...new Set(accounts.map(({ tool }) => tool))].join(", ")}, on ${base.name}`,
      nodes,
      distance,
      latencyNs: wholeNodes ? over(latency, base.latencyNs) : withOwn(latency),
      bandwidthMBs: wholeNodes ? over(figures("bandwidthMBs"), base.bandwidthMBs) : figures("bandwidthMBs"),
      fromFirmware,
      placed,
      sources: [],
      certain: assumed.length === 0 && distanceAssumed.length === 0,
    },
    base,
  );
  const { bandwidthMBs: _b, latencyNs: _l, distance: _d, ...scaledRest } = onNodes;
  const sources = [
    ...said.sources(),
    ...said.contradictions.map((each) => `contradiction: ${each}`),
    ...accounts.flatMap(({ tool, file, remarks }) => remarks.map((each) => `${tool} (${file}): ${each}`)),
    ...core.remarks,
    ...[...assumed, ...distanceAssumed].map((each) => `assumed: ${each}`),
    ...onNodes.sources.slice(0, onNodes.sources.indexOf(`everything else: ${base.name}, whose sources follow`)),
    ...(core.assumed.length > 0 ? [`assumed, as ${base.name}${why}: ${core.assumed.join(", ")}`] : []),
    `everything else, costs and cycles among it, assumed: as ${base.name}${why}; its sources follow`,
    ...base.sources,
  ];
  return {
    ...scaledRest,
    latencyNs: onNodes.latencyNs,
    bandwidthMBs: onNodes.bandwidthMBs,
    distance: onNodes.distance,
    ...core.fields,
    ...loadedAsTold(said, ids),
    interconnectSource:
      [
        ...said.sources().filter((each) => /^(?:distance|latencyNs|bandwidthMBs): /.test(each)),
        ...(onNodes.interconnectSource === "" ? [] : [onNodes.interconnectSource]),
      ].join("; ") || `assumed, as ${base.name}: ${base.interconnectSource}`,
    sources,
  };
}

/** The curve, over the mean latency of the nodes to themselves where that was told. */
function loadedAsTold(said: JoinedAccount, ids: readonly number[]): Partial<MachineSpec> {
  const rows = said.get("loadedLatencies");
  if (!rows) return {};
  const local = ids.flatMap((id) => said.get("latencyNs", `${id} ${id}`) ?? []);
  const idle = local.length > 0 ? local.reduce((sum, each) => sum + each, 0) / local.length : undefined;
  return { loadedLatency: loadedLatencyOf(rows, said.source("loadedLatencies"), idle) };
}

/** As many as were told; undefined where nobody told. */
const socketsOf = (said: JoinedAccount): number | undefined => {
  const firsts = new Set(said.whose("packageOf").map((cpu) => said.get("packageOf", cpu)![0]));
  return firsts.size > 0 ? firsts.size : undefined;
};

const sameIds = (ids: readonly number[], base: MachineSpec): boolean =>
  ids.length === base.nodes.length && base.nodes.every(({ id }, i) => ids[i] === id);
const over = (
  told: readonly (readonly (number | undefined)[])[],
  base: readonly (readonly number[])[],
): (number | undefined)[][] => told.map((row, i) => row.map((value, j) => value ?? base[i]![j]));

const pairsOf = (said: JoinedAccount): [number, number][] =>
  (["distance", "latencyNs", "bandwidthMBs"] as const)
    .flatMap((kind) => said.whose(kind))
    .map((of) => of.split(" ").map(Number) as [number, number]);

/** Nodes that anybody names, with their CPUs and memory. @throws InputError */
function nodesOf(said: JoinedAccount, base: MachineSpec, whole: boolean, accounts: readonly MachineAccount[]): Nodes {
  const listed = [...said.whose("nodeCpus"), ...said.whose("nodeMemory")].map(Number);
  const pairs = pairsOf(said);
  const ids = [...new Set([...listed, ...(listed.length > 0 ? [] : pairs.flat())])].sort((a, b) => a - b);
  const cpus = said.get("cpus");
  const { memoryBytes: like } = nodeOfBase(base);
  const last = accounts.at(-1)!;
  const stranger = listed.length > 0 ? pairs.flat().find((id) => !ids.includes(id)) : undefined;
  if (stranger !== undefined)
    throw new InputError({
      file: last.file,
      reason: `a matrix has node ${stranger}, which the list of nodes has not`,
      remedy: "give inputs of one machine",
    });
  if (ids.some((id) => id > MOST_NODE))
    throw new InputError({
      file: last.file,
      reason: `node ids go from 0 to ${MOST_NODE}`,
      remedy: "leave the node out",
    });
  const asBase = base.nodes.map(({ id, memoryBytes }) => ({
    id,
    memoryBytes,
    cpus: base.cpus.flatMap((cpu) => (cpu.node === id ? [cpu.id] : [])),
  }));
  if (ids.length === 0) {
    if (!cpus) return { nodes: asBase, assumed: whole ? [] : [`nodes, CPUs and memory, as ${base.name}`] };
    return {
      nodes: [{ id: 0, cpus, memoryBytes: like }],
      assumed: ["one node with all CPUs, since no input names nodes", `its memory, as a node of ${base.name}`],
    };
  }
  if (said.whose("nodeCpus").length === 0) {
    if (whole && sameIds(ids, base) && listed.length === 0) return { nodes: asBase, assumed: [] };
    const from = new Set(pairs.map(([each]) => each));
    const withCpus = new Set(from.size > 0 ? ids.filter((id) => from.has(id)) : ids);
    const tooMany = tooManyCpus(withCpus.size, base);
    if (tooMany) throw new InputError({ file: last.file, reason: tooMany, remedy: "name a --base with fewer" });
    return {
      nodes: nodesAsInBase(ids, withCpus, base).map((node) => ({
        ...node,
        memoryBytes: said.get("nodeMemory", node.id) ?? node.memoryBytes,
      })),
      assumed: [`CPUs${listed.length > 0 ? "" : " and memory"} of a node, as a node of ${base.name}`],
    };
  }
  const unsaid = ids.filter((id) => said.get("nodeMemory", id) === undefined);
  const nodes = ids.map((id) => ({
    id,
    cpus: said.get("nodeCpus", id) ?? [],
    memoryBytes: said.get("nodeMemory", id) ?? like,
  }));
  const home = new Map<number, number>();
  for (const { id, cpus: own } of nodes)
    for (const cpu of own) {
      const before = home.get(cpu);
      if (before !== undefined)
        throw new InputError({
          file: last.file,
          reason: `CPU ${cpu} is in node ${before} (${said.source("nodeCpus", before)}) and in node ${id} (${said.source("nodeCpus", id)})`,
          remedy: "give inputs of one machine",
        });
      home.set(cpu, id);
    }
  if (home.size === 0)
    throw new InputError({
      file: last.file,
      reason: "no node has a CPU",
      remedy: "give an input that lists the nodes' CPUs",
    });
  return {
    nodes,
    assumed: unsaid.length > 0 ? [`memory of node ${unsaid.join(", ")}, as a node of ${base.name}`] : [],
  };
}

/** Told distances; else made from latencies; else Linux's without a table. */
function distancesOf(
  said: JoinedAccount,
  ids: readonly number[],
  base: MachineSpec,
  whole: boolean,
): { readonly distance: number[][]; readonly fromFirmware: boolean; readonly distanceAssumed: readonly string[] } {
  const told = said.whose("distance").length > 0;
  if (!told && whole && sameIds(ids, base))
    return { distance: base.distance.map((row) => [...row]), fromFirmware: true, distanceAssumed: [] };
  if (!told && ids.length > 1 && said.whose("latencyNs").length > 0)
    return {
      distance: distancesFromLatency(ids, (from, to) => said.get("latencyNs", `${from} ${to}`)),
      fromFirmware: false,
      distanceAssumed: ["distances: 10 x latency / local latency"],
    };
  let missing = false;
  const distance = ids.map((from) =>
    ids.map((to) => {
      const value = said.get("distance", `${from} ${to}`);
      if (value === undefined && from !== to) missing = true;
      return value ?? (from === to ? 10 : 20);
    }),
  );
  return {
    distance,
    fromFirmware: told,
    distanceAssumed: missing ? ["distance 20 between nodes where no input says one, as Linux does"] : [],
  };
}
