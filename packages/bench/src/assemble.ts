/** The composition root: which plugins make a kernel. The lists differ in one line. */
import { assemble, type Assembly, bindValue, plugin, type Plugin } from "@kreplica/di";
import { hwX86, type MachineSpec } from "@kreplica/hw-x86";
import { KernelImage, KernelLayout, KernelOptions, mmCore, singleCopy } from "@kreplica/mm-core";
import { everyNth, numaReplication, perSocket, replicationBy, TEXT_ONLY } from "@kreplica/numa-replication";

/** What a kernel is booted with. */
export interface Ingredients { readonly image: KernelImage; readonly layout: KernelLayout; readonly options: KernelOptions }

const inputs = (given: Ingredients): Plugin => plugin("inputs", [
  bindValue(KernelImage, given.image), bindValue(KernelLayout, given.layout), bindValue(KernelOptions, given.options),
]);

/** Linux as it was, and with the series: the two lists differ in one line. */
export const baseline = (spec: MachineSpec, given: Ingredients): Assembly => assemble([hwX86(spec), inputs(given), mmCore, singleCopy]);
export const replicated = (spec: MachineSpec, given: Ingredients): Assembly => assemble([hwX86(spec), inputs(given), mmCore, numaReplication]);

/** The line by which policies differ. */
export const POLICIES: Readonly<Record<string, { readonly summary: string; readonly plugin: Plugin }>> = {
  "single-copy": { summary: "one copy for all nodes: the kernel without the series", plugin: singleCopy },
  "per-node": { summary: "a copy of text and rodata on every node with memory, the series' defects corrected", plugin: numaReplication },
  "text-only": { summary: TEXT_ONLY.summary, plugin: replicationBy(TEXT_ONLY) },
  "every-nth": { summary: everyNth(2).summary, plugin: replicationBy(everyNth(2)) },
  "per-socket": { summary: perSocket().summary, plugin: replicationBy(perSocket()) },
};

/** A kernel under any policy, or with a plugin of the caller's in its place. */
export const withPolicy = (spec: MachineSpec, given: Ingredients, policy: Plugin): Assembly => assemble([hwX86(spec), inputs(given), mmCore, policy]);
