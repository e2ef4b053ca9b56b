/**
 * What a kernel that ran knew when it patched itself, read from its memory: CPU features, paravirt functions, static
 * keys and calls.
 *
 * Where x86_capability lies in boot_cpu_data differs between versions: it is the first place whose words could be CPUID
 * 1 EDX and whose extended word has the long-mode bit.
 * Source: arch/x86/include/asm/processor.h, cpufeatures.h; include/linux/jump_label.h, static_call_types.h (layout
 * only).
 */
import { InputError } from "@kreplica/inputs";
import type { PatchState } from "@kreplica/text-patch/api";
import type { KernelFile } from "./kernel-file.js";

/** FPU, TSC, MSR, PAE, CX8, PGE, CMOV, FXSR, SSE, SSE2: every 64-bit CPU has them. */
const EVERY_64_BIT = 0x0700_8171 | (1 << 13);
const LONG_MODE = 1 << 29;
/** Distance at which the ITS thunk is needed: returns in the lower half of a line. */
const ITS_LOWER_HALF = 0x20n;

/**
 * @param memory the image's bytes as they are in the running kernel, from `base`
 * @param base address of the first byte
 * @throws InputError when a symbol is missing
 */
export function stateOf(kernel: KernelFile, memory: Uint8Array, base: bigint, delta = 0n): PatchState {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const need = (name: string): bigint => {
    const address = kernel.symbol(name);
    if (address === undefined)
      throw new InputError({
        file: kernel.file,
        field: name,
        reason: "has no such symbol",
        remedy: "give the System.map of the same build",
      });
    return address + delta;
  };
  const optional = (name: string): bigint | undefined => {
    const address = kernel.symbol(name);
    return address === undefined ? undefined : address + delta;
  };
  const word = (address: bigint): number => view.getUint32(Number(address - base), true);
  const quad = (address: bigint): bigint => view.getBigUint64(Number(address - base), true);
  const cpu = need("boot_cpu_data");
  let capability = -1;
  for (let at = 8; at < 96 && capability < 0; at += 4) {
    if ((word(cpu + BigInt(at)) & EVERY_64_BIT) === EVERY_64_BIT && (word(cpu + BigInt(at + 4)) & LONG_MODE) !== 0)
      capability = at;
  }
  const pvOps = kernel.symbol("pv_ops");
  const nop = kernel.symbol("_paravirt_nop") ?? kernel.symbol("paravirt_nop");
  // Kernels before 5.19 have none, nor lists of returns that lead there.
  const defaultReturnThunk = optional("__x86_return_thunk");
  const thunkVariable = kernel.symbol("x86_return_thunk");
  const its = kernel.symbol("its_return_thunk");
  const thunk = thunkVariable === undefined ? defaultReturnThunk : quad(thunkVariable + delta);
  const has = (feature: number): boolean =>
    capability >= 0 && ((word(cpu + BigInt(capability + 4 * (feature >> 5))) >>> (feature & 31)) & 1) === 1;
  return {
    has,
    paravirt(type) {
      if (pvOps === undefined) return undefined;
      const target = quad(pvOps + delta + BigInt(8 * type));
      return target === 0n ? undefined : nop !== undefined && target === nop + delta ? "nop" : target;
    },
    indirectThunks: need("__x86_indirect_thunk_array"),
    defaultReturnThunk,
    returnThunk(site) {
      if (!has(11 * 32 + 14)) return undefined;
      return its !== undefined && thunk === its + delta && (site & ITS_LOWER_HALF) !== 0n ? undefined : thunk;
    },
    keyEnabled: (key) => (word(key) | 0) > 0,
    staticCallTarget: (key) => quad(key),
    // Kernels before 5.12 have none.
    staticCallReturn0: optional("__static_call_return0"),
    cpus: 2,
  };
}
