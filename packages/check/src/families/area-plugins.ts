/** What the families of areas and modules need on a kernel. */
import { bind, injectable, plugin, type Plugin } from "@kreplica/di";
import { ModuleHost, modulesWith, noPatching, replicateAll, tinyHost } from "@kreplica/modules";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { vmallocWith } from "@kreplica/vmalloc";

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
  staticCallKey(): undefined {
    return undefined;
  }
}

/** Areas. */
export const AREA_PLUGINS: readonly Plugin[] = [setMemory, vmallocWith({ lazyPages: LAZY_PAGES })];
/** Modules on them. */
export const MODULE_PLUGINS: readonly Plugin[] = [
  ...AREA_PLUGINS,
  textPatch,
  modulesWith(replicateAll),
  noPatching,
  plugin("small-module-host", [bind(ModuleHost, SmallHost)]),
];
