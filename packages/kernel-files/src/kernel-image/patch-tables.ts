/** The patch tables of a real kernel, found by section name or by the symbols that bound them. */
import {
  NO_TABLES,
  type PatchTables,
  readAlternatives,
  readJumpTable,
  readParavirt,
  readPointerSites,
  readRelativeSites,
  readStaticCalls,
} from "@kreplica/text-patch/api";
import type { KernelFile } from "./kernel-file.js";

/**
 * @param memory the image's bytes, as linked or as moved by `delta`
 * @param delta added to every linked address
 * @throws TextPatchError for a table that cannot be one
 */
export function patchTables(kernel: KernelFile, memory: Uint8Array = kernel.memory, delta = 0n): PatchTables {
  const range = (
    section: string,
    start?: string,
    stop?: string,
  ): { bytes: Uint8Array; address: bigint } | undefined => {
    const found = kernel.sections.find(({ name }) => name === section);
    const from = start === undefined ? undefined : kernel.symbol(start);
    const to = stop === undefined ? undefined : kernel.symbol(stop);
    // Symbols are exact; a section may be padded at its end.
    const bounds =
      from !== undefined && to !== undefined
        ? { from, to }
        : found
          ? { from: found.address, to: found.address + found.bytes }
          : undefined;
    if (!bounds) return undefined;
    const at = Number(bounds.from - kernel.base);
    return { bytes: memory.subarray(at, at + Number(bounds.to - bounds.from)), address: bounds.from + delta };
  };
  const table = <T>(
    found: { bytes: Uint8Array; address: bigint } | undefined,
    read: (bytes: Uint8Array, address: bigint) => T[],
  ): readonly T[] => (found ? read(found.bytes, found.address) : []);
  // The bit that marks init text is the kernel's to set when it boots; in the file it tells objtool where to write a
  // no-op.
  const initFrom = (kernel.symbol("__init_begin") ?? 0n) + delta;
  const initTo = (kernel.symbol("__init_end") ?? 0n) + delta;
  const marked = <T extends { readonly address: bigint; readonly init: boolean }>(sites: readonly T[]): readonly T[] =>
    sites.map((site) => ({ ...site, init: site.address >= initFrom && site.address < initTo }));
  const low = kernel.base + delta;
  const high = low + BigInt(memory.length);
  return {
    ...NO_TABLES,
    alternatives: table(range(".altinstructions", "__alt_instructions", "__alt_instructions_end"), (bytes, address) =>
      readAlternatives(bytes, address, (each) => each >= low && each < high),
    ),
    paravirt: table(range(".parainstructions", "__parainstructions", "__parainstructions_end"), readParavirt),
    retpolines: table(range(".retpoline_sites", "__retpoline_sites", "__retpoline_sites_end"), (bytes, address) =>
      readRelativeSites(bytes, address, ".retpoline_sites"),
    ),
    returns: table(range(".return_sites", "__return_sites", "__return_sites_end"), (bytes, address) =>
      readRelativeSites(bytes, address, ".return_sites"),
    ),
    smpLocks: table(range(".smp_locks", "__smp_locks", "__smp_locks_end"), (bytes, address) =>
      readRelativeSites(bytes, address, ".smp_locks", true),
    ),
    jumpLabels: marked(table(range("__jump_table", "__start___jump_table", "__stop___jump_table"), readJumpTable)),
    staticCalls: marked(
      table(range(".static_call_sites", "__start_static_call_sites", "__stop_static_call_sites"), readStaticCalls),
    ),
    trampolines: kernel.symbols.flatMap(({ name, address }) => {
      const key = name.startsWith("__SCT__") ? kernel.symbol(`__SCK__${name.slice(7)}`) : undefined;
      return key === undefined ? [] : [{ address: address + delta, key: key + delta }];
    }),
    ftrace: table(range("__mcount_loc", "__start_mcount_loc", "__stop_mcount_loc"), (bytes, address) =>
      readPointerSites(bytes, address, "__mcount_loc"),
    ),
    calls: table(range(".call_sites", "__call_sites", "__call_sites_end"), (bytes, address) =>
      readRelativeSites(bytes, address, ".call_sites"),
    ),
    ibtSeals: table(range(".ibt_endbr_seal", "__ibt_endbr_seal", "__ibt_endbr_seal_end"), (bytes, address) =>
      readRelativeSites(bytes, address, ".ibt_endbr_seal"),
    ),
  };
}
