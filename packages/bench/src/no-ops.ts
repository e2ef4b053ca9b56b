/**
 * Defect N1: the kernel makes the no-ops in its alternatives long in place, through the mapping of the CPU that boots, so that only that
 * node's copy gets them. The others keep one-byte no-ops, and their CPUs execute them one by one.
 * Source: Linux 6.1 arch/x86/kernel/alternative.c optimize_nops; seen on a port of the series to 6.1 after every boot.
 */
import type { CpuId } from "@kreplica/hw-x86";
import { imageAddress, type NoOps } from "@kreplica/mm-core";
import { NOPS, nops } from "@kreplica/text-patch/api";
import type { BootParts } from "./boot-parts.js";

const LONGEST = NOPS.length - 1;

/** Instructions a run takes before it is made long beyond those afterwards. */
export const noOpsSpared = (bytes: number): number => bytes - Math.ceil(bytes / LONGEST);

/** Lays the defect over a kernel before its first step. */
export function leaveNoOpsShort({ boot, view, image, layout, machine, options }: BootParts): void {
  boot.during("alternatives", () => {
    const runs = image.noOps ?? [];
    if (view.holders.length < 2 || runs.length === 0) return "";
    const home = homeOfNoOps({ view, machine, options });
    for (const { address, bytes } of runs) {
      for (const node of view.holders) {
        // The padding itself reaches every copy; what takes its place, one.
        const written = node === home ? nops(bytes) : new Uint8Array(bytes).fill(0x90);
        for (let at = 0; at < bytes;) {
          const live = imageAddress(layout, address) + BigInt(at);
          const within = Number(live & 4095n);
          const part = written.subarray(at, at + 4096 - within);
          const frame = view.replicaFrame(live, node);
          if (frame !== undefined) machine.memory.writeBytes((BigInt(frame) << 12n) + BigInt(within), part);
          at += part.length;
        }
      }
    }
    return `${runs.length} runs of no-ops made long in node ${home}'s copy alone`;
  });
}

/** Holder whose copy has the long no-ops: that of the CPU that booted. */
const homeOfNoOps = ({ view, machine, options }: Pick<BootParts, "view" | "machine" | "options">): number => view.nearest(machine.nodeOfCpu(options.bootCpu));

/** Whether a CPU runs a copy whose no-ops stayed short. */
export const runsShortNoOps = (parts: BootParts, cpu: CpuId): boolean =>
  parts.options.defects?.has("N1") === true && parts.view.holders.length > 1 && parts.view.nearest(parts.machine.nodeOfCpu(cpu)) !== homeOfNoOps(parts);

/** Runs by the low half of their address, to be found fast. */
export class NoOpFinder {
  private readonly at: Uint32Array;
  private readonly spared: Uint32Array;

  constructor(runs: readonly NoOps[]) {
    this.at = Uint32Array.from(runs, ({ address }) => Number(BigInt.asUintN(32, address)));
    this.spared = Uint32Array.from(runs, ({ bytes }) => noOpsSpared(bytes));
  }

  /** Instructions more that code from here on takes where no-ops are short. @param lo of an address of the image @param bytes in a row */
  in(lo: number, bytes: number): number {
    let first = 0;
    let end = this.at.length;
    while (first < end) {
      const middle = (first + end) >>> 1;
      if (this.at[middle]! < lo) first = middle + 1;
      else end = middle;
    }
    let more = 0;
    for (; first < this.at.length && this.at[first]! < lo + bytes; first++) more += this.spared[first]!;
    return more;
  }
}
