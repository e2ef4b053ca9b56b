/// <reference types="node" />
/** The day's Debian kernel package for tests, or a loud reason why there is none. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readModule, type ModuleFile } from "../../src/index.js";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";

export interface KernelPackage {
  readonly abi: string;
  readonly version: string;
  readonly modules: string;
}

/** @returns the package, or why it cannot be had; the reason is also printed, so that a skipped test is seen */
export function kernelPackage(): KernelPackage | string {
  try {
    return fetchKernel() as KernelPackage;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`SKIPPED, no kernel package: ${reason}`);
    return reason;
  }
}

/** Paths of all modules by name. */
export function modulePaths(root: string): Map<string, string> {
  const paths = new Map<string, string>();
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) visit(join(folder, entry.name));
      else if (entry.name.endsWith(".ko"))
        paths.set(entry.name.slice(0, -3).replaceAll("-", "_"), join(folder, entry.name));
    }
  };
  visit(root);
  return paths;
}

export const readFile = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
export const moduleAt = (path: string): ModuleFile => readModule(readFile(path), path);
