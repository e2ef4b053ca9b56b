/** What a run of accesses costs in page walks, on a machine with given plugins beside its own. */
import { assemble, type Plugin } from "@kreplica/di";
import {
  Counters,
  Cr0,
  Cr4,
  cr3Value,
  Efer,
  hwX86,
  Kind,
  Machine,
  type MachineSpec,
  references,
} from "@kreplica/hw-x86";

/** Frames of four tables, one below another, and of 512 pages that the last one maps. */
const TABLES = 16;
const PAGES = 1024;
/** Present, writable, accessed, dirty. */
const BITS = 0x63n;

/** @param pages numbers 0 to 511 of the pages to be read, in order @returns reads of page tables by the walker */
export function walkerReads(spec: MachineSpec, pages: Iterable<number>, ...plugins: readonly Plugin[]): number {
  const assembly = assemble([hwX86(spec), ...plugins]);
  const machine = assembly.get(Machine);
  const { memory } = machine;
  const entry = (table: number, index: number, frame: number): void => {
    memory.write64((BigInt(table) << 12n) + BigInt(index) * 8n, (BigInt(frame) << 12n) | BITS);
  };
  for (let level = 0; level < 3; level++) entry(TABLES + level, 0, TABLES + level + 1);
  for (let page = 0; page < 512; page++) entry(TABLES + 3, page, PAGES + page);
  const cpu = machine.cpu(machine.cpuIds[0]!);
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.writeCr3(cr3Value(TABLES));
  cpu.efer = Efer.LongModeEnable;
  cpu.cr0 = Cr0.Paging;
  for (const page of pages) if (cpu.load(page * 4096, 0) !== 0) throw new Error(`page ${page} is not mapped`);
  const counters = assembly.get(Counters);
  return references(counters.of(cpu.id), counters.layout.nodes, Kind.Walk);
}
