/**
 * Tables of a module that the kernel sorts in place once they are relocated, so that it can search them: exceptions,
 * ORC unwind data and the ftrace sites. They lie in rodata, so it has to happen before that is copied.
 */
import type { ModuleImage } from "./module-image.js";

/** Bytes of an entry of each table. @source asm/extable.h, asm/orc_types.h, __mcount_loc is plain addresses */
const EXCEPTION = 12;
const ORC = 6;

/** @source lib/extable.c, kernel/unwind_orc.c unwind_module_init, kernel/trace/ftrace.c ftrace_process_locs */
export function sortTables(image: ModuleImage): void {
  sortExceptions(image);
  sortOrc(image);
  sortFtraceSites(image);
}

/** A relative entry's distance changes by as much as the entry moves. */
function sortExceptions(image: ModuleImage): void {
  const section = image.section("__ex_table");
  const bytes = section && image.bytesOf(section);
  if (!bytes) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = Array.from({ length: Math.floor(bytes.length / EXCEPTION) }, (_, i) => {
    const at = i * EXCEPTION;
    return {
      insn: view.getInt32(at, true) + at,
      fixup: view.getInt32(at + 4, true) + at,
      data: view.getInt32(at + 8, true),
    };
  }).sort((a, b) => a.insn - b.insn);
  entries.forEach(({ insn, fixup, data }, i) => {
    const at = i * EXCEPTION;
    view.setInt32(at, insn - at, true);
    view.setInt32(at + 4, fixup - at, true);
    view.setInt32(at + 8, data, true);
  });
}

/**
 * Two parallel tables. Of two entries for one address the one that ends a stretch comes first, so that a search finds
 * the other.
 */
function sortOrc(image: ModuleImage): void {
  const [ips, data] = [image.section(".orc_unwind_ip"), image.section(".orc_unwind")].map(
    (section) => section && image.bytesOf(section),
  );
  if (!ips || !data) return;
  const count = Math.min(Math.floor(ips.length / 4), Math.floor(data.length / ORC));
  const view = new DataView(ips.buffer, ips.byteOffset, ips.byteLength);
  const where = new Float64Array(count);
  for (let i = 0; i < count; i++) where[i] = view.getInt32(i * 4, true) + i * 4;
  const old = data.slice();
  // sp_reg, bits 0 to 3 of the second-last 16 bits, is 0 (undefined) in an entry that ends a stretch.
  const ends = (i: number): number => ((old[i * ORC + 4]! & 15) === 0 ? 0 : 1);
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => where[a]! - where[b]! || ends(a) - ends(b) || a - b,
  );
  order.forEach((from, to) => {
    view.setInt32(to * 4, where[from]! - to * 4, true);
    data.set(old.subarray(from * ORC, from * ORC + ORC), to * ORC);
  });
}

function sortFtraceSites(image: ModuleImage): void {
  const section = image.section("__mcount_loc");
  const bytes = section && image.bytesOf(section);
  if (!bytes) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.floor(bytes.length / 8);
  const sites = BigUint64Array.from({ length: count }, (_, i) => view.getBigUint64(i * 8, true)).sort();
  sites.forEach((site, i) => view.setBigUint64(i * 8, site, true));
}
