/** Whether a machine specification holds together: every number the model divides by, indexes with or trusts. */
import { hex, LARGE_BYTES, PAGE_BYTES } from "./addr.js";
import { MachineError } from "./errors.js";
import { isMemoryPlace, MEMORY_PLACES } from "./frame-number.js";
import { pageRuns } from "./memory-layout.js";
import {
  type CacheSpec,
  type MachineSpec,
  type Replacement,
  REPLACEMENTS,
  type Sourced,
  type TlbSpec,
} from "./spec.js";

/** One contradiction: where, what, and what to write instead. */
export interface SpecFault {
  readonly field: string;
  readonly reason: string;
  readonly remedy: string;
}

const isPowerOfTwo = (value: number): boolean =>
  Number.isInteger(value) && value > 0 && Number.isInteger(Math.log2(value));

/** Every fault of a specification; none for a sound one. */
export function machineSpecFaults(spec: MachineSpec): SpecFault[] {
  const faults: SpecFault[] = [];
  const need = (holds: boolean, field: string, reason: string, remedy: string): void => {
    if (!holds) faults.push({ field, reason, remedy });
  };
  checkNodes(spec, need);
  checkCpus(spec, need);
  for (const name of ["latencyNs", "bandwidthMBs", "distance"] as const) checkMatrix(spec, name, need);
  for (const name of ["l1i", "l1d", "l2", "l3"] as const) checkCache(spec[name], name, need);
  for (const name of ["l1i", "l1d"] as const) {
    need(
      isPowerOfTwo(spec[name].bytes / (PAGE_BYTES * spec[name].ways)),
      `${name}.bytes`,
      "sets are no power of two",
      `L1 is indexed by low address bits: bytes = ${PAGE_BYTES} * ways * 2^n`,
    );
  }
  const { translation, costs } = spec;
  checkTlb(translation.instruction.small, "translation.instruction.small", need);
  checkTlb(translation.instruction.large, "translation.instruction.large", need);
  checkTlb(translation.data.small, "translation.data.small", need);
  checkTlb(translation.data.large, "translation.data.large", need);
  checkTlb(translation.data.huge, "translation.data.huge", need);
  checkTlb(translation.second, "translation.second", need);
  checkTlb(translation.second.huge, "translation.second.huge", need);
  checkSourced(translation.second.cycles, "translation.second.cycles", Infinity, need);
  for (const name of ["pde", "pdpte", "pml4e"] as const) {
    const entries = translation.pagingStructure[name];
    need(
      Number.isInteger(entries) && entries >= 0 && entries <= 4096,
      `translation.pagingStructure.${name}`,
      `${entries} is no count of entries`,
      "a whole number from 0 (none) to 4096",
    );
  }
  need(
    translation.mixedSizes === undefined || translation.mixedSizes === "machine-check",
    "translation.mixedSizes",
    `${String(translation.mixedSizes)} is nothing that a fetch comes to`,
    '"machine-check", or leave it out',
  );
  for (const name of ["fetchExposure", "loadExposure", "storeExposure", "walkExposure"] as const)
    checkSourced(costs[name], `costs.${name}`, 1, need);
  checkSourced(costs.cyclesPerInstruction, "costs.cyclesPerInstruction", Infinity, need);
  checkSourced(costs.ipiCycles, "costs.ipiCycles", Infinity, need);
  if (costs.prefetchHiddenCycles)
    checkSourced(costs.prefetchHiddenCycles, "costs.prefetchHiddenCycles", Infinity, need);
  if (costs.frontEnd) {
    const { targets, lines } = costs.frontEnd;
    for (const [name, number, most] of [
      ["targets", targets, 16384],
      ["lines", lines, 64],
    ] as const) {
      const field = `costs.frontEnd.${name}`;
      checkSourced(number, field, Infinity, need);
      need(
        Number.isInteger(number.value) && number.value >= 1 && number.value <= most,
        `${field}.value`,
        `${number.value} is no count of lines`,
        `a whole number from 1 to ${most}; leave frontEnd out for one that does not run ahead`,
      );
    }
    const { straightLines, restartCycles, missCycles, plainText } = costs.frontEnd;
    if (straightLines) {
      checkSourced(straightLines, "costs.frontEnd.straightLines", Infinity, need);
      need(
        Number.isInteger(straightLines.value) && straightLines.value <= 63,
        "costs.frontEnd.straightLines.value",
        `${straightLines.value} is no count of lines`,
        "a whole number from 0 to 63",
      );
    }
    if (restartCycles) checkSourced(restartCycles, "costs.frontEnd.restartCycles", Infinity, need);
    if (missCycles) checkSourced(missCycles, "costs.frontEnd.missCycles", Infinity, need);
    if (plainText) {
      const { instructionsPerCycle, jumpCycles } = plainText;
      checkSourced(instructionsPerCycle, "costs.frontEnd.plainText.instructionsPerCycle", Infinity, need);
      need(
        instructionsPerCycle.value > 0,
        "costs.frontEnd.plainText.instructionsPerCycle.value",
        "no instruction would ever end",
        "a number above 0",
      );
      checkSourced(jumpCycles, "costs.frontEnd.plainText.jumpCycles", Infinity, need);
    }
  }
  need(
    Number.isInteger(costs.prefetchLines) && costs.prefetchLines >= 0 && costs.prefetchLines <= 63,
    "costs.prefetchLines",
    `${costs.prefetchLines} is no count of lines`,
    "0 (off) to 63: prefetching stays in the page",
  );
  checkSourced(spec.hertz, "hertz", Infinity, need);
  need(spec.hertz.value > 0, "hertz.value", "the clock stands still", "the core clock in hertz");
  need(spec.hertz.low !== 0, "hertz.low", "the clock stands still", "the slowest core clock in hertz");
  if (spec.cacheToCacheNs.sameL3) checkSourced(spec.cacheToCacheNs.sameL3, "cacheToCacheNs.sameL3", Infinity, need);
  checkSourced(spec.cacheToCacheNs.sameSocket, "cacheToCacheNs.sameSocket", Infinity, need);
  checkSourced(spec.cacheToCacheNs.otherSocket, "cacheToCacheNs.otherSocket", Infinity, need);
  need(
    spec.latencySpread >= 0 && spec.latencySpread < 1,
    "latencySpread",
    `${spec.latencySpread} is no relative half-width`,
    "0 to below 1",
  );
  need(
    Number.isInteger(spec.physicalBits) && spec.physicalBits >= 36 && spec.physicalBits <= 52,
    "physicalBits",
    `${spec.physicalBits} is no physical width`,
    "36 to 52, as CPUID 80000008h reports it",
  );
  need(
    spec.virtualBits === 48 || spec.virtualBits === 57,
    "virtualBits",
    `${spec.virtualBits} is no linear width`,
    "48, or 57 for five levels",
  );
  need(
    spec.vendor === undefined || spec.vendor === "intel" || spec.vendor === "amd",
    "vendor",
    `${String(spec.vendor)} is no maker the interpreter knows`,
    "intel or amd",
  );
  const place = spec.encryptionBit as number | undefined;
  need(
    place === undefined || place === 47 || place === 51,
    "encryptionBit",
    `${String(place)} is no place of the encryption bit`,
    "47 (Zen 1 and 2) or 51 (from Zen 3 on), or leave it out",
  );
  need(
    place === undefined || spec.vendor === "amd",
    "encryptionBit",
    "entries of an Intel core have no encryption bit",
    'write "vendor": "amd", or leave it out',
  );
  return faults;
}

/** @throws MachineError "bad-spec" with the first fault; the message counts the others */
export function checkMachineSpec(spec: MachineSpec): void {
  const [first, ...others] = machineSpecFaults(spec);
  if (!first) return;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  throw new MachineError("bad-spec", first.field, first.reason, `${first.remedy}${more}`);
}

type Need = (holds: boolean, field: string, reason: string, remedy: string) => void;

function checkNodes(spec: MachineSpec, need: Need): void {
  need(spec.nodes.length >= 1 && spec.nodes.length <= 64, "nodes", `${spec.nodes.length} nodes`, "1 to 64");
  const seen = new Set<number>();
  spec.nodes.forEach((node, index) => {
    const field = `nodes[${index}]`;
    need(
      Number.isInteger(node.id) && node.id >= 0 && node.id <= 63,
      `${field}.id`,
      `${node.id} is no node id`,
      "0 to 63",
    );
    need(!seen.has(node.id), `${field}.id`, `node ${node.id} is described twice`, "give each node one entry");
    seen.add(node.id);
    need(
      Number.isInteger(node.memoryBytes / LARGE_BYTES) && node.memoryBytes >= 0,
      `${field}.memoryBytes`,
      `${node.memoryBytes} bytes`,
      "a multiple of 2 MiB, or 0 for a node without memory",
    );
    const start = node.startAddress;
    need(
      start === undefined || (start >= 0 && Number.isInteger(start / LARGE_BYTES)),
      `${field}.startAddress`,
      `${start} is not aligned`,
      "a multiple of 2 MiB",
    );
  });
  need(
    spec.nodes.some((node) => node.memoryBytes > 0),
    "nodes",
    "no node has memory",
    "give one of them memoryBytes",
  );
  let end = 0;
  for (const range of pageRuns(spec.nodes)) {
    need(
      range.first >= end,
      "nodes",
      `memory of node ${range.node} begins inside another node's`,
      "leave startAddress out, or move it",
    );
    end = range.first + range.pages;
    need(
      isMemoryPlace(range.first, range.pages),
      "nodes",
      `memory of node ${range.node}, from ${hex(range.first * PAGE_BYTES)} to below ${hex(end * PAGE_BYTES)}, lies where frames have no number`,
      `put it ${MEMORY_PLACES}`,
    );
  }
}

function checkCpus(spec: MachineSpec, need: Need): void {
  need(spec.cpus.length >= 1 && spec.cpus.length <= 4096, "cpus", `${spec.cpus.length} CPUs`, "1 to 4096");
  const ids = new Set<number>();
  const nodes = new Set(spec.nodes.map((node) => node.id));
  const cores = new Map<number, { node: number; l3: number; threads: number }>();
  const domains = new Map<number, number>();
  spec.cpus.forEach((cpu, index) => {
    const field = `cpus[${index}]`;
    need(
      Number.isInteger(cpu.id) && cpu.id >= 0 && cpu.id <= 4095,
      `${field}.id`,
      `${cpu.id} is no CPU id`,
      "0 to 4095",
    );
    need(!ids.has(cpu.id), `${field}.id`, `CPU ${cpu.id} is described twice`, "give each CPU one entry");
    ids.add(cpu.id);
    need(nodes.has(cpu.node), `${field}.node`, `there is no node ${cpu.node}`, `one of ${[...nodes].join(", ")}`);
    const core = cores.get(cpu.core);
    if (core) {
      need(
        core.node === cpu.node && core.l3 === cpu.l3,
        `${field}.core`,
        `core ${cpu.core} is in two places`,
        "threads of a core share node and l3; number cores over the whole machine",
      );
      need(++core.threads <= 8, `${field}.core`, `core ${cpu.core} has more than 8 threads`, "at most 8");
    } else cores.set(cpu.core, { node: cpu.node, l3: cpu.l3, threads: 1 });
    const socket = domains.get(cpu.l3) ?? cpu.socket;
    need(
      socket === cpu.socket,
      `${field}.l3`,
      `L3 ${cpu.l3} is in two sockets`,
      "number L3 domains over the whole machine",
    );
    domains.set(cpu.l3, socket);
  });
}

function checkMatrix(spec: MachineSpec, name: "latencyNs" | "bandwidthMBs" | "distance", need: Need): void {
  const count = spec.nodes.length;
  const matrix = spec[name];
  need(matrix.length === count, name, `${matrix.length} rows for ${count} nodes`, "one row and one column a node");
  matrix.forEach((row, i) => {
    need(
      row.length === count,
      `${name}[${i}]`,
      `${row.length} columns for ${count} nodes`,
      "one row and one column a node",
    );
    row.forEach((value, j) =>
      need(Number.isFinite(value) && value > 0, `${name}[${i}][${j}]`, `${value}`, "a positive number"),
    );
    if (name === "distance") need(row[i] === 10, `${name}[${i}][${i}]`, `${row[i]}`, "10: a node's distance to itself");
  });
}

function checkCache(cache: CacheSpec, name: string, need: Need): void {
  need(
    Number.isInteger(cache.ways) && cache.ways >= 1 && cache.ways <= 32,
    `${name}.ways`,
    `${cache.ways} ways`,
    "1 to 32",
  );
  const groups = cache.bytes / (PAGE_BYTES * cache.ways);
  need(
    Number.isInteger(groups) && groups >= 1,
    `${name}.bytes`,
    `${cache.bytes} bytes in ${cache.ways} ways are ${groups * 64} sets`,
    `a multiple of ${PAGE_BYTES} * ways: sets come in multiples of 64`,
  );
  need(groups <= 65536, `${name}.bytes`, `${groups * 64} sets`, "at most 4194304 sets");
  checkSourced(cache.cycles, `${name}.cycles`, Infinity, need);
  checkReplacement(cache.replacement, cache.ways, name, need);
}

function checkReplacement(replacement: Replacement | undefined, ways: number, name: string, need: Need): void {
  if (replacement === undefined) return;
  const { policy, seed } = replacement;
  need(
    REPLACEMENTS.includes(policy),
    `${name}.replacement.policy`,
    `${String(policy)} is no policy`,
    `one of ${REPLACEMENTS.join(", ")}`,
  );
  need(
    policy !== "tree-plru" || isPowerOfTwo(ways),
    `${name}.replacement.policy`,
    `a tree over ${ways} ways is not even`,
    "a power of two of ways, or another policy",
  );
  need(
    seed === undefined || policy === "random",
    `${name}.replacement.seed`,
    `${policy} draws nothing`,
    "leave it out, or choose random",
  );
  need(
    seed === undefined || (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32),
    `${name}.replacement.seed`,
    `${seed} is no seed`,
    "a whole number from 0 to 4294967295",
  );
}

function checkTlb(tlb: TlbSpec | undefined, name: string, need: Need): void {
  if (tlb === undefined) return;
  need(
    Number.isInteger(tlb.ways) && tlb.ways >= 1 && tlb.ways <= 256 && isPowerOfTwo(tlb.entries / tlb.ways),
    name,
    `${tlb.entries} entries in ${tlb.ways} ways`,
    "entries = ways * 2^n, at most 256 ways",
  );
  checkReplacement(tlb.replacement, tlb.ways, name, need);
}

function checkSourced(number: Sourced, name: string, most: number, need: Need): void {
  const { value, low = value, high = value } = number;
  need(
    Number.isFinite(value) && value >= 0 && value <= most,
    `${name}.value`,
    `${value}`,
    most === 1 ? "a fraction, 0 to 1" : "a number from 0",
  );
  need(low <= value && low >= 0, `${name}.low`, `${low} above the value ${value}, or negative`, "0 to the value");
  need(
    high >= value && high <= most,
    `${name}.high`,
    `${high} below the value ${value}${most === 1 ? ", or above 1" : ""}`,
    most === 1 ? "the value to 1" : "at least the value",
  );
  need(number.source.length > 0, `${name}.source`, "no source", "the document and table, or how it was measured");
}
