/** What a measurement by `kreplica probe` says of a machine, as an account: what it measured, and what it could not. */
import { formatCpuList } from "@kreplica/inputs";
import { isMeasurement, type MeasuredCell, type Measurement, measurementFrom } from "../measured/measurement.js";
import { AccountOf, MOST_CACHE } from "./account.js";

export { isMeasurement };

/** Memory latency is taken from chains this long: longer than any L2, and few enough pages for every TLB. */
const MEMORY_BYTES = 16 << 20;
/** What a cache may take of memory's latency at most. */
const NOT_MEMORY = 0.6;

/** @throws InputError naming line and field */
export function readMeasurement(source: string, file: string): AccountOf {
  const { measurement, document } = measurementFrom(source, file);
  return measuredAccount(measurement, file, (...path) => document.lineOf(path));
}

/**
 * @param file where it was read, or who measured it
 * @param lineOf line of a part of the file; undefined where there is no file
 */
export function measuredAccount(
  measurement: Measurement,
  file: string,
  lineOf: (...path: readonly PropertyKey[]) => number | undefined = () => undefined,
): AccountOf {
  const { processor, caches, nodes, cells, notMeasured, coreHertz, source } = measurement;
  const account = new AccountOf(source, file);
  const at = (...path: readonly PropertyKey[]) => {
    const line = lineOf(...path);
    return line === undefined ? { file } : { file, line };
  };
  if (processor.vendor !== "other") {
    account.say("vendor", "", processor.vendor, at("processor"));
    account.say("family", "", processor.family, at("processor"));
    account.say("model", "", processor.model, at("processor"));
  }
  // What an emulator executes has no caches and no far memory: of such a machine only its shape is known.
  const emulated = processor.emulated === true;
  if (coreHertz !== null && !emulated) account.say("hertz", "", coreHertz, at("coreHertz"));
  for (const [index, { name, bytes, ways }] of caches.entries()) {
    if (bytes > MOST_CACHE) continue;
    account.say("cacheBytes", name, bytes, at("caches", index));
    if (ways > 0) account.say("cacheWays", name, ways, at("caches", index));
  }
  for (const [index, { id, cpus, memoryBytes }] of nodes.entries()) {
    account.say("nodeCpus", id, cpus, at("nodes", index));
    if (memoryBytes !== null) account.say("nodeMemory", id, memoryBytes, at("nodes", index));
  }
  if (emulated) {
    account.remark(
      "not measured: clock, latencies, cycles of caches: under an emulator all times are its own; assumed unless another input has them",
    );
    return account;
  }
  for (const { id: from, cpus } of nodes)
    for (const { id: to, memoryBytes } of nodes) {
      const index = memoryCell(cells, from, to);
      if (index !== undefined) account.say("latencyNs", `${from} ${to}`, cells[index]!.nanoseconds, at("cells", index));
      else if (cpus.length > 0 && memoryBytes !== 0)
        account.remark(
          `not measured: latency from node ${from} to node ${to} (${notMeasured.find((skip) => skip.from === from && skip.to === to)?.reason ?? "no such cell"}); assumed`,
        );
    }
  if (coreHertz !== null)
    for (const name of ["l1d", "l2", "l3"] as const) {
      const index = cacheCell(measurement, name);
      if (index === undefined) {
        account.remark(`not measured: cycles of ${name}; assumed`);
        continue;
      }
      const { nanoseconds, low, high, bytes } = cells[index]!;
      const memory = memoryCell(cells, nodes[0]!.id, nodes[0]!.id);
      if (memory !== undefined && nanoseconds > NOT_MEMORY * cells[memory]!.nanoseconds) {
        account.remark(
          `not measured: cycles of ${name}: a hot chain of ${bytes >> 10} KiB took ${nanoseconds.toFixed(1)} ns a line, nearly memory's latency, so others use the cache; assumed`,
        );
        continue;
      }
      const cycles = (each: number): number => Math.round((each * coreHertz) / 1e8) / 10;
      account.say(
        "cacheCycles",
        name,
        { value: cycles(nanoseconds), low: cycles(low ?? nanoseconds), high: cycles(high ?? nanoseconds) },
        at("cells", index),
      );
    }
  account.remark("not measured: bandwidth, TLBs, costs of misses; assumed unless another input has them");
  const disturbed = cells.filter((cell) => 2 * (cell.disturbed ?? 0) > (cell.repeats ?? 0)).length;
  if (disturbed > 0)
    account.remark(`others ran on the measured CPU in most repeats of ${disturbed} of ${cells.length} cells`);
  const stolen = cells.reduce((sum, cell) => sum + (cell.stolenTicks ?? 0), 0);
  if (stolen > 0) account.remark(`the hypervisor took ${stolen / 100} s from the guest while it measured`);
  const unverified = [...new Set(cells.filter(({ placed }) => !placed).map(({ to }) => to))];
  if (unverified.length > 0)
    account.remark(`where memory of node ${formatCpuList(unverified)} lay was not verified by the kernel`);
  return account;
}

const idle = (cell: MeasuredCell, what: MeasuredCell["what"], cache: MeasuredCell["cache"]): boolean =>
  cell.what === what && cell.cache === cache && cell.loaders === 0;

/** Index of the shortest chain that is long enough; undefined: none. */
function memoryCell(cells: readonly MeasuredCell[], from: number, to: number): number | undefined {
  return leastBytes(
    cells,
    (cell) => cell.from === from && cell.to === to && cell.bytes >= MEMORY_BYTES && idle(cell, "load", "cold"),
  );
}

/** A chain of loads that the cache holds and the caches before it do not: index of the shortest. */
function cacheCell({ cells, caches, nodes }: Measurement, name: "l1d" | "l2" | "l3"): number | undefined {
  const size = (of: string): number | undefined => caches.find((cache) => cache.name === of)?.bytes;
  const holds = size(name);
  const before = name === "l1d" ? 0 : size(name === "l2" ? "l1d" : "l2");
  if (holds === undefined || before === undefined) return undefined;
  // Half of it, since others use it too; four times the one before, which keeps some lines of a random chain.
  return leastBytes(
    cells,
    (cell) =>
      idle(cell, "load", "hot") &&
      cell.from === cell.to &&
      cell.from === nodes[0]!.id &&
      cell.bytes >= 4 * before &&
      2 * cell.bytes <= holds,
  );
}

function leastBytes(cells: readonly MeasuredCell[], fits: (cell: MeasuredCell) => boolean): number | undefined {
  let found: number | undefined;
  for (const [index, cell] of cells.entries())
    if (fits(cell) && (found === undefined || cell.bytes < cells[found]!.bytes)) found = index;
  return found;
}
