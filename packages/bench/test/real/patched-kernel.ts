/** A real kernel booted in the model, patched on the way up as Linux patches itself, in every replica. */
import type { Booted } from "@kreplica/kernel";
import { imageOf, type KernelFile, patchTables, stateOf } from "@kreplica/kernel-files";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { textPokeOf } from "@kreplica/replay";
import {
  patchAlternatives,
  type PatchableText,
  patchEarly,
  patchFtrace,
  type PatchState,
  type PatchTables,
} from "@kreplica/text-patch/api";
import type { ReplicaTextPoke } from "@kreplica/text-patch";
import { setMemory } from "@kreplica/set-memory";
import { vmalloc } from "@kreplica/vmalloc";
import { boot } from "../../src/boot.js";

export interface PatchedKernel extends Booted {
  readonly poke: ReplicaTextPoke;
  readonly tablesOfSites: PatchTables;
  readonly state: PatchState;
}

/** X86_FEATURE_* of a CPU like the modelled ones: REP_GOOD, ERMS, POPCNT, no thunks needed. */
const FEATURES = new Set([3 * 32 + 16, 9 * 32 + 9, 4 * 32 + 23]);

export function bootPatched(
  kernel: KernelFile,
  options: {
    readonly nodes?: number;
    readonly policy?: string;
    readonly bootCpu?: number;
    /** No-ops optimised in the boot CPU's copy alone. */ readonly n1?: boolean;
    /** X86_FEATURE_* the CPU has beside {@link FEATURES}. */ readonly features?: (feature: number) => boolean;
    /** Called for every site N1 rewrites in one copy. */ readonly onN1?: (
      address: bigint,
      bytes: Uint8Array,
      why: string,
    ) => void;
  } = {},
): PatchedKernel {
  const image = imageOf(kernel, options.policy === "single-copy" ? "recorded" : "patch-06");
  const tables = patchTables(kernel);
  const fromFile = stateOf(kernel, kernel.memory, kernel.base);
  const state: PatchState = {
    ...fromFile,
    indirectThunks: fromFile.indirectThunks,
    defaultReturnThunk: fromFile.defaultReturnThunk,
    staticCallReturn0: fromFile.staticCallReturn0,
    has: (feature) => FEATURES.has(feature) || options.features?.(feature) === true,
    returnThunk: () => undefined,
    cpus: 4,
  };
  let poke: ReplicaTextPoke | undefined;
  const booted = boot({
    spec: tinyMachine({ nodes: options.nodes ?? 2, coresPerNode: 1 }),
    policy: options.policy ?? "per-node",
    image,
    plugins: [setMemory, vmalloc],
    ...(options.bootCpu === undefined ? {} : { bootCpu: options.bootCpu }),
    before(parts) {
      poke = textPokeOf(parts);
      const text: PatchableText = {
        read: (range) => poke!.read(range),
        write: (address, bytes) => poke!.early(address, bytes),
      };
      const core = (address: bigint): boolean => address >= image.stext && address < image.etext;
      // Init text is not loaded into the model: it is gone before anything runs.
      const kept: PatchTables = {
        ...tables,
        alternatives: tables.alternatives.filter(({ address }) => core(address)),
        paravirt: tables.paravirt.filter(({ address }) => core(address)),
        retpolines: tables.retpolines.filter(core),
        returns: tables.returns.filter(core),
        jumpLabels: tables.jumpLabels.filter(({ address }) => core(address)),
        staticCalls: tables.staticCalls.filter(({ address }) => core(address)),
        ftrace: tables.ftrace.filter(core),
      };
      // Replacements lie in init memory, which the model does not load: read from the file.
      const withReplacements: PatchableText = {
        ...text,
        read: (range) => (core(range.start) ? text.read(range) : kernel.bytes(range).slice()),
      };
      parts.boot.during("setup-arch", () => `${JSON.stringify(patchEarly(text, kept, state))} sites`);
      parts.boot.during("ftrace-init", () => `${JSON.stringify(patchFtrace(text, kept))} sites`);
      const local: PatchableText = {
        read: withReplacements.read,
        write(address, bytes, why) {
          options.onN1?.(address, bytes, why);
          const node = parts.machine.nodeOfCpu(parts.cpus.current);
          bytes.forEach((byte, i) => {
            const at = address + BigInt(i);
            parts.machine.memory.writeBytes(
              (BigInt(parts.view.replicaFrame(at, node)!) << 12n) + (at & 4095n),
              Uint8Array.of(byte),
            );
          });
        },
      };
      parts.boot.during(
        "alternatives",
        () =>
          `${JSON.stringify(patchAlternatives(withReplacements, kept, state, core, options.n1 ? local : undefined))} sites`,
      );
    },
  });
  return { ...booted, poke: poke!, tablesOfSites: tables, state };
}
