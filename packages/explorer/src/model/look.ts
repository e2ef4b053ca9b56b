/** What is seen of a kernel now: read from the machine's bytes and the CPUs' registers. */
import { hex, LARGE } from "@kreplica/hw-x86/api";
import type { BootParts } from "@kreplica/kernel";
import { BOOT_STEPS, imageAddress, type Process, type SwitchMm } from "@kreplica/mm-core";
import { pageAt } from "./code.js";
import { TableReader } from "./tables.js";
import type { CachedView, CpuView, RootView, View } from "./view.js";

/** Beyond the memory of any machine here, within the direct map of 4 levels. */
const MEMORY = 1n << 42n;

/** What a look takes beside the parts. */
export interface Seen {
  /** Those alive, in the order in which operations count them. */
  readonly processes: readonly Process[];
  readonly page?: bigint;
  /** The symbol {@link page} is in. */
  readonly name?: string;
  /** Symbols worth looking into, beside those of every kernel. */
  readonly symbols?: readonly string[];
}

/** Everything but what belongs to the story: moment, changes, rules. */
export type Look = Omit<View, "moment" | "stores" | "changes" | "stored" | "broken" | "leads" | "checked">;

export function look(parts: BootParts, { processes, page, name, symbols = [] }: Seen): Look {
  const { machine, layout, view, allocator, cpus, switcher, boot, image } = parts;
  const { memory } = machine;
  // Before the first tables stand in memory there is nothing to read.
  const begun = boot.reached !== undefined;
  const roots = begun ? rootsOf(parts, processes) : [];
  const reader = new TableReader(memory);
  for (const { frame } of roots) reader.read(frame, layout.levels);
  const allocating = boot.reached !== undefined && BOOT_STEPS.indexOf(boot.reached) >= BOOT_STEPS.indexOf("setup-arch");
  const address = (link: bigint): string => hex(imageAddress(layout, link));
  return {
    levels: layout.levels,
    nodes: machine.nodes.map((id) => ({
      id,
      holder: view.holders.includes(id),
      master: id === view.master,
      freeFrames: allocating ? allocator.freeFrames(id) : 0,
      tableFrames: allocating ? allocator.usedFrames(id, "page-table") : 0,
    })),
    cpus: machine.cpuIds.map((id): CpuView => {
      const cpu = machine.cpu(id);
      return {
        id,
        node: machine.nodeOfCpu(id),
        online: cpus.online.has(id),
        cr3: hex(cpu.cr3),
        root: cpu.rootFrame,
        runs: runsOn(switcher, processes, id),
        cached: cachedOf(parts, id),
      };
    }),
    roots,
    tables: reader.tables,
    regions: [
      { name: "text", start: address(image.stext), end: address(image.etext) },
      { name: "rodata", start: address(image.startRodata), end: address(image.endRodata) },
      { name: "data", start: address(image.endRodata), end: address(image.end) },
      { name: "direct map", start: hex(layout.pageOffset), end: hex(layout.pageOffset + MEMORY) },
    ],
    places: [
      { name: "first page of text", address: address(image.stext) },
      { name: "first page of rodata", address: address(image.startRodata) },
      { name: "first page of data", address: address(image.end - LARGE) },
      ...symbols.flatMap((symbol) => {
        const link = image.symbol(symbol);
        return link === undefined ? [] : [{ name: symbol, address: address(link) }];
      }),
      ...processes.flatMap(({ vmas }, id) =>
        vmas
          .all()
          .slice(0, 4)
          .map(({ start }) => ({ name: `process ${id}, area at ${hex(start)}`, address: hex(start) })),
      ),
    ],
    ...(page !== undefined && begun
      ? {
          page: pageAt(
            memory,
            layout,
            page >> 63n ? roots.filter((root) => root.process === undefined) : roots,
            page,
            name,
          ),
        }
      : {}),
  };
}

/** The kernel's roots, then each process's, node by node. */
function rootsOf({ view, machine, layout }: BootParts, processes: readonly Process[]): RootView[] {
  const nodes = view.holders.length > 1 ? view.holders : [view.master];
  const kernel = nodes.map((node): RootView => ({
    name: nodes.length > 1 ? `kernel, node ${node}` : "kernel",
    serves: node,
    frame: view.kernelRoot(node),
  }));
  const users = processes.flatMap(({ space }, id) =>
    space.pgdNodes.map((node): RootView => ({
      name: space.pgdNodes.length > 1 ? `process ${id}, node ${node}` : `process ${id}`,
      process: id,
      serves: node,
      frame: space.pgd(node),
    })),
  );
  const all = [...kernel, ...users];
  // A PGD pair is two frames, the user half behind the kernel's.
  const withHalves = layout.pti
    ? all.flatMap((root): RootView[] => [
        root,
        { ...root, name: `${root.name}, user half`, frame: root.frame + 1, userHalf: true },
      ])
    : all;
  // A root that was asked for before it was there is frame 0xffffffff: nothing to read (D1).
  return withHalves.filter(({ frame }) => machine.memory.nodeOf(frame) >= 0);
}

function runsOn(switcher: SwitchMm, processes: readonly Process[], cpu: number): string {
  const temporary = switcher.temporary(cpu);
  if (temporary) return temporary.name;
  const space = switcher.loaded(cpu);
  const process = processes.findIndex((each) => each.space === space);
  if (!space || process < 0) return "kernel";
  return switcher.isLazy(cpu) ? `kernel thread, on process ${process}'s tables` : `process ${process}`;
}

/** What is kept of a CPU's caches, at most. */
const KEPT = 96;

function cachedOf({ machine }: BootParts, cpu: number): CachedView[] {
  const found: CachedView[] = [];
  machine.cpu(cpu).cached.forEach((entry) => {
    if (found.length >= KEPT) return;
    const high = BigInt(entry.pageHigh);
    const page = ((high << 32n) | BigInt(entry.page)) << 12n;
    found.push({
      // Bits 56 to 44 of the page number are the upper ones of a canonical address.
      address: hex(BigInt.asUintN(64, BigInt.asIntN(57, page))),
      structure: entry.structure,
      level: entry.level,
      pcid: entry.pcid,
      frame: entry.frame,
      node: machine.memory.nodeOf(entry.frame),
      flags: [
        entry.writable ? "rw" : "ro",
        entry.executable ? "x" : "nx",
        ...(entry.user ? ["user"] : []),
        ...(entry.global ? ["global"] : []),
        ...(entry.dirty && !entry.structure ? ["dirty"] : []),
      ].join(" "),
    });
  });
  return found;
}
