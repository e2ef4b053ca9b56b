/** From the text of numactl, of the Memory Latency Checker, or of both in one file, to a machine on a base preset. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { TextLines } from "@kreplica/inputs";
import {
  isLatencyChecker,
  parseLatencyChecker,
  type LatencyChecker,
  type LatencyCheckerMatrix,
} from "./memory-latency-checker.js";
import { isNumactlHardware, parseNumactlHardware, type NumactlHardware } from "./numactl-hardware.js";
import { isTextOfOthers } from "./accounts/readers.js";
import { cutOff } from "./found-node.js";
import { distancesFromLatency, nodesAsInBase, tooManyCpus, withOwn } from "./from-latencies.js";
import { loadedLatencyOf } from "./loaded-latencies.js";
import { machineOnFound } from "./on-base.js";

/** Whether either tool's output is in the text, and no other's. */
export const isToolText = (text: string): boolean =>
  (isNumactlHardware(text) || isLatencyChecker(text)) && !isTextOfOthers(text);

/**
 * @param name of the machine
 * @throws InputError naming line and field
 */
export function machineFromTools(source: string, file: string, name: string, base: MachineSpec): MachineSpec {
  const text = new TextLines(file, source);
  const numactl = isNumactlHardware(source) ? parseNumactlHardware(text) : undefined;
  const measured = isLatencyChecker(source) ? parseLatencyChecker(text) : undefined;
  const tools = [...(numactl ? ["numactl --hardware"] : []), ...(measured ? ["Intel MLC"] : [])].join(" and ");
  const curve = measured?.loaded && curveOf(measured, file);
  if (measured && !measured.latencyNs && !numactl) return { ...base, ...onlyLoaded(base, file, name), ...curve };
  const { nodes, distance } = numactl ? alongside(numactl, measured, text) : fromLatencies(measured!, base, text);
  const sources = [
    ...(numactl ? [`nodes, CPUs, memory and distances: numactl --hardware (${file})`] : []),
    ...(measured ? [`${toldBy(measured)}: Intel Memory Latency Checker (${file})`] : []),
    ...nodes.flatMap(({ id, cpus }) =>
      numactl || cpus.length > 0
        ? []
        : [`node ${id}: memory without CPUs, since its row is missing; if it has CPUs, the matrix was cut`],
    ),
    ...(numactl
      ? []
      : [`CPUs and memory of a node: as a node of ${base.name}; distances: 10 x latency / local latency`]),
  ];
  const ids = nodes.map((node) => node.id);
  const inOrder = (matrix: LatencyCheckerMatrix): (number | undefined)[][] =>
    ids.map((row) => ids.map((column) => matrix.rows.get(row)?.[matrix.columns.indexOf(column)]));
  const machine = machineOnFound(
    {
      name,
      nodes,
      distance,
      sources,
      description: `${tools} of ${file}, on ${base.name}`,
      ...(measured?.latencyNs ? { latencyNs: withOwn(inOrder(measured.latencyNs)) } : {}),
      ...(measured?.bandwidthMBs ? { bandwidthMBs: inOrder(measured.bandwidthMBs) } : {}),
      certain: numactl !== undefined,
      fromFirmware: numactl !== undefined,
    },
    base,
  );
  return { ...machine, ...curve };
}

/** What of a machine it measured. */
const toldBy = ({ latencyNs, bandwidthMBs, loaded }: LatencyChecker): string =>
  [
    ...(latencyNs ? ["latency"] : []),
    ...(bandwidthMBs ? ["bandwidth"] : []),
    ...(loaded ? ["loaded latency"] : []),
  ].join(" and ");

/** A table of loaded latencies alone: the base with that curve. */
const onlyLoaded = (base: MachineSpec, file: string, name: string): Partial<MachineSpec> => ({
  name,
  description: `loaded latencies of ${file}, on ${base.name}`,
  sources: [
    `loaded latency: Intel Memory Latency Checker (${file})`,
    `everything else: ${base.name}, whose sources follow`,
    ...base.sources,
  ],
});

function curveOf({ loaded, latencyNs }: LatencyChecker, file: string): Pick<MachineSpec, "loadedLatency"> {
  const local = [...(latencyNs?.rows ?? [])].flatMap(([from, row]) => row[latencyNs!.columns.indexOf(from)] ?? []);
  const idle = local.length > 0 ? local.reduce((sum, each) => sum + each, 0) / local.length : undefined;
  return {
    loadedLatency: loadedLatencyOf(
      loaded!.rows,
      `Intel Memory Latency Checker (${file}:${loaded!.lines.join("-")})`,
      idle,
    ),
  };
}

/** Both tools: the matrices must be about the nodes that numactl lists. */
function alongside(numactl: NumactlHardware, measured: LatencyChecker | undefined, text: TextLines): NumactlHardware {
  const ids = numactl.nodes.map((node) => node.id);
  for (const [i, row] of numactl.distance.entries()) {
    const j =
      numactl.nodes[i]!.cpus.length === 0
        ? -1
        : row.findIndex((value, to) => value === 255 && numactl.nodes[to]!.memoryBytes > 0);
    if (j < 0) continue;
    const { reason, remedy } = cutOff(ids[i]!, ids[j]!);
    text.report(
      text.lines.findIndex((line) => new RegExp(`^\\s*${ids[i]!}:`).test(line)),
      `node distances, row ${ids[i]!}, column ${ids[j]!}`,
      reason,
      remedy,
    );
  }
  for (const matrix of measured ? [measured.latencyNs, measured.bandwidthMBs] : []) {
    const stranger = matrix && [...matrix.columns, ...matrix.rows.keys()].find((id) => !ids.includes(id));
    if (stranger !== undefined)
      text.report(
        matrix!.line,
        undefined,
        `the matrix has node ${stranger}, which numactl does not list`,
        "give output of one machine",
      );
  }
  text.settle();
  return numactl;
}

/** The Memory Latency Checker alone. */
function fromLatencies({ latencyNs: given }: LatencyChecker, base: MachineSpec, text: TextLines): NumactlHardware {
  const latencyNs = given!;
  const ids = [...new Set([...latencyNs.columns, ...latencyNs.rows.keys()])].sort((a, b) => a - b);
  const tooMany = tooManyCpus(latencyNs.rows.size, base);
  if (tooMany) throw text.fault(latencyNs.line, undefined, tooMany, "name a --base with fewer");
  return {
    nodes: nodesAsInBase(ids, new Set(latencyNs.rows.keys()), base),
    distance: distancesFromLatency(ids, (from, to) => latencyNs.rows.get(from)?.[latencyNs.columns.indexOf(to)]),
  };
}
