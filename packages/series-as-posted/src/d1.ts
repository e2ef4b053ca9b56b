/** D1: a node's root is asked for before there is one. */
import { overlay } from "@kreplica/di";
import { NONE } from "@kreplica/hw-x86/api";
import { ReplicaView } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const D1: SeriesDefect = {
  id: "D1",
  sentence: "a node's root is asked for before there is one",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel",
  effect:
    "CR3 is loaded with 0 by every CPU that is not on logical node 0 and comes up before the tables are copied: the kernel hangs silently in trap_init",
  breaks: ["B7"],
  confirmed: "seen on a running kernel",
  configuration: "boot CPU elsewhere",
  overlays: [
    overlay(ReplicaView, (view) => {
      let replicated = false;
      const kernelRoot = view.kernelRoot.bind(view);
      // Node 0's entry is the boot table by being the union of init_mm.pgd.
      view.kernelRoot = (node) => (replicated || node === 0 ? kernelRoot(node) : NONE);
      const replicate = view.replicateKernel.bind(view);
      view.replicateKernel = () => {
        replicated = true;
        replicate();
      };
      return view;
    }),
  ],
};
