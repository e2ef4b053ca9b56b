/**
 * The defects of the series as posted, each so that it can be taken away: what `check --policy rfc-v1` lays over the corrected series, less
 * those it has found. Ids and what they are: series.md 8.2 and 8.2a.
 */
import type { Plugin } from "@kreplica/di";
import type { KernelDefect } from "@kreplica/mm-core";
import { type BootDefect, PER_NODE, replicationBy, withDefects } from "@kreplica/numa-replication";
import type { VmallocParts } from "@kreplica/vmalloc";
import type { BootOptions } from "../boot.js";
import { CORE_DEFECTS } from "./core-defects.js";
import { areasWith } from "./families/area-plugins.js";
import { PATCH_DEFECTS } from "./families/patch-defects.js";
import { CONFIGURATIONS, type Configuration, type Kind } from "./kinds.js";

/** How one defect is laid: by a flag of the policy or of the core, as a part of vmalloc, or as a plugin. */
interface SeriesDefect {
  /** What it is, in a clause. */
  readonly what: string;
  readonly boot?: BootDefect;
  readonly core?: KernelDefect;
  readonly areas?: VmallocParts;
  readonly plugin?: Plugin;
  /** Kernels it can show on, where not on all; a plugin is laid there alone, for it makes the configuration what it is. */
  readonly configuration?: Configuration;
}

export const SERIES = {
  D1: { what: "a node's root is asked for before there is one", boot: "D1", configuration: "boot CPU elsewhere" },
  D2: { what: "spurious kernel faults are never recognised", core: "D2" },
  D3: { what: "the debug check of CR3 expects node 0's root everywhere", core: "D3" },
  D4: { what: "the boot table learns nothing after it was cloned", boot: "D4" },
  D5: { what: "generated code becomes executable in one node's tables alone", plugin: PATCH_DEFECTS.D5 },
  D6: { what: "copies of an area are freed while mapped when memory gives out", areas: { replicator: "unmap-then-map" } },
  D7: { what: "the flush after an area is freed forgets its copies", areas: { aliasFlush: "base-copy" } },
  D8: { what: "a failed fork frees the parent's PGDs", core: "D8" },
  D9: { what: "the direct map's view of rodata copies stays writable", boot: "D9" },
  D10: { what: "a node whose memory comes later counts as a holder, without tables", boot: "D10", configuration: "late memory" },
  "D10-growth": { what: "a direct map that grows reaches one root of the kernel's own", plugin: CORE_DEFECTS["D10-growth"], configuration: "late memory" },
  D11: { what: "the LDT is mapped in one node's user half alone", core: "D11" },
  D12: {
    what: "VM_NUMA_SHARED has the bit of VM_DEFER_KMEMLEAK, with KASAN but without KASAN_VMALLOC; shows by callers outside the tree alone: on x86 6.5's module_alloc asks for either, always for both",
    areas: { sharedBit: "twice" }, configuration: "KASAN without vmalloc",
  },
  D13: { what: "where copies lie is remembered in init data, which is given back before it is used", plugin: CORE_DEFECTS.D13, configuration: "modules=off" },
  D14: { what: "memory of any node is taken for copies and tables", boot: "D14", configuration: "small node" },
  D15: { what: "the user halves of all nodes lead to node 0's tables", boot: "D15" },
  D16: { what: "rodata is copied with rodata=off, and then written", plugin: PATCH_DEFECTS.D16, configuration: "rodata=off" },
  N1: { what: "no-ops optimised in place change one copy alone", core: "N1" },
  N2: { what: "idt_table becomes read-only on one root alone", core: "N2" },
  N3: { what: "the counter of vmalloc pages only grows", areas: { account: "forgetful" } },
  "remote-table": { what: "private tables come from the node of the CPU that runs", core: "remote-table" },
} as const satisfies Record<string, SeriesDefect>;
export type SeriesId = keyof typeof SERIES;
export const SERIES_IDS = Object.keys(SERIES) as readonly SeriesId[];

/** Those of the ids that are laid on a kind of kernel: a plugin that makes a configuration is no part of others. */
export const laidOn = (kind: Kind, ids: readonly SeriesId[]): SeriesId[] => ids.filter((id) => {
  const { plugin, configuration }: SeriesDefect = SERIES[id];
  return plugin === undefined || configuration === undefined || configuration === kind.configuration;
});

/** A kernel with defects of the series, and no others, over the corrected one. @param plain of the corrected series */
export function withSeries(plain: BootOptions, kind: Kind, ids: readonly SeriesId[]): BootOptions {
  const laid = laidOn(kind, ids).map((id): SeriesDefect => SERIES[id]);
  const all = <K extends keyof SeriesDefect>(key: K): NonNullable<SeriesDefect[K]>[] => laid.flatMap((each) => each[key] ?? []) as NonNullable<SeriesDefect[K]>[];
  const areas = all("areas");
  return {
    ...plain, policy: replicationBy(withDefects(PER_NODE, ...all("boot"))), defects: new Set(all("core")),
    plugins: [...(plain.plugins ?? []), ...(areas.length > 0 ? [areasWith(Object.assign({}, ...areas) as VmallocParts)] : []), ...all("plugin")],
  };
}

/** A kind of each configuration that a defect needs, as a machine of that many nodes allows; on the first of the kinds that has enough. */
export function configuredKinds(kinds: readonly Kind[]): Kind[] {
  return (Object.keys(CONFIGURATIONS) as Configuration[]).flatMap((configuration) => {
    if (kinds.some((kind) => kind.configuration === configuration)) return [];
    // A node whose memory comes later leaves two that hold copies.
    const fewest = CONFIGURATIONS[configuration].fewest + (configuration === "late memory" ? 1 : 0);
    const fits = ({ kasan, levels }: Kind): boolean => (configuration === "late memory" ? !kasan : configuration !== "KASAN without vmalloc" || levels === 4);
    const base = kinds.find((kind) => kind.configuration === undefined && kind.nodes >= fewest && fits(kind));
    return base ? [{ ...base, configuration }] : [];
  });
}

const defectOf = (id: string): SeriesDefect | undefined => (SERIES as Readonly<Record<string, SeriesDefect>>)[id];
/** What a defect is, in a clause; empty for one that is not of the series. */
export const whatIs = (id: string): string => defectOf(id)?.what ?? "";
export const configurationOf = (id: string): Configuration | undefined => defectOf(id)?.configuration;
