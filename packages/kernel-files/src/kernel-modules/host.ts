/**
 * What a real kernel file says that its modules need: exported symbols with checksums and namespaces, version string,
 * patch state.
 */
import { type AddressRange, bytesAt, lengthOf } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import {
  readExports,
  signedOf,
  SymbolTable,
  type ByteSource,
  type ExportedSymbol,
  type ModuleHost,
} from "@kreplica/modules";
import type { PatchState } from "@kreplica/text-patch/api";
import type { KernelFile } from "../kernel-image/kernel-file.js";
import { stateOf } from "../kernel-image/running-state.js";

/** First bytes of the vermagic string, which ends with a zero. */
const LONGEST_MAGIC = 256;
/**
 * CPU features (word * 32 + bit) of the machine modules are patched for: a Haswell server with the mitigations of the
 * recorded guest.
 * @source arch/x86/include/asm/cpufeatures.h
 */
export const DEFAULT_FEATURES: ReadonlySet<number> = new Set([
  11 * 32 + 12, // RETPOLINE
  11 * 32 + 14, // RETHUNK
  9 * 32 + 9, // ERMS
  9 * 32 + 7, // SMEP
  4 * 32 + 17, // PCID
  3 * 32 + 16, // REP_GOOD
  3 * 32 + 20, // NOPL
  0 * 32 + 26, // XMM2
]);

/**
 * The same CPU with enhanced IBRS in place of retpolines, and indirect branches that need thunks (ITS): Skylake-X to
 * Ice Lake.
 */
export const ITS_FEATURES: ReadonlySet<number> = new Set(
  [...DEFAULT_FEATURES].filter((feature) => feature !== 11 * 32 + 12),
);
/** Bytes of one of the kernel's own thunks, by register. @source arch/x86/include/asm/nospec-branch.h ITS_THUNK_SIZE */
const ITS_THUNK_BYTES = 64n;

/**
 * @param features CPU features the code is patched for
 * @param its whether indirect branches go through thunks of their own
 * @throws InputError when the kernel lacks a section or symbol modules need
 */
export function moduleHost(
  kernel: KernelFile,
  features: ReadonlySet<number> = DEFAULT_FEATURES,
  its = false,
): ModuleHost {
  const { file } = kernel;
  const fault = (field: string, reason: string): never => {
    throw new InputError({ file, field, reason, remedy: "give the vmlinux or vmlinuz the modules were built for" });
  };
  const base = signedOf(kernel.base);
  const source: ByteSource = {
    bytes: (address, length) =>
      address >= base && address + length <= base + kernel.memory.length
        ? kernel.memory.subarray(address - base, address - base + length)
        : undefined,
  };
  const section = (name: string) => kernel.sections.find((each) => each.name === name);
  const exports: ExportedSymbol[] = [];
  const flags = section("__kflagstab");
  for (const suffix of flags ? [""] : ["", "_gpl"]) {
    const table = section(`__ksymtab${suffix}`) ?? fault(`__ksymtab${suffix}`, "has no such section");
    const sums = section(`__kcrctab${suffix}`);
    const found = readExports(
      source,
      {
        start: signedOf(table.address),
        bytes: Number(table.bytes),
        gpl: suffix === "_gpl",
        ...(sums ? { checksums: signedOf(sums.address) } : {}),
        ...(flags ? { flags: signedOf(flags.address) } : {}),
      },
      undefined,
    );
    exports.push(...(found ?? fault(table.name, "has an entry that leads out of the image")));
  }
  const magicAt = kernel.symbol("vermagic") ?? fault("vermagic", "has no such symbol");
  const magic = source.bytes(signedOf(magicAt), LONGEST_MAGIC) ?? fault("vermagic", "lies outside the image");
  const initial = stateOf(kernel, kernel.memory, kernel.base);
  const thunks = its
    ? (kernel.symbol("__x86_indirect_its_thunk_array") ??
      fault("__x86_indirect_its_thunk_array", "has no such symbol: it was built without ITS thunks"))
    : undefined;
  const running: PatchState = {
    ...initial,
    ...(thunks === undefined
      ? {}
      : { indirectItsThunk: (register: number) => thunks + ITS_THUNK_BYTES * BigInt(register) }),
    has: (feature) => features.has(feature),
    returnThunk: () => (features.has(11 * 32 + 14) ? initial.defaultReturnThunk : undefined),
    keyEnabled: (key) => inside(source, bytesAt(key, 4)) && initial.keyEnabled(key),
    staticCallTarget: (key) => (inside(source, bytesAt(key, 8)) ? initial.staticCallTarget(key) : 0n),
  };
  const keys = trampolineKeys(kernel, source);
  return {
    identity: { vermagic: new TextDecoder("latin1").decode(magic.subarray(0, magic.indexOf(0))) },
    symbols: new SymbolTable(exports),
    percpuStart: signedOf(kernel.symbol("__per_cpu_end") ?? 0x3_4000n),
    patching: running,
    staticCallKey: (trampoline) => keys.get(trampoline),
  };
}

const inside = (source: ByteSource, range: AddressRange): boolean =>
  source.bytes(signedOf(range.start), lengthOf(range)) !== undefined;

/**
 * .static_call_tramp_key: pairs of 32-bit distances, trampoline and key.
 * @source include/linux/static_call_types.h static_call_tramp_key
 */
function trampolineKeys(kernel: KernelFile, source: ByteSource): Map<bigint, bigint> {
  const keys = new Map<bigint, bigint>();
  const [start, stop] = [kernel.symbol("__start_static_call_tramp_key"), kernel.symbol("__stop_static_call_tramp_key")];
  if (start === undefined || stop === undefined) return keys;
  for (let at = start; at + 8n <= stop; at += 8n) {
    const entry = source.bytes(signedOf(at), 8);
    if (!entry) break;
    const view = new DataView(entry.buffer, entry.byteOffset, 8);
    keys.set(at + BigInt(view.getInt32(0, true)), (at + 4n + BigInt(view.getInt32(4, true))) & ~3n);
  }
  return keys;
}
