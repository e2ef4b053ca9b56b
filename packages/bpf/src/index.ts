/**
 * BPF on the modelled kernel: objects, verifier, interpreter, JIT, and the images that the series keeps equal on every
 * node.
 */
import { bind, type Plugin, plugin } from "@kreplica/di";
import type { NodeId } from "@kreplica/hw-x86/api";
import { Dispatcher } from "./image/dispatcher.js";
import { ProgramPacks } from "./image/prog-pack.js";
import { StructOpsImages } from "./image/struct-ops.js";
import { Trampolines } from "./image/trampoline.js";
import { Helpers, KernelDispatcher, KernelStructOps, KernelTrampolines, Packs, ProgramMemory } from "./images-api.js";
import { HelperPage } from "./kernel/helper-page.js";
import { kernelCode } from "./kernel/kernel-code.js";
import { KernelMemory } from "./kernel/kernel-memory.js";

export * from "./api.js";
export { decode, encode, Code } from "./isa/code.js";
export { assemble } from "./isa/assemble.js";
export { disassemble, disassembleOne } from "./isa/disassemble.js";
export { Interpreter, Outcome, type Environment } from "./interpreter.js";
export { fixedHost, type FixedHost, type HostCpus } from "./fixed-host.js";
export { RegionMemory, type Region } from "./memory.js";
export { readObject } from "./object/read-object.js";
export { verify } from "./verify/verifier.js";
export { contextShape, type ContextShape } from "./verify/context.js";
export { compile, type Compiled, type CompileRequest } from "./jit/compile.js";
export { createMap } from "./maps/create.js";
export { type BpfMap, MapResult, UpdateFlag } from "./maps/map.js";
export { RingBuffer } from "./maps/ring.js";
export { helperIds, helperPrototype, type HelperPrototype } from "./helpers/prototypes.js";
export { helpersOf, LoadedObject } from "./load.js";
export { CHUNK_BYTES, PACK_BYTES, ProgramPacks } from "./image/prog-pack.js";
export { MOST_PROGRAMS, trampolineCode, Trampolines } from "./image/trampoline.js";
export { Dispatcher, dispatcherCode, MOST_DISPATCHED } from "./image/dispatcher.js";
export { StructOpsImages } from "./image/struct-ops.js";

/**
 * The images; the ports CodeAreas, CodePermissions, CodeWriter and CodeReplication are to be bound beside it, by {@link
 * kernelCode} or a fake.
 */
export const bpfImages: Plugin = plugin("bpf", [
  bind(Packs, ProgramPacks),
  bind(KernelTrampolines, Trampolines),
  bind(KernelDispatcher, Dispatcher),
  bind(KernelStructOps, StructOpsImages),
]);

/**
 * BPF on a kernel with vmalloc, set-memory and text-patch.
 *
 * @param replicate a copy of each image on every node; off by default, as in the series
 * @param node of every image; the master when absent
 */
export const bpf = (replicate = false, node?: NodeId): Plugin =>
  plugin("bpf", [
    ...kernelCode(replicate, node).bindings,
    ...bpfImages.bindings,
    bind(ProgramMemory, KernelMemory),
    bind(Helpers, HelperPage),
  ]);
export { HelperPage, kernelCode, KernelMemory };
export {
  type CompiledCall,
  type CompiledResult,
  type ExecutingCpu,
  HELPER_STUB,
  runCompiled,
  STUB_BYTES,
  stubAddress,
} from "./jit/run-compiled.js";
