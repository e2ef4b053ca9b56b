/** Modules in an order in which they can be loaded, for tests that have no use for half of them. */
import { type ModuleDirectory, readInOrder } from "@kreplica/kernel-files";
import type { ModuleFile } from "@kreplica/modules";

/** @throws Error where one cannot be used */
export async function filesInOrder(directory: ModuleDirectory, wanted: readonly string[]): Promise<ModuleFile[]> {
  const { files, unusable } = await readInOrder(directory, wanted);
  if (unusable.length > 0) throw new Error(unusable.map(({ fault }) => `${fault.file}: ${fault.reason}`).join("; "));
  return [...files];
}
