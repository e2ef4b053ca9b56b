/** N1: no-ops optimised in place change one copy alone. */
import { overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import {
  CpuState,
  imageAddress,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelOptions,
  ReplicaView,
} from "@kreplica/mm-core/api";
import { nops, TextPoke } from "@kreplica/text-patch/api";
import type { SeriesDefect } from "./defect.js";
import { writeInCopy } from "./write-in-copy.js";

const ONE_BYTE_NOP = 0x90;

export const N1: SeriesDefect = {
  id: "N1",
  sentence: "no-ops optimised in place change one copy alone",
  patch: "08/12 arch/x86/kernel/alternative.c: optimize_nops is not converted",
  effect:
    "copies of text differ after every boot, and other nodes execute the padding of alternatives one byte at a time",
  breaks: ["A1"],
  confirmed: "seen on a running kernel",
  overlays: [
    overlay(TextPoke, (poke, get) => {
      const [machine, cpus, view] = [get(Machine), get(CpuState), get(ReplicaView)];
      const early = poke.early.bind(poke);
      poke.early = (address: bigint, bytes: Uint8Array): void => {
        if (view.holders.length < 2) return early(address, bytes);
        writeInCopy({ view, machine }, machine.nodeOfCpu(cpus.current), address, bytes);
      };
      return poke;
    }),
    overlay(KernelBoot, (boot, get) => {
      const [machine, view, image, layout, options] = [
        get(Machine),
        get(ReplicaView),
        get(KernelImage),
        get(KernelLayout),
        get(KernelOptions),
      ];
      boot.during("alternatives", () => {
        const runs = image.noOps ?? [];
        if (view.holders.length < 2 || runs.length === 0) return "";
        // Through the mapping of the CPU that boots.
        const home = view.nearest(machine.nodeOfCpu(options.bootCpu));
        for (const { address, bytes } of runs) {
          // The padding itself reaches every copy; what takes its place, one.
          for (const node of view.holders)
            writeInCopy(
              { view, machine },
              node,
              imageAddress(layout, address),
              node === home ? nops(bytes) : new Uint8Array(bytes).fill(ONE_BYTE_NOP),
            );
        }
        return `${runs.length} runs of no-ops made long in node ${home}'s copy alone`;
      });
      return boot;
    }),
  ],
};
