/**
 * Module files in an order in which they can be loaded; what cannot be used is set aside with its reason, and the rest
 * goes on.
 */
import { faultOf, InputError, type InputFault } from "@kreplica/inputs";
import { loadOrder, moduleName, ModuleError, type ModuleFile } from "@kreplica/modules";
import type { ModuleDirectory } from "./directory.js";

/** A module that no kernel is asked about: its file cannot be used, or what it needs is not there. */
export interface UnusableModule {
  readonly name: string;
  readonly fault: InputFault;
}

/** Module files in the order in which they can be loaded. */
export interface ModulesInOrder {
  /** What can be loaded, each after what it needs; otherwise in the order given. */
  readonly files: readonly ModuleFile[];
  /** How many of them nobody asked for: others need them. */
  readonly needed: number;
  /** In the order in which they were come upon. */
  readonly unusable: readonly UnusableModule[];
}

/** Whoever lacks something takes it from where the kernel came from. */
const ONE_PACKAGE = "take kernel and modules from one package";

/** Reads the wanted modules and all they need. @param onRead told of each file that was looked at, good or bad */
export async function readInOrder(
  directory: ModuleDirectory,
  wanted: readonly string[],
  onRead: (name: string) => void = () => {},
): Promise<ModulesInOrder> {
  const files = new Map<string, ModuleFile>();
  const faults = new Map<string, InputFault>();
  const needsOf = (name: string): readonly string[] | undefined =>
    directory.needs?.get(name) ?? files.get(name)?.depends.map(moduleName);
  const queue = [...wanted];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (files.has(name) || faults.has(name) || directory.path(name) === undefined) continue;
    try {
      files.set(name, await directory.read(name));
      queue.push(...needsOf(name)!);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      faults.set(name, faultOf(error));
    }
    onRead(name);
  }
  const placed = new Set<string>();
  for (const name of new Set(wanted)) {
    if (faults.has(name)) continue;
    let lacking: string | undefined;
    // What is placed has all it needs. Where a name leads nowhere, the order cannot be had.
    const needs = (each: string): readonly string[] | undefined => {
      if (placed.has(each)) return [];
      if (files.has(each)) return needsOf(each);
      lacking = each;
      return undefined;
    };
    try {
      for (const each of loadOrder([name], needs)) placed.add(each);
    } catch (error) {
      if (!(error instanceof ModuleError)) throw error;
      const reason =
        lacking !== undefined && faults.has(lacking) ? `needs ${lacking}, whose file cannot be used` : error.message;
      faults.set(name, {
        file: directory.path(name) ?? name,
        reason,
        remedy: lacking !== undefined && faults.has(lacking) ? `give a good ${lacking}` : ONE_PACKAGE,
      });
    }
  }
  const asked = new Set(wanted);
  return {
    files: [...placed].map((name) => files.get(name)!),
    needed: [...placed].filter((name) => !asked.has(name)).length,
    unusable: [...faults].map(([name, fault]) => ({ name, fault })),
  };
}
