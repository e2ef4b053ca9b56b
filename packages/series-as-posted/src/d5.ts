/** D5: generated code becomes executable in one node's tables alone. */
import { overlay } from "@kreplica/di";
import { Bit, isLeaf, isPresent, NO_EXECUTE, PAGE } from "@kreplica/hw-x86/api";
import { KernelLayout, ReplicaView, TableMemory, walk } from "@kreplica/mm-core/api";
import { SetMemory, type PageRange } from "@kreplica/set-memory/api";
import type { SeriesDefect } from "./defect.js";

export const D5: SeriesDefect = {
  id: "D5",
  sentence: "generated code becomes executable in one node's tables alone",
  patch: "none: set_memory_rox in arch/x86/kernel/ftrace.c and bpf_jit_binary_lock_ro are not converted",
  effect:
    "trampolines of ftrace and BPF images stay writable and not executable on every other node, whose CPUs fault on them",
  breaks: ["B6", "E11"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(SetMemory, (memory, get) => {
      const [entries, view, layout] = [get(TableMemory), get(ReplicaView), get(KernelLayout)];
      memory.readOnlyExecutable = ({ start, pages }: PageRange): void => {
        for (let page = 0; page < pages; page++) {
          const place = walk(
            entries.memory,
            view.kernelRoot(view.holders[0]!),
            layout.levels,
            start + BigInt(page) * PAGE,
          );
          const { table, index, lo, hi, level } = place;
          if (isPresent(lo) && isLeaf(lo, level))
            entries.write(table, index, (lo & ~Bit.Writable) >>> 0, (hi & ~NO_EXECUTE) >>> 0);
        }
      };
      return memory;
    }),
  ],
};
