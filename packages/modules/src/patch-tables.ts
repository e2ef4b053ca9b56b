/**
 * A module's patch tables, read from its memory after relocation by text-patch's readers, each site checked to lie in
 * the module.
 */
import { hex } from "@kreplica/hw-x86/api";
import {
  NO_TABLES,
  readAlternatives,
  readJumpTable,
  readParavirt,
  readPointerSites,
  readRelativeSites,
  readStaticCalls,
  TextPatchError,
  type PatchTables,
  type SiteClass,
} from "@kreplica/text-patch/api";
import { signedOf, addressOf } from "./addresses.js";
import { ModuleError } from "./errors.js";
import type { ModuleImage } from "./module-image.js";

/**
 * @source kernel/jump_label.c jump_label_add_module, kernel/static_call_inline.c
 * @throws ModuleError bad-site for a table that cannot be one, or a site outside the module
 */
export function readPatchTables(image: ModuleImage): PatchTables {
  const inside = (address: bigint): boolean => image.bytes(signedOf(address), 1) !== undefined;
  const initParts = image.parts.filter(({ part }) => part.startsWith("init"));
  // The bit that marks init text is the kernel's to set when it loads; in the file it tells objtool where to write a
  // no-op.
  const marked = <T extends { readonly address: bigint; readonly init: boolean }>(sites: readonly T[]): readonly T[] =>
    sites.map((site) => {
      const at = signedOf(site.address);
      return { ...site, init: initParts.some(({ base, bytes }) => at >= base && at < base + bytes.length) };
    });
  const table = <T>(name: string, read: (bytes: Uint8Array, address: bigint) => readonly T[]): readonly T[] => {
    const section = image.section(name);
    const bytes = section && image.bytesOf(section);
    return section && bytes ? read(bytes, addressOf(image.sectionAddress[section.index]!)) : [];
  };
  const sites = (name: string): readonly bigint[] =>
    table(name, (bytes, address) => readRelativeSites(bytes, address, name, name === ".smp_locks"));
  return refusing(image, () => {
    const tables: PatchTables = {
      ...NO_TABLES,
      alternatives: table(".altinstructions", (bytes, address) => readAlternatives(bytes, address, inside)),
      paravirt: table(".parainstructions", readParavirt),
      retpolines: sites(".retpoline_sites"),
      returns: sites(".return_sites"),
      smpLocks: sites(".smp_locks"),
      calls: sites(".call_sites"),
      ibtSeals: sites(".ibt_endbr_seal"),
      jumpLabels: marked(table("__jump_table", readJumpTable)),
      staticCalls: marked(table(".static_call_sites", readStaticCalls)),
      ftrace: table("__mcount_loc", (bytes, address) => readPointerSites(bytes, address, "__mcount_loc")),
    };
    for (const address of allSites(tables)) {
      if (!inside(address))
        throw new ModuleError(
          "bad-site",
          image.file.name,
          `a patch table names ${hex(address)}, which is not in the module`,
        );
    }
    for (const { replacement, replacementLength } of tables.alternatives) {
      if (replacementLength > 0 && !image.bytes(signedOf(replacement), replacementLength))
        throw new ModuleError("bad-site", image.file.name, `a replacement at ${hex(replacement)} is not in the module`);
    }
    return tables;
  });
}

/** Runs text-patch's code on a module, its refusals said in the module's name. */
export function refusing<T>(image: ModuleImage, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof TextPatchError)
      throw new ModuleError("bad-site", image.file.name, error.message, { cause: error });
    throw error;
  }
}

function* allSites(tables: PatchTables): Generator<bigint> {
  for (const list of [tables.alternatives, tables.paravirt, tables.jumpLabels, tables.staticCalls])
    for (const { address } of list) yield address;
  for (const list of [tables.retpolines, tables.returns, tables.smpLocks, tables.ftrace, tables.calls, tables.ibtSeals])
    yield* list;
}

/** Sites by class. */
export const countSites = (tables: PatchTables): Record<SiteClass, number> => ({
  alternative: tables.alternatives.length,
  paravirt: tables.paravirt.length,
  retpoline: tables.retpolines.length,
  return: tables.returns.length,
  "smp-lock": tables.smpLocks.length,
  "jump-label": tables.jumpLabels.length,
  "static-call": tables.staticCalls.length,
  ftrace: tables.ftrace.length,
  call: tables.calls.length,
  ibt: tables.ibtSeals.length,
});

/** The tables without sites at addresses that are gone. */
export function sitesOutside(tables: PatchTables, gone: (address: bigint) => boolean): PatchTables {
  const at = <T extends { readonly address: bigint }>(list: readonly T[]): readonly T[] =>
    list.filter(({ address }) => !gone(address));
  const bare = (list: readonly bigint[]): readonly bigint[] => list.filter((address) => !gone(address));
  return {
    ...tables,
    alternatives: at(tables.alternatives),
    paravirt: at(tables.paravirt),
    jumpLabels: at(tables.jumpLabels),
    staticCalls: at(tables.staticCalls),
    retpolines: bare(tables.retpolines),
    returns: bare(tables.returns),
    smpLocks: bare(tables.smpLocks),
    ftrace: bare(tables.ftrace),
    calls: bare(tables.calls),
    ibtSeals: bare(tables.ibtSeals),
  };
}
