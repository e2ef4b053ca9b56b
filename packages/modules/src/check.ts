/** Whether a module fits this kernel: version string and the checksum of the module structure. */
import { hex } from "@kreplica/hw-x86/api";
import { ModuleError } from "./errors.js";
import type { ModuleFile } from "./module-file.js";
import type { SymbolTable } from "./symbols.js";

/** What of a kernel a module must agree with. */
export interface KernelIdentity {
  /** Its own vermagic: `6.1.0-56-cloud-amd64 SMP preempt mod_unload modversions `. */
  readonly vermagic: string;
}

/** Symbol whose checksum stands for struct module. @source kernel/module/version.c check_modstruct_version */
const MODULE_STRUCT = "module_layout";

/**
 * @source kernel/module/main.c check_modinfo, kernel/module/version.c same_magic
 * @throws ModuleError vermagic
 */
export function checkModule(file: ModuleFile, kernel: KernelIdentity, symbols: SymbolTable): void {
  // With checksums the release may differ: they say more than it does.
  const behindRelease = (magic: string): string => magic.slice(magic.indexOf(" ") >>> 0);
  const same =
    file.versions.size > 0
      ? behindRelease(file.vermagic) === behindRelease(kernel.vermagic)
      : file.vermagic === kernel.vermagic;
  if (!same)
    throw new ModuleError(
      "vermagic",
      file.name,
      `version magic "${file.vermagic}" should be "${kernel.vermagic}": take the module from this kernel's package`,
    );
  const known = symbols.find(MODULE_STRUCT)?.checksum;
  const built = file.versions.get(MODULE_STRUCT);
  if (known !== undefined && built !== undefined && known !== built) {
    throw new ModuleError(
      "vermagic",
      file.name,
      `disagrees about version of symbol ${MODULE_STRUCT}: ${hex(built)}, the kernel has ${hex(known)}`,
    );
  }
}
