/**
 * Instruction bytes that a CPU has fetched and goes on executing although its text holds others by now.
 * Source: Intel SDM vol. 3A, "Handling Self- and Cross-Modifying Code".
 */
import { addressOfFrame, type CpuId, hex, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { lookup, pageWithin } from "@kreplica/mm-core/api";
import type { WatchedKernel } from "./watched.js";

/**
 * One sentence for each run of fetched bytes of which some are stale. Text that is not mapped there any more, or is
 * another frame's, is nobody's: that no CPU executes it is for whoever unmapped it.
 * @param counts which addresses are looked at
 */
export function* staleInstructions(
  { machine, entries, layout }: Pick<WatchedKernel, "machine" | "entries" | "layout">,
  cpu: CpuId,
  counts: (address: bigint) => boolean,
): Generator<string> {
  const { fetched, rootFrame } = machine.cpu(cpu);
  for (const { address, frame, bytes } of fetched?.save() ?? []) {
    const leaf = lookup(entries.memory, rootFrame, layout.levels, address);
    if (!leaf?.executable || leaf.frame + pageWithin(address, leaf.level) !== frame) continue;
    const now = new Uint8Array(bytes.length);
    machine.memory.readBytes(addressOfFrame(frame) + (address & BigInt(PAGE_BYTES - 1)), now);
    const at = bytes.findIndex((byte, i) => byte !== now[i] && counts(address + BigInt(i)));
    if (at >= 0)
      yield `CPU ${cpu} keeps ${hex(bytes[at]!)} of ${hex(address + BigInt(at))}, fetched before ${hex(now[at]!)} was written there`;
  }
}
