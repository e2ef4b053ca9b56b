/** What a refused step of the loader says, and that it leaves nothing. */
import { expect } from "vitest";
import { ModuleError } from "../../src/index.js";
import type { LoaderKernel } from "./kernel.js";

/** Code and words of a refusal; undefined where nothing is refused. */
export function said(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof ModuleError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return undefined;
}

/** Code and errno of what is refused; "none" where nothing is. */
export const refusal = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof ModuleError) return `${error.code} ${error.errno}`;
    throw error;
  }
  return "none";
};

/** No area, frame or module, on any node. */
export const nothingLeft = (kernel: LoaderKernel): void => {
  kernel.vm.purge();
  expect([kernel.vm.counters.used, kernel.vm.counters.areas, kernel.loader.loaded.length]).toEqual([0, 0, 0]);
  for (const node of [0, 1]) expect(kernel.allocator.usedFrames(node, "module")).toBe(0);
  expect(kernel.tables.tooEarly).toEqual([]);
};
