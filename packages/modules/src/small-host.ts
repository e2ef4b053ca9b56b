/** A kernel as modules see it, with one exported function. */
import type { PatchState } from "@kreplica/text-patch/api";
import type { ModuleHost } from "./api.js";
import { SymbolTable, type ExportedSymbol } from "./symbols.js";
import { TINY_MAGIC } from "./small-module.js";

/** @param exports beside `kernel_function` at 0xffffffff81001000 */
export function tinyHost(exports: readonly Partial<ExportedSymbol>[] = [], patching?: PatchState): ModuleHost {
  const plain = { value: -0x7eff_f000, gpl: false, namespace: "", checksum: undefined, owner: undefined };
  return {
    identity: { vermagic: TINY_MAGIC },
    percpuStart: 0x3_4000,
    patching,
    staticCallKey: () => undefined,
    symbols: new SymbolTable([
      { ...plain, name: "kernel_function" },
      ...exports.map((each) => ({ ...plain, name: "unnamed", ...each })),
    ]),
  };
}
