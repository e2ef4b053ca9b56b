/**
 * A booted kernel that can load modules: the boot facade's plugins with set-memory, vmalloc, text-patch's rules and the
 * loader beside them.
 */
import { bindValue, plugin } from "@kreplica/di";
import { InputError } from "@kreplica/inputs";
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
import { POLICIES } from "./assemble.js";
import { boot, type Booted, type BootOptions } from "./boot.js";

export interface ModuleKernelOptions extends Omit<BootOptions, "policy" | "image"> {
  /** A name of POLICIES. */
  readonly policy: string;
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
  const { policy, kernel, host, ...more } = options;
  const view = POLICIES[policy];
  if (!view)
    throw new InputError({
      file: "--policy",
      reason: `there is no policy ${policy}`,
      remedy: `choose one of ${Object.keys(POLICIES).join(", ")}`,
    });
  const { modulePolicy = view.modules ?? replicateAll, ...rest } = more;
  const booted = boot({
    ...rest,
    policy,
    image: withNoOps(imageOf(kernel, policy === "single-copy" ? "recorded" : "patch-06"), kernel),
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
