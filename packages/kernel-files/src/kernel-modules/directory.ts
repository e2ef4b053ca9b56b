/** Modules by name, wherever they lie: a folder, an archive, memory. */
import type { ModuleFile } from "@kreplica/modules";

/** Modules by name, read when asked for. */
export interface ModuleDirectory {
  readonly names: readonly string[];
  /** @throws InputError when the file cannot be read, or is no module: it names what is wrong with the file */
  read(name: string): Promise<ModuleFile>;
  /** Where it lies, as messages name it; undefined where there is no such module. */
  path(name: string): string | undefined;
  /** What modules.dep says; undefined when there is none, and the modules must be asked. */
  readonly needs: ReadonlyMap<string, readonly string[]> | undefined;
}
