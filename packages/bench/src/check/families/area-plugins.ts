/** What the families of areas and modules need on a kernel, and the same with a defect of the series laid over it. */
import { bind, injectable, plugin, type Plugin } from "@kreplica/di";
import { ModuleHost, modulesWith, noPatching, replicateAll, tinyHost } from "@kreplica/modules";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { vmallocWith, type VmallocParts } from "@kreplica/vmalloc";

/** Pages held back before a flush: small, so that addresses and frames come round within a run. */
const LAZY_PAGES = 24;

/** Host of small made-up modules: one for each kernel, since loading adds to its symbols. */
@injectable()
class SmallHost implements ModuleHost {
  private readonly host = tinyHost();
  readonly identity = this.host.identity;
  readonly symbols = this.host.symbols;
  readonly percpuStart = this.host.percpuStart;
  readonly patching = this.host.patching;
  staticCallKey(): undefined { return undefined; }
}

export const areasWith = (parts: VmallocParts): Plugin => vmallocWith({ ...parts, lazyPages: LAZY_PAGES });

/** Areas, corrected. */
export const AREA_PLUGINS: readonly Plugin[] = [setMemory, areasWith({})];
/** Modules on them. */
export const MODULE_PLUGINS: readonly Plugin[] = [
  ...AREA_PLUGINS, textPatch, modulesWith(replicateAll), noPatching, plugin("small-module-host", [bind(ModuleHost, SmallHost)]),
];

/**
 * Defects of vmalloc, each a plugin of the same name as the corrected one, which it takes the place of.
 * D6 copies are freed while mapped when memory gives out; D7 the flush at the end forgets replicas' aliases; D12 two requests have one bit,
 * on a kernel with KASAN but without KASAN_VMALLOC; N3 a counter only grows.
 */
export const AREA_DEFECTS = {
  D6: areasWith({ replicator: "unmap-then-map" }),
  D7: areasWith({ aliasFlush: "base-copy" }),
  D12: areasWith({ sharedBit: "twice" }),
  N3: areasWith({ account: "forgetful" }),
} as const satisfies Record<string, Plugin>;
