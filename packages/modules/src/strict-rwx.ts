/** Strict permissions of a module's memories: code is never writable, data never executable, constants neither, on every node alike. */
import { inject, injectable, token } from "@kreplica/di";
import { SetMemory, SetMemoryError, type PageRange } from "@kreplica/set-memory/api";
import type { LoadedModule } from "./api.js";
import { ModuleError } from "./errors.js";
import type { MemoryType } from "./sections.js";

/** @patch 11/12 kernel/module/strict_rwx.c module_enable_ro, module_enable_nx, module_enable_x */
export interface StrictPermissions {
  /** text: read-only and executable; rodata: read-only; init text likewise. Data comes writable and not executable from vmalloc. @throws ModuleError no-memory */
  protect(module: LoadedModule): void;
  /** ro_after_init: read-only, once init has run. */
  sealAfterInit(module: LoadedModule): void;
}
export const StrictPermissions = token<StrictPermissions>("modules/StrictPermissions");

/** One call a memory, whatever the number of copies: SetMemory reaches every root. */
@injectable()
export class SetMemoryPermissions implements StrictPermissions {
  constructor(@inject(SetMemory) private readonly setMemory: SetMemory) {}

  protect(module: LoadedModule): void {
    for (const type of ["text", "init-text"] as const) this.each(module, type, (range) => this.setMemory.readOnlyExecutable(range));
    for (const type of ["rodata", "init-rodata"] as const) this.each(module, type, (range) => this.setMemory.readOnly(range));
  }

  sealAfterInit(module: LoadedModule): void {
    this.each(module, "ro-after-init", (range) => this.setMemory.readOnly(range));
  }

  private each(module: LoadedModule, type: MemoryType, change: (range: PageRange) => void): void {
    const memory = module.memories.get(type);
    if (!memory) return;
    try {
      change({ start: memory.area.start, pages: memory.area.pages });
    } catch (error) {
      if (error instanceof SetMemoryError) throw new ModuleError("no-memory", module.name, `${type} cannot be protected: ${error.message}`, { cause: error });
      throw error;
    }
  }
}
