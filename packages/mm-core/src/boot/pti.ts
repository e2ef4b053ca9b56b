/**
 * The user half of a PGD pair under KPTI: what of the kernel user-mode tables still map, and nothing more.
 *
 * The user PGD is the frame behind the kernel PGD. It maps the user slots, cpu_entry_area, each CPU's TSS page in the
 * direct map, espfix where there is one, and the entry text; with no PCID also the rest of text and rodata, which then
 * may stay global. Source: Documentation/arch/x86/pti.rst; Linux 6.5 arch/x86/mm/pti.c for which parts; checked against
 * recorded tables.
 */
import {
  type AddressRange,
  alignDown,
  alignUp,
  Bit,
  entryAddress,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  LARGE,
  pagesBetween,
  tableIndex,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { CpuUnits } from "./cpu-areas.js";
import { TSS_PAGE } from "./cpu-areas.js";
import type { BuildContext } from "./build-context-api.js";
import { install, newTable, reach } from "./early-map.js";
import { directAddress, imageAddress } from "../image/layout.js";
import { KERNEL_DATA, KERNEL_TABLE_BITS } from "../tables/protection.js";
import type { KernelImage } from "../image/kernel-image-api.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import { tableAt } from "../tables/walk.js";

/**
 * Addresses the user half maps of the image: [start, end), whole 2 MiB. The entry text; at the end of the boot, without
 * PCIDs, also the rest of text and rodata, which nothing would keep in the TLB otherwise.
 * @param entryOnly as it is before pti_finalize, or with PCIDs
 */
export function userImageRange(layout: KernelLayout, image: KernelImage, entryOnly: boolean): AddressRange {
  const entry = image.symbol("__entry_text_start") ?? image.stext;
  const entryEnd = image.symbol("__entry_text_end") ?? entry + 1n;
  return entryOnly
    ? { start: imageAddress(layout, alignDown(entry, LARGE)), end: imageAddress(layout, alignUp(entryEnd, LARGE)) }
    : { start: imageAddress(layout, image.stext), end: imageAddress(layout, alignUp(image.endRodata, LARGE)) };
}

/** Fills the user half of the boot table but for the image. */
export function buildUserHalf(context: BuildContext, root: Frame, units: CpuUnits): void {
  const { entries, layout } = context;
  const user = root + 1;
  const make = (): Frame => newTable(context, context.master);
  const share = (address: bigint): void => {
    // Both halves use the same lower tables: one change serves both.
    const kernel = tableAt(entries.memory, root, layout.levels, address, 4);
    if (kernel === undefined) return;
    const index = tableIndex(address, 4);
    if (!isPresent(entries.low(kernel, index))) return;
    const table = layout.levels === 5 ? reach(context, user, address, 4, make, KERNEL_TABLE_BITS) : user;
    entries.write(table, index, entries.low(kernel, index), entries.high(kernel, index));
  };
  share(layout.cpuEntryArea);
  share(layout.espfix);
  for (const unit of units.values()) {
    const frame = unit + TSS_PAGE;
    install(
      context,
      user,
      directAddress(layout, frame),
      { ...KERNEL_DATA, global: false, frame, level: 1 },
      make,
      KERNEL_TABLE_BITS,
    );
  }
}

/**
 * Copies PMD entries of a range from the kernel half of a pair to its user half, marking them global on both sides.
 *
 * @param root kernel PGD to copy from
 * @param user user PGD to copy to: `root + 1`, but where a defect is modelled
 * @param make source of table pages for what the user half lacks
 * @returns entries copied
 */
export function copyImageToUser(
  context: BuildContext,
  root: Frame,
  user: Frame,
  range: { readonly start: bigint; readonly end: bigint },
  make: () => Frame,
): number {
  const { entries, layout } = context;
  let copied = 0;
  walkTables<Frame>(layout.levels, pagesBetween(range.start, range.end), root, (table, level, index, base) => {
    const lo = entries.low(table, index);
    if (!isPresent(lo)) return undefined;
    const hi = entries.high(table, index);
    if (level > 2) return isLeaf(lo, level) ? undefined : frameOf(lo, hi);
    const marked = (lo | Bit.Global) >>> 0;
    if (marked !== lo) entries.write(table, index, marked, hi);
    const to = reach(context, user, entryAddress(base, level, index), 2, make, KERNEL_TABLE_BITS);
    entries.write(to, index, marked, hi);
    copied++;
    return undefined;
  });
  return copied;
}
