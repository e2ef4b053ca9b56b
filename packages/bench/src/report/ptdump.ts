/**
 * A root in the format of the kernel's own /sys/kernel/debug/page_tables/kernel: runs of entries that say the same,
 * holes included.
 *
 * Source: the files that kernels print; one of Linux 6.1 is the test's model.
 */
import {
  type AddressRange,
  Bit,
  entryAddress,
  type Frame,
  frameOf,
  isExecutable,
  isLeaf,
  isPresent,
  pagesBetween,
  type PhysMemory,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { KernelLayout } from "@kreplica/mm-core/api";

const LEVEL_NAMES = ["", "pte", "pmd", "pud", "p4d", "pgd"];
const UNITS = ["K", "M", "G", "T", "P", "E"];
/**
 * Where the kernel half is looked at from: what lies below is the hole of addresses that are not canonical, and the
 * guard hole.
 */
const KERNEL_FROM: Readonly<Record<4 | 5, bigint>> = { 4: 0xffff_8800_0000_0000n, 5: 0xff10_0000_0000_0000n };
const END = 1n << 64n;

/** One line of the dump. @param flags as {@link flagText}, or blanks for a hole */
export function ptdumpLine({ start, end }: AddressRange, flags: string, levelName: string): string {
  let size = (end - start) >> 10n;
  let unit = 0;
  while (size > 0n && size % 1024n === 0n && unit < UNITS.length - 1) {
    size /= 1024n;
    unit++;
  }
  const digits = (address: bigint): string => `0x${BigInt.asUintN(64, address).toString(16).padStart(16, "0")}`;
  return `${digits(start)}-${digits(end)}   ${size.toString().padStart(9)}${UNITS[unit]!} ${flags.padEnd(30)}${levelName}`;
}

/** Columns USR, RW, PWT, PCD, PSE, PAT, GLB, NX. W and NX are what the whole way allows. */
export function flagText(lo: number, level: number, writable: boolean, noExecute: boolean, user: boolean): string {
  const pat = (lo & (level === 1 ? Bit.PatSmall : Bit.PatLarge)) !== 0;
  return (
    (user ? "USR " : "    ") +
    (writable ? "RW " : "ro ") +
    (lo & Bit.WriteThrough ? "PWT " : "    ") +
    (lo & Bit.CacheDisable ? "PCD " : "    ") +
    (level > 1 ? "PSE " : "    ") +
    (pat ? "PAT " : "    ") +
    (lo & Bit.Global ? "GLB " : "    ") +
    (noExecute ? "NX " : "x  ")
  );
}

interface Marker {
  readonly start: bigint;
  readonly name: string;
}

const markersOf = (layout: KernelLayout): Marker[] => [
  { start: 0n, name: "User Space" },
  { start: 1n << 63n, name: "Kernel Space" },
  { start: layout.pageOffset, name: "Low Kernel Mapping" },
  { start: layout.vmallocStart, name: "vmalloc() Area" },
  { start: layout.vmemmapStart, name: "Vmemmap" },
  ...(layout.kasan
    ? [
        { start: layout.kasan.start, name: "KASAN shadow" },
        { start: layout.kasan.end + 1n, name: "KASAN shadow end" },
      ]
    : []),
  { start: layout.cpuEntryArea, name: "CPU entry Area" },
  { start: layout.kernelMap, name: "High Kernel Mapping" },
  { start: layout.modulesStart, name: "Modules" },
  { start: layout.modulesEnd, name: "End Modules" },
  // FIXADDR_START of the recorded kernel: the pages that are set at boot end below it.
  { start: 0xffff_ffff_ff57_c000n, name: "Fixmap Area" },
];

/** A table, and what the way to it allows. */
interface Way {
  readonly table: Frame;
  readonly writable: boolean;
  readonly noExecute: boolean;
  readonly user: boolean;
  /** All its entries say the same. */
  readonly alike: boolean;
}

/** @param root a kernel PGD @returns lines */
export function ptdump(memory: PhysMemory, root: Frame, layout: KernelLayout): string[] {
  const { levels } = layout;
  const lines: string[] = [];
  const markers = markersOf(layout);
  let next = 0;
  let open: { start: bigint; flags: string; level: string } | undefined;
  /** The last heading whose start was passed; those between have no line of their own. */
  const title = (at: bigint): void => {
    let name: string | undefined;
    while (next < markers.length && at >= markers[next]!.start) name = markers[next++]!.name;
    if (name !== undefined) lines.push(`---[ ${name} ]---`);
  };
  const note = (at: bigint, flags: string, level: string): void => {
    const marker = markers[next];
    if (open && open.flags === flags && open.level === level && !(marker && at >= marker.start)) return;
    if (open) lines.push(ptdumpLine({ start: open.start, end: at }, open.flags, open.level));
    title(at);
    open = { start: at, flags, level };
  };
  // KASAN's shadow of nothing goes through few tables that say the same 512 times, to 2^36 leaves: one entry of each
  // says it all.
  const alike = (table: Frame, level: number): boolean =>
    level < levels && layout.kasan !== undefined && isUniform(memory, table);
  note(0n, "", "pgd");
  const top: Way = { table: root, writable: true, noExecute: false, user: true, alike: false };
  walkTables<Way>(levels, pagesBetween(KERNEL_FROM[levels], END), top, (way, level, index, base) => {
    if (way.alike && index > 0) return undefined;
    const at = entryAddress(base, level, index);
    const lo = memory.read32(way.table, index * 2);
    const hi = memory.read32(way.table, index * 2 + 1);
    // With 4 levels the folded P4D is called by the PGD's name.
    const name = level === levels ? "pgd" : LEVEL_NAMES[level]!;
    if (!isPresent(lo)) {
      note(at, "", name);
      return undefined;
    }
    const writable = way.writable && (lo & Bit.Writable) !== 0;
    const noExecute = way.noExecute || !isExecutable(hi);
    const user = way.user && (lo & Bit.User) !== 0;
    if (isLeaf(lo, level)) {
      note(at, flagText(lo, level, writable, noExecute, user), name);
      return undefined;
    }
    const table = frameOf(lo, hi);
    return { table, writable, noExecute, user, alike: alike(table, level - 1) };
  });
  if (open) lines.push(ptdumpLine({ start: open.start, end: END }, open.flags, open.level));
  return lines;
}

/** Whether all entries are equal, and present. */
function isUniform(memory: PhysMemory, table: Frame): boolean {
  const lo = memory.read32(table, 0);
  const hi = memory.read32(table, 1);
  if (!isPresent(lo)) return false;
  for (let word = 2; word < 1024; word += 2)
    if (memory.read32(table, word) !== lo || memory.read32(table, word + 1) !== hi) return false;
  return true;
}
