/** Parts of a machine whose first-level TLBs are queues; all else is as its specification asks. */
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { MachineParts } from "@kreplica/hw-x86";
import { FifoTlb } from "./fifo-tlb.js";

/** Second levels are larger: looking through a thousand entries would take the host too long. */
const LARGEST = 128;

/** @param made filled with the buffers as cores come into being; a core has several */
export const fifoTlbs = (made: FifoTlb[] = []): Plugin =>
  plugin("fifo-tlbs", [
    overlay(MachineParts, (ours) => ({
      ...ours,
      tlb(shape, regions) {
        if (shape.entries > LARGEST) return ours.tlb(shape, regions);
        const tlb = new FifoTlb(shape.entries, regions);
        made.push(tlb);
        return tlb;
      },
    })),
  ]);
