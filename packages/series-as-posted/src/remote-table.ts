/** remote-table: private tables come from the node of the CPU that runs. */
import { overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import { CpuState, KernelTables, PageAllocator } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

export const REMOTE_TABLE: SeriesDefect = {
  id: "remote-table",
  sentence: "private tables come from the node of the CPU that runs",
  patch: "04/12 arch/x86/mm/pat/set_memory.c",
  effect:
    "tables that only one node walks lie on another: made when leaves of the image are split, and in the module area",
  breaks: ["B2"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(KernelTables, (tables, get) => {
      const [allocator, cpus, machine] = [get(PageAllocator), get(CpuState), get(Machine)];
      let editing = 0;
      const allocate = allocator.allocate.bind(allocator);
      allocator.allocate = (node, order, gfp) =>
        editing > 0 && gfp.purpose === "page-table"
          ? allocate(machine.nodeOfCpu(cpus.current), order, { ...gfp, thisNode: false })
          : allocate(node, order, gfp);
      for (const method of ["edit", "editLazily"] as const) {
        const original = tables[method].bind(tables) as KernelTables["edit"];
        tables[method] = (change) => {
          editing++;
          try {
            return original(change);
          } finally {
            editing--;
          }
        };
      }
      return tables;
    }),
  ],
};
