/**
 * What defect N1 costs: the kernel makes the no-ops in its alternatives long in place, through the mapping of the CPU
 * that boots, so that only that node's copy gets them. The others keep one-byte no-ops, and their CPUs execute them one
 * by one. Source: Linux 6.1 arch/x86/kernel/alternative.c optimize_nops; seen on a port of the series to 6.1 after
 * every boot.
 */
import { addressOfFrame, PAGE } from "@kreplica/hw-x86/api";
import type { CpuId } from "@kreplica/hw-x86";
import { imageAddress, type NoOps } from "@kreplica/mm-core";
import { NOPS } from "@kreplica/text-patch/api";
import type { BootParts } from "./boot-parts.js";

const LONGEST = NOPS.length - 1;
const ONE_BYTE_NOP = 0x90;

/** Instructions a run takes before it is made long beyond those afterwards. */
export const noOpsSpared = (bytes: number): number => bytes - Math.ceil(bytes / LONGEST);

/** Whether a CPU runs a copy whose no-ops stayed short, as its bytes say. */
export function runsShortNoOps({ image, layout, view, machine }: BootParts, cpu: CpuId): boolean {
  const run = image.noOps?.find(({ bytes }) => bytes > 1);
  if (run === undefined || view.holders.length < 2) return false;
  const address = imageAddress(layout, run.address);
  const frame = view.replicaFrame(address, machine.nodeOfCpu(cpu));
  if (frame === undefined) return false;
  const bytes = new Uint8Array(2);
  machine.memory.readBytes(addressOfFrame(frame) + (address & (PAGE - 1n)), bytes);
  return bytes.every((byte) => byte === ONE_BYTE_NOP);
}

/** Runs by the low half of their address, to be found fast. */
export class NoOpFinder {
  private readonly at: Uint32Array;
  private readonly spared: Uint32Array;

  constructor(runs: readonly NoOps[]) {
    this.at = Uint32Array.from(runs, ({ address }) => Number(BigInt.asUintN(32, address)));
    this.spared = Uint32Array.from(runs, ({ bytes }) => noOpsSpared(bytes));
  }

  /**
   * Instructions more that code from here on takes where no-ops are short.
   * @param lo of an address of the image
   * @param bytes in a row
   */
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
