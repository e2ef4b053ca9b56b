/** Public surface of vmalloc: the plugin with its parts. */
import { bind, bindValue, plugin, type Plugin } from "@kreplica/di";
import { AliasFlush, AreaBits, AreaReplicator, PageAccount, ShadowMemory, Vmalloc, VmallocLimits } from "./api.js";
import { OwnBits } from "./area-bits.js";
import { ExactAccount } from "./page-account.js";
import { MapOverReplicator } from "./replicate-range.js";
import { EveryCopyFlush } from "./reset-aliases.js";
import { KasanShadow, NoShadow } from "./shadow.js";
import { AreaVmalloc } from "./vmalloc.js";

export * from "./api.js";
export { AddressSpace } from "./address-space.js";
export { AREA_INVARIANTS, checkArea, checkAreas, checkPageCounts, type AreaWitnesses } from "./invariants.js";
export { KasanShadow, shadowOf } from "./shadow.js";

/** Parts of vmalloc that designs differ in. */
export interface VmallocParts {
  readonly shadow?: "none" | "kasan";
  /** Pages freed lazily before a flush; by the number of CPUs when absent. */
  readonly lazyPages?: number;
  /** CPUs of the machine, which set how much is freed lazily; default 4. */
  readonly cpus?: number;
}

/** Vmalloc with the given parts; ours where nothing is said. */
export const vmallocWith = (parts: VmallocParts): Plugin =>
  plugin("vmalloc", [
    bind(Vmalloc, AreaVmalloc),
    bind(AreaReplicator, MapOverReplicator),
    bind(AliasFlush, EveryCopyFlush),
    bind(PageAccount, ExactAccount),
    bind(AreaBits, OwnBits),
    parts.shadow === "kasan" ? bind(ShadowMemory, KasanShadow) : bind(ShadowMemory, NoShadow),
    bindValue(VmallocLimits, { lazyPages: parts.lazyPages ?? (32 - Math.clz32(parts.cpus ?? 4)) * 8192 }),
  ]);

/** Ours. */
export const vmalloc: Plugin = vmallocWith({});
