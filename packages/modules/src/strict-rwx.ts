/**
 * Strict permissions of a module's memories: code is never writable, data never executable, constants neither, on every
 * node alike.
 */
import { inject, injectable } from "@kreplica/di";
import { SetMemory, SetMemoryError, type PermissionChange } from "@kreplica/set-memory/api";
import type { LoadedModule, StrictPermissions } from "./api.js";
import { ModuleError } from "./errors.js";
import type { MemoryType } from "./sections.js";

/**
 * One call for all memories and one shootdown, whatever the number of copies: SetMemory reaches every root. Linux
 * flushes once a memory.
 */
@injectable()
export class SetMemoryPermissions implements StrictPermissions {
  constructor(@inject(SetMemory) private readonly setMemory: SetMemory) {}

  protect(module: LoadedModule): void {
    this.change(module, [
      ...ranges(module, ["text", "init-text"], { writable: false, executable: true }),
      ...ranges(module, ["rodata", "init-rodata"], { writable: false }),
      ...module.thunkPages.map(({ start, pages }) => ({
        range: { start, pages },
        change: { writable: false, executable: true },
        alias: true,
      })),
    ]);
  }

  sealAfterInit(module: LoadedModule): void {
    this.change(module, ranges(module, ["ro-after-init"], { writable: false }));
  }

  private change(module: LoadedModule, changes: readonly PermissionChange[]): void {
    try {
      this.setMemory.changeAll(changes);
    } catch (error) {
      if (error instanceof SetMemoryError)
        throw new ModuleError("no-memory", module.name, `its memory cannot be protected: ${error.message}`, {
          cause: error,
        });
      throw error;
    }
  }
}

/** The same change, direct map included, for those of the memories the module has. */
function ranges(
  module: LoadedModule,
  types: readonly MemoryType[],
  change: PermissionChange["change"],
): PermissionChange[] {
  return types.flatMap((type) => {
    const memory = module.memories.get(type);
    return memory ? [{ range: { start: memory.area.start, pages: memory.area.pages }, change, alias: true }] : [];
  });
}
