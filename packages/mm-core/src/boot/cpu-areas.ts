/**
 * Memory each CPU has of its own, and its fixed window: the per-CPU area, and cpu_entry_area with IDT, GDT, TSS and
 * stacks.
 *
 * Page numbers within an area are those of the recorded kernel. Source: arch/x86/include/asm/cpu_entry_area.h,
 * Documentation/arch/x86/pti.rst.
 */
import {
  type CpuId,
  entryBytes,
  entryHigh,
  entryLow,
  type Frame,
  LARGE_PAGES,
  type NodeId,
  NONE,
  PAGE,
  tableIndex,
} from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { newTable, reach, symbolFrame } from "./early-map.js";
import { MmError } from "../errors.js";
import { FIXED } from "../image/layout.js";
import { KERNEL_DATA, leafBits, TABLE_BITS } from "../tables/protection.js";

/** Frames of a CPU's unit: 1 MiB, as the recorded kernel's first chunk has it. */
const UNIT_FRAMES = 256;
/** Pages of a CPU's entry area. */
const AREA_PAGES = 59;
/** No guest has more. */
const MOST_CPUS = 64;
/** Page of cpu_tss_rw in the unit: System.map says 0x6000. */
export const TSS_PAGE = 6;
/** Page in the entry area, page in the unit, count, writable. */
const ENTRY_PAGES: readonly (readonly [number, number, number, boolean])[] = [
  [0, 0x0b, 1, false], // GDT
  [1, 0x18, 1, true], // entry stack
  [2, TSS_PAGE, 5, false], // TSS and its I/O bitmap
  [8, 0x0c, 2, true], // double fault, then NMI, debug, machine check: two pages each, a guard page between
  [11, 0x0e, 2, true],
  [14, 0x10, 2, true],
  [17, 0x12, 2, true],
];

/** First frame of each CPU's unit, by CPU id. */
export type CpuUnits = ReadonlyMap<CpuId, Frame>;

/** Sets every CPU's unit aside on its node, or the nearest with memory. @throws MmError out-of-frames */
export function reserveCpuUnits(context: BuildContext): CpuUnits {
  const units = new Map<CpuId, Frame>();
  const { machine } = context;
  const byNode = new Map<NodeId, CpuId[]>(machine.nodes.map((node) => [node, []]));
  for (const cpu of machine.cpuIds) byNode.get(machine.nodeOfCpu(cpu))!.push(cpu);
  for (const [node, cpus] of byNode) {
    if (cpus.length === 0) continue;
    const frames = cpus.length * UNIT_FRAMES;
    const first = context.early.allocate(node, frames, 512, "kernel");
    if (first === NONE)
      throw new MmError("out-of-frames", 0n, `no ${frames} frames for the per-CPU areas of node ${node}`);
    cpus.forEach((cpu, index) => units.set(cpu, first + index * UNIT_FRAMES));
  }
  return units;
}

/** Pages of cpu_entry_area with so many CPUs: the IDT's, and each CPU's. */
export const entryAreaPages = (cpus: number): number => 1 + cpus * AREA_PAGES;

/**
 * A page of any CPU's entry area as that of another: the IDT's, and what lies behind all areas, is everybody's.
 * @param page counted from the start of cpu_entry_area @param position of the other among the CPUs, by id
 */
export const entryPageOf = (page: number, position: number): number =>
  page < 1 || page >= entryAreaPages(MOST_CPUS) ? page : entryAreaPages(position) + ((page - 1) % AREA_PAGES);

/** Maps the IDT and each CPU's entry area. @returns leaves made */
export function buildCpuEntryAreas(context: BuildContext, root: Frame, units: CpuUnits): number {
  const { layout, image, machine, master } = context;
  // Global even under KPTI: both halves of the pair map it alike.
  const [readOnly, data] = [false, true].map((writable) => leafBits({ ...KERNEL_DATA, writable }, 1)) as [
    number,
    number,
  ];
  let leaves = 0;
  // Some thousand CPUs have their pages one after the other: a table is reached once.
  let table: Frame = NONE;
  let index = LARGE_PAGES;
  let last = -1;
  const leaf = (page: number, frame: Frame, writable: boolean, node: NodeId): void => {
    index += page - last;
    last = page;
    if (index >= LARGE_PAGES) {
      const address = layout.cpuEntryArea + BigInt(page) * PAGE;
      table = reach(context, root, address, 1, () => newTable(context, node));
      index = tableIndex(address, 1);
    }
    context.entries.write(table, index, entryLow(frame, writable ? data : readOnly), entryHigh(frame, true));
    leaves++;
  };
  leaf(0, symbolFrame(layout, image, "idt_table"), false, master);
  for (const [position, cpu] of machine.cpuIds.entries()) {
    const unit = units.get(cpu)!;
    const node = machine.nodeOfCpu(cpu);
    for (const [page, source, count, writable] of ENTRY_PAGES) {
      for (let each = 0; each < count; each++)
        leaf(1 + position * AREA_PAGES + page + each, unit + source + each, writable, node);
    }
  }
  return leaves;
}

/** Top-level entries of vmalloc space, made for good before any address space copies them. @returns tables made */
export function prepareVmalloc(context: BuildContext, root: Frame): number {
  const { layout } = context;
  const step = entryBytes(layout.levels);
  let tables = 0;
  for (let address = layout.vmallocStart & ~(step - 1n); address <= layout.vmallocEnd; address += step) {
    reach(context, root, address, layout.levels - 1, () => {
      tables++;
      return newTable(context, context.master);
    });
  }
  return tables;
}

/** The %esp fixup area, in kernels that have it: a PUD page in the image's bss, below slot 510 of the top 512 GiB. */
export function buildEspfix(context: BuildContext, root: Frame): boolean {
  if (context.image.symbol("espfix_pud_page") === undefined) return false;
  const pud = symbolFrame(context.layout, context.image, "espfix_pud_page");
  const above = reach(context, root, FIXED.espfix, 4, () => newTable(context, context.master));
  context.entries.write(above, tableIndex(FIXED.espfix, 4), entryLow(pud, TABLE_BITS), entryHigh(pud, false));
  return true;
}
