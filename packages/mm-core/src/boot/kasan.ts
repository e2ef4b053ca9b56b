/**
 * KASAN's shadow: one byte for each eight of the kernel's half, so that a checked access can ask whether its target is
 * live.
 *
 * Memory, image and cpu_entry_area get shadow of their own; what no object ever lies in shares one read-only page of
 * zeroes, through one chain of tables that all say the same; shadow of vmalloc and modules comes with their areas
 * (packages/vmalloc), that of memory that is plugged in with it, but the tables its top-level entries point to are made
 * now, before any PGD copies them. Without CONFIG_KASAN_VMALLOC modules alone have such shadow, and all of vmalloc's is
 * that page of zeroes.
 *
 *   4 levels  ffffec0000000000 .. fffffbffffffffff  16 TiB, PGD slots 472 to 503, shared by all nodes as they are
 *   5 levels  ffdffc0000000000 .. fffffbffffffffff  8 PiB; the last of it under the PGD slot whose P4D page each node has for itself
 *
 * The series excludes KASAN with 5 levels; docs/decisions/010 says why and why ours need not.
 * Source: Documentation/arch/x86/x86_64/mm.rst; Documentation/dev-tools/kasan.rst; what kasan_init of Linux 6.5
 * (arch/x86/mm/kasan_init_64.c) populates.
 */
import {
  type AddressRange,
  alignDown,
  bytesOf,
  endOf,
  entryAddress,
  entryBytes,
  entryHigh,
  entryLow,
  type Frame,
  frameOf,
  isLeaf,
  isPresent,
  LARGE,
  LARGE_PAGES,
  type NodeId,
  NONE,
  PAGE,
  type PageRange,
  pagesBetween,
  walkTables,
} from "@kreplica/hw-x86/api";
import type { BuildContext } from "./build-context-api.js";
import { install, newTable, reach } from "./early-map.js";
import { invariant, MmError } from "../errors.js";
import { shadowOf } from "../image/kasan-range.js";
import { directAddress, FIXED, imageAddress } from "../image/layout.js";
import type { KernelLayout } from "../image/kernel-layout-api.js";
import { KERNEL_DATA, leafEntry, TABLE_BITS } from "../tables/protection.js";
import { walk } from "../tables/walk.js";

/** What was made. */
export interface ShadowMade {
  /** Frames of shadow that can be written. */
  readonly frames: number;
  /** Tables set aside below top-level entries for vmalloc. */
  readonly prepared: number;
}

/**
 * First addresses of the 2 MiB leaves that shadow a range of memory, each 16 MiB: whole ones, so that ranges share
 * some.
 */
export function* shadowLeaves(
  layout: KernelLayout,
  { first, frames }: { readonly first: Frame; readonly frames: number },
): Generator<bigint> {
  const end = shadowOf(directAddress(layout, first + frames));
  for (let at = alignDown(shadowOf(directAddress(layout, first)), LARGE); at < end; at += LARGE) yield at;
}

/**
 * Builds the shadow in the boot table, once the direct map is there.
 * @param cpuAreaPages pages of cpu_entry_area in use
 * @throws MmError out-of-frames when a node has no room for an eighth of its own memory
 */
export function buildKasanShadow(context: BuildContext, root: Frame, cpuAreaPages: number): ShadowMade {
  const { machine, layout, image, early, master } = context;
  const shadow = layout.kasan;
  invariant(shadow !== undefined, "shadow is built where the layout has none");
  let frames = 0;
  const mapped = (address: bigint): boolean => walk(context.entries.memory, root, layout.levels, address).present;
  const take = (node: NodeId, count: number, align: number, what: string): Frame => {
    const first = early.allocate(node, count, align, "kernel", true);
    if (first === NONE)
      throw new MmError(
        "out-of-frames",
        shadow.start,
        `node ${node} has no room for KASAN's shadow of ${what}: an eighth of it`,
      );
    frames += count;
    return first;
  };
  const protection = { ...KERNEL_DATA, global: !layout.pti };
  for (const { node, first, frames: count } of machine.memory.ranges) {
    if (context.offline.has(node)) continue;
    for (const at of shadowLeaves(layout, { first, frames: count })) {
      // Two nodes may meet within what one leaf shadows.
      if (mapped(at)) continue;
      install(
        context,
        root,
        at,
        { ...protection, frame: take(node, LARGE_PAGES, LARGE_PAGES, "its own memory"), level: 2 },
        () => newTable(context, node),
      );
    }
  }
  const small = ({ start, end }: AddressRange, node: NodeId, what: string): void => {
    for (let at = alignDown(shadowOf(start), PAGE); at < shadowOf(end); at += PAGE) {
      if (!mapped(at))
        install(context, root, at, { ...protection, frame: take(node, 1, 1, what), level: 1 }, () =>
          newTable(context, node),
        );
    }
  };
  const loaded = { start: imageAddress(layout, image.stext), end: imageAddress(layout, image.end) };
  small(loaded, master, "the kernel image");
  small(bytesOf({ start: layout.cpuEntryArea, pages: cpuAreaPages }), master, "cpu_entry_area");
  const prepared = shadow.vmalloc ? prepareShadow(context, root) : 0;
  zeroTheRest(context, root);
  return { frames, prepared };
}

/**
 * Tables for the late shadow of vmalloc: two levels below the top with 5, one with 4, as kasan_shallow_populate_pgds
 * makes them.
 */
function prepareShadow(context: BuildContext, root: Frame): number {
  const { layout, master } = context;
  let made = 0;
  const step = entryBytes(4);
  for (let at = shadowOf(layout.vmallocStart) & ~(step - 1n); at <= shadowOf(layout.vmallocEnd); at += step) {
    reach(context, root, at, 3, () => {
      made++;
      return newTable(context, master);
    });
  }
  return made;
}

/** Maps every hole that no late shadow will fill to the page of zeroes. */
function zeroTheRest(context: BuildContext, root: Frame): void {
  const { entries, layout, master } = context;
  const shadow = layout.kasan!;
  const zero = context.early.allocate(master, 1, 1, "kernel");
  if (zero === NONE) throw new MmError("out-of-frames", shadow.start, "no frame for the page of zeroes");
  context.machine.memory.clearFrame(zero);
  const leaf = leafEntry({ ...KERNEL_DATA, writable: false, global: !layout.pti, frame: zero, level: 1 });
  // chain[level] is a table of that level that says zero everywhere; made when first needed.
  const chain: Frame[] = [];
  const zeroTable = (level: number): Frame => {
    const known = chain[level];
    if (known !== undefined) return known;
    const table = newTable(context, master);
    const lower = level === 1 ? undefined : zeroTable(level - 1);
    for (let index = 0; index < 512; index++) {
      if (lower === undefined) entries.write(table, index, leaf.lo, leaf.hi);
      else entries.write(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
    }
    return (chain[level] = table);
  };
  const offline = context.machine.memory.ranges
    .filter(({ node }) => context.offline.has(node))
    .flatMap((range) => [...shadowLeaves(layout, range)].map((start) => ({ start, end: start + LARGE - 1n })));
  for (const range of holes(layout, offline)) {
    const end = endOf(range);
    walkTables<Frame>(layout.levels, range, root, (table, level, index, base) => {
      const lo = entries.low(table, index);
      if (isPresent(lo)) return isLeaf(lo, level) ? undefined : frameOf(lo, entries.high(table, index));
      if (level === 1) {
        entries.write(table, index, leaf.lo, leaf.hi);
        return undefined;
      }
      const from = entryAddress(base, level, index);
      const whole = from >= range.start && from + entryBytes(level) <= end;
      const lower = whole ? zeroTable(level - 1) : newTable(context, master);
      entries.write(table, index, entryLow(lower, TABLE_BITS), entryHigh(lower, false));
      return whole ? undefined : lower;
    });
  }
}

/**
 * The shadow without what comes late: vmalloc's, if it has any, the modules', and that of memory.
 * @param offline in order of address, first and last byte of each
 */
function holes(layout: KernelLayout, offline: readonly AddressRange[]): PageRange[] {
  const { start, end, vmalloc } = layout.kasan!;
  const late = [
    ...offline,
    ...(vmalloc ? [{ start: shadowOf(layout.vmallocStart), end: shadowOf(layout.vmallocEnd) }] : []),
    { start: shadowOf(FIXED.modulesStart), end: shadowOf(FIXED.modulesEnd - 1n) },
  ];
  const found: PageRange[] = [];
  let from = start;
  for (const each of late) {
    // Nodes whose memory comes late may share a leaf.
    if (each.end < from) continue;
    found.push(pagesBetween(from, each.start & ~(PAGE - 1n)));
    from = (each.end | (PAGE - 1n)) + 1n;
  }
  found.push(pagesBetween(from, end + 1n));
  return found.filter(({ pages }) => pages > 0);
}
