/** What `numactl --hardware` and the Memory Latency Checker say, as accounts: each figure with its line. */
import { TextLines } from "@kreplica/inputs";
import { type LatencyCheckerMatrix, parseLatencyChecker } from "../memory-latency-checker.js";
import { parseNumactlHardware } from "../numactl-hardware.js";
import { AccountOf } from "./account.js";

const lineOf = (lines: readonly string[], pattern: RegExp, from = 0): number =>
  lines.findIndex((line, index) => index >= from && pattern.test(line)) + 1;

/** @throws InputError naming the line of every fault */
export function readNumactl(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("numactl --hardware", file);
  const { nodes, distance } = parseNumactlHardware(text);
  const table = lineOf(text.lines, /^\s*node distances:/);
  for (const [i, { id, cpus, memoryBytes }] of nodes.entries()) {
    account.say("nodeCpus", id, cpus, lineOf(text.lines, new RegExp(`^\\s*node\\s+0*${id}\\s+cpus:`)));
    account.say("nodeMemory", id, memoryBytes, lineOf(text.lines, new RegExp(`^\\s*node\\s+0*${id}\\s+size:`)));
    const row = lineOf(text.lines, new RegExp(`^\\s*0*${id}:`), table);
    for (const [j, value] of (distance[i] ?? []).entries())
      account.say("distance", `${id} ${nodes[j]!.id}`, value, row);
  }
  return account;
}

/** @throws InputError naming the line of every fault */
export function readLatencyChecker(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("Intel MLC", file);
  const { latencyNs, bandwidthMBs, cacheToCache, loaded } = parseLatencyChecker(text);
  const matrix = (kind: "latencyNs" | "bandwidthMBs", { rows, columns, line }: LatencyCheckerMatrix): void => {
    for (const [from, row] of rows) {
      const at = lineOf(text.lines, new RegExp(`^\\s*0*${from}\\s`), line + 1);
      for (const [j, value] of row.entries())
        if (value !== undefined) account.say(kind, `${from} ${columns[j]!}`, value, at);
    }
  };
  if (latencyNs) matrix("latencyNs", latencyNs);
  if (bandwidthMBs) matrix("bandwidthMBs", bandwidthMBs);
  for (const { of, value, line } of cacheToCache) account.say("cacheToCacheNs", of, value, line);
  if (loaded) account.say("loadedLatencies", "", loaded.rows, loaded.lines[0]);
  return account;
}
