/** A fake kernel with the loader on it. */
import { bindValue, plugin, type Plugin } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { SetMemory } from "@kreplica/set-memory/api";
import { Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { fakeKernel, type FakeKernel } from "@kreplica/vmalloc/testing";
import {
  ModuleHost,
  ModuleLoader,
  modulesWith,
  noPatching,
  replicateAll,
  tablePatching,
  type ModulePolicy,
} from "../../src/index.js";
import { tinyHost } from "../../src/testing.js";

export interface LoaderKernel extends FakeKernel {
  readonly vm: Vmalloc;
  readonly loader: ModuleLoader;
  readonly host: ModuleHost;
}

export interface LoaderOptions {
  readonly holders?: readonly number[];
  readonly nodes?: readonly number[];
  readonly host?: ModuleHost;
  readonly policy?: ModulePolicy;
  readonly vmallocPlugin?: Plugin;
  readonly framesPerNode?: number;
}

export function loaderKernel({
  holders = [0, 1],
  nodes = holders,
  host = tinyHost(),
  policy = replicateAll,
  vmallocPlugin = vmalloc,
  framesPerNode = 512,
}: LoaderOptions = {}): LoaderKernel {
  // Filled below: the tables come into being with the kernel.
  const late: { kernel?: FakeKernel } = {};
  const setMemory: Pick<SetMemory, "changeAll"> = {
    changeAll: (changes) =>
      late.kernel!.tables.edit((editor) => {
        for (const { range, change, alias } of changes) editor.protect(range, change, alias);
      }),
  };
  const kernel = fakeKernel({
    holders,
    nodes,
    framesPerNode,
    plugins: [
      vmallocPlugin,
      modulesWith(policy),
      host.patching ? tablePatching : noPatching,
      plugin("stubs", [
        bindValue(SetMemory, setMemory as SetMemory),
        bindValue(ModuleHost, host),
        bindValue(Machine, { distance: (from: number, to: number) => (from === to ? 10 : 21) } as Machine),
      ]),
    ],
  });
  late.kernel = kernel;
  return { ...kernel, vm: kernel.assembly.get(Vmalloc), loader: kernel.assembly.get(ModuleLoader), host };
}
