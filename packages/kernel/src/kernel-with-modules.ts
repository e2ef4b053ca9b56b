/**
 * A booted kernel that can load modules: the boot facade's plugins with set-memory, vmalloc, text-patch's rules and the
 * loader beside them.
 */
import { bindValue, plugin } from "@kreplica/di";
import { imageOf, type KernelFile, withNoOps } from "@kreplica/kernel-files";
import {
  ModuleHost,
  ModuleLoader,
  modulesWith,
  replicateAll,
  tablePatching,
  type ModulePolicy,
} from "@kreplica/modules";
import { setMemory } from "@kreplica/set-memory";
import { Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { boot, type Booted, type BootOptions } from "./boot.js";
import { policyOf } from "./policies.js";

/** A kernel with its real bytes, where its modules come from, and what of them is copied. */
export interface ModuleKernelOptions extends Omit<BootOptions, "image"> {
  readonly kernel: KernelFile;
  readonly host: ModuleHost;
  readonly modulePolicy?: ModulePolicy;
}

/** A kernel and its loader. */
export interface ModuleKernel extends Booted {
  readonly vmalloc: Vmalloc;
  readonly loader: ModuleLoader;
}

/** @throws InputError for an unknown policy, or options that contradict the machine */
export function bootWithModules(options: ModuleKernelOptions): ModuleKernel {
  const { kernel, host, modulePolicy = policyOf(options.policy).modules ?? replicateAll, ...rest } = options;
  const booted = boot({
    ...rest,
    image: (alignment) => withNoOps(imageOf(kernel, alignment), kernel),
    plugins: [
      setMemory,
      vmalloc,
      modulesWith(modulePolicy),
      tablePatching,
      plugin("module host", [bindValue(ModuleHost, host)]),
      ...(rest.plugins ?? []),
    ],
  });
  return { ...booted, vmalloc: booted.assembly.get(Vmalloc), loader: booted.assembly.get(ModuleLoader) };
}
