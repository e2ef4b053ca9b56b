/**
 * A chain of `kreplica probe` walked on a machine alone, no kernel on it: text of its own, or dependent loads, in
 * memory of one node from a CPU of another.
 */
import { assemble } from "@kreplica/di";
import {
  account,
  Counters,
  Cr0,
  Cr4,
  cr3Value,
  difference,
  Efer,
  frontEndOf,
  hwX86,
  LARGE_BYTES,
  LARGE_PAGES,
  Machine,
  type MachineSpec,
  type NodeId,
  PAGE_BYTES,
  PhysMemory,
} from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import type { MeasuredCell } from "@kreplica/machines";
import { chainOrder } from "./chain-order.js";

/** What decides a walk; a measured cell has it. */
export type WalkedCell = Pick<MeasuredCell, "what" | "from" | "to" | "bytes" | "runLines" | "pages" | "cache">;

const LINE = 64;
/** Present, writable, accessed, dirty: no walk stores. */
const TABLE_BITS = 0x63;
const LARGE_BIT = 0x80;
/** Where the chain lies: 1 GiB up, so that its tables are its own. */
const VIRTUAL = 1 << 30;
/** Longest chain: what fits below the signed end of 32 bits, in the tables kept free. */
const MOST_BYTES = 1 << 29;
/** Longest chain that is walked once before it is counted: a million lines. */
const MOST_WARMED = 64 << 20;
/**
 * Lines that are counted at most of a chain that is not walked before: each is like every other. Of one that is, all
 * are, since a front end that runs ahead brings lines that are come to later in the lap.
 */
const MOST_COUNTED = 1 << 16;

/** Instructions of a line: as many no-ops as the program writes, and the jump. */
const instructionsOf = (runLines: number): number => (runLines === 1 ? 4 : 12) + 1;

/** The chain as it is walked. */
export interface ModelledCell {
  /** A line. */
  readonly nanoseconds: number;
  /** Of the chain's order. */
  readonly orderHash: number;
}

/** Why a machine cannot walk a cell; undefined: it can. */
export function whyNotWalked(spec: MachineSpec, cell: WalkedCell): string | undefined {
  if (!spec.cpus.some(({ node }) => node === cell.from)) return `the machine has no CPU on node ${cell.from}`;
  const home = spec.nodes.find(({ id }) => id === cell.to);
  if (!home) return `the machine has no node ${cell.to}`;
  if (home.memoryBytes < 2 * cell.bytes + 64 * LARGE_BYTES)
    return `node ${cell.to} of the machine has too little memory`;
  if (cell.bytes > MOST_BYTES) return "longer than the 512 MiB that are walked";
  if (cell.cache === "hot" && cell.bytes > MOST_WARMED && !outlivesCaches(spec, cell))
    return "longer than the 64 MiB that are walked hot, and the caches may hold some of it";
  return undefined;
}

/** Whether a chain is so long that no line stays in a cache until it comes again: hot or cold is one. */
const outlivesCaches = ({ l2, l3 }: MachineSpec, { bytes }: WalkedCell): boolean => bytes >= 2 * (l2.bytes + l3.bytes);

/**
 * The cell's chain on the machine, in its seeded order: after a lap, the next counts, as far as 65,536 lines. Cold: the
 * caches are emptied between, so that lines are cold, but translations and what the branch predictor knows are not (as
 * after CLFLUSH). Of chains that no cache holds a line of each page is touched instead of a lap.
 *
 * A load waits for the one before, so all of its latency and of its walk counts, whatever the machine's exposures say;
 * and so it is with fetches of a front end that runs ahead, since what it hides is walked too, and behind no-ops there
 * is nothing else. Of another front end's fetches counts what the exposures say.
 *
 * @throws InputError where {@link whyNotWalked} has a reason
 */
export function walkChain(spec: MachineSpec, cell: WalkedCell, seed: number): ModelledCell {
  const refused = whyNotWalked(spec, cell);
  if (refused !== undefined)
    throw new InputError({ file: spec.name, reason: refused, remedy: "name a machine with the measured nodes" });
  const groupBytes = LINE * cell.runLines;
  const { next, hash } = chainOrder(cell.bytes / groupBytes, seed);
  const assembly = assemble([hwX86(spec)]);
  const machine = assembly.get(Machine);
  const counters = assembly.get(Counters);
  const id = spec.cpus.find(({ node }) => node === cell.from)!.id;
  const cpu = machine.cpu(id);
  const small = cell.pages === "small";
  const root = mapChain(assembly.get(PhysMemory), cell.to, cell.bytes, small);
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.writeCr3(cr3Value(root));
  cpu.efer = Efer.LongModeEnable | Efer.NoExecuteEnable;
  cpu.cr0 = Cr0.Paging + Cr0.WriteProtect;

  const isText = cell.what === "fetch";
  const touch = (address: number): void => {
    const fault = isText ? cpu.fetch(address | 0, 0) : cpu.load(address | 0, 0);
    if (fault !== 0) throw new Error(`a chain's page is not mapped: ${address.toString(16)}`);
  };
  const lines = cell.bytes / LINE;
  const isWarmed = !outlivesCaches(spec, cell) && cell.bytes <= MOST_WARMED;
  const counted = isWarmed ? lines : Math.min(lines, MOST_COUNTED);
  const ahead = isText ? frontEndOf(cpu) : undefined;
  ahead?.runPlain(instructionsOf(cell.runLines));
  let group = 0;
  const walk = (most: number): void => {
    for (let walked = 0; walked < most; walked += cell.runLines) {
      const first = VIRTUAL + group * groupBytes;
      for (let at = first; at < first + groupBytes; at += LINE) touch(at);
      group = next[group]!;
    }
  };
  if (isWarmed) walk(lines);
  else for (let page = 0; page < cell.bytes; page += small ? PAGE_BYTES : LARGE_BYTES) touch(VIRTUAL + page);
  if (cell.cache === "cold") machine.flushCaches();
  const before = counters.snapshot(id);
  const restarts = ahead?.restarts ?? 0;
  walk(counted);
  if (isText && !ahead) cpu.retire(counted * instructionsOf(cell.runLines));
  const counts = difference(before, counters.snapshot(id));
  const priced: MachineSpec =
    isText && !ahead
      ? spec
      : { ...spec, costs: { ...spec.costs, fetchExposure: ALL, loadExposure: ALL, walkExposure: ALL } };
  const nodeIndex = spec.nodes.findIndex((node) => node.id === cell.from);
  const beyond = account(counts, priced, nodeIndex).cycles / counted;
  // What a load that hits takes is counted with its instruction elsewhere; here nothing else runs meanwhile.
  const own = ahead
    ? ahead.lineCycles + ((ahead.restarts - restarts) * ahead.restartCycles) / counted
    : isText
      ? 0
      : spec.l1d.cycles.value;
  const cycles = beyond + own;
  return { nanoseconds: (1e9 * cycles) / spec.hertz.value, orderHash: hash };
}

const ALL = { value: 1, source: "a load that waits for the one before hides nothing" };

/**
 * Maps the chain's memory, contiguous and on a multiple of 2 MiB, at {@link VIRTUAL}. Tables lie on the same node,
 * before it.
 * @returns frame of the root
 */
function mapChain(memory: PhysMemory, node: NodeId, bytes: number, small: boolean): number {
  const range = memory.ranges.find((each) => each.node === node)!;
  const tables = Math.ceil(range.first / LARGE_PAGES) * LARGE_PAGES;
  const chain = tables + LARGE_PAGES;
  const set = (table: number, index: number, frame: number, bits = TABLE_BITS): void => {
    memory.write32(table, index * 2, ((frame << 12) | bits) >>> 0);
    memory.write32(table, index * 2 + 1, frame >>> 20);
  };
  set(tables, 0, tables + 1);
  set(tables + 1, 1, tables + 2);
  for (let large = 0; large * LARGE_BYTES < bytes; large++) {
    const first = chain + large * LARGE_PAGES;
    if (!small) {
      set(tables + 2, large, first, TABLE_BITS | LARGE_BIT);
      continue;
    }
    const table = tables + 3 + large;
    set(tables + 2, large, table);
    for (let page = 0; page < LARGE_PAGES; page++) set(table, page, first + page);
  }
  return tables;
}
