/** Public surface of vmalloc: the plugin with its parts, and the series' own parts to lay over it. */
import { bind, bindValue, plugin, type Plugin } from "@kreplica/di";
import { AliasFlush, AreaBits, AreaReplicator, PageAccount, ShadowMemory, Vmalloc, VmallocLimits } from "./api.js";
import { OwnBits } from "./area-bits.js";
import { ExactAccount } from "./page-account.js";
import { MapOverReplicator } from "./replicate-range.js";
import { EveryCopyFlush } from "./reset-aliases.js";
import { BaseCopyFlush, ForgetfulAccount, SharedBitTwice, UnmapThenMapReplicator } from "./rfc-v1.js";
import { KasanShadow, NoShadow } from "./shadow.js";
import { AreaVmalloc } from "./vmalloc.js";

export * from "./api.js";
export { AddressSpace, type AddressRegion } from "./address-space.js";
export { AREA_INVARIANTS, checkArea, checkAreas, checkPageCounts, type AreaWitnesses } from "./invariants.js";
export { KasanShadow, shadowOf } from "./shadow.js";

/** Parts of vmalloc that designs differ in. */
export interface VmallocParts {
  /** unmap-then-map is the series', with D6. */
  readonly replicator?: "map-over" | "unmap-then-map";
  /** base-copy is the series' D7. */
  readonly aliasFlush?: "every-copy" | "base-copy";
  /** forgetful is N3. */
  readonly account?: "exact" | "forgetful";
  /** twice: one bit for two requests, where the kernel has both, is the series' D12. */
  readonly sharedBit?: "own" | "twice";
  readonly shadow?: "none" | "kasan";
  /** Pages freed lazily before a flush; by the number of CPUs when absent. */
  readonly lazyPages?: number;
  /** CPUs of the machine, which set how much is freed lazily; default 4. */
  readonly cpus?: number;
}

/** Vmalloc with the given parts; ours where nothing is said. */
export const vmallocWith = (parts: VmallocParts): Plugin => plugin("vmalloc", [
  bind(Vmalloc, AreaVmalloc),
  parts.replicator === "unmap-then-map" ? bind(AreaReplicator, UnmapThenMapReplicator) : bind(AreaReplicator, MapOverReplicator),
  parts.aliasFlush === "base-copy" ? bind(AliasFlush, BaseCopyFlush) : bind(AliasFlush, EveryCopyFlush),
  parts.account === "forgetful" ? bind(PageAccount, ForgetfulAccount) : bind(PageAccount, ExactAccount),
  parts.sharedBit === "twice" ? bind(AreaBits, SharedBitTwice) : bind(AreaBits, OwnBits),
  parts.shadow === "kasan" ? bind(ShadowMemory, KasanShadow) : bind(ShadowMemory, NoShadow),
  bindValue(VmallocLimits, { lazyPages: parts.lazyPages ?? (32 - Math.clz32(parts.cpus ?? 4)) * 8192 }),
]);

/** Ours. */
export const vmalloc: Plugin = vmallocWith({});
/** The series' replicate, free, account and bits: D6, D7, N3 and D12 together. */
export const vmallocRfcV1: Plugin = vmallocWith({ replicator: "unmap-then-map", aliasFlush: "base-copy", account: "forgetful", sharedBit: "twice" });
