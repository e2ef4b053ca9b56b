/** How defects write to one node's copy of the image and to no other. */
import { addressOfFrame, type Machine, type NodeId, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import type { ReplicaView } from "@kreplica/mm-core/api";

/** Writes bytes of the image into one node's copy, page by page. */
export function writeInCopy(
  { view, machine }: { readonly view: ReplicaView; readonly machine: Machine },
  node: NodeId,
  address: bigint,
  bytes: Uint8Array,
): void {
  for (let at = 0; at < bytes.length;) {
    const live = address + BigInt(at);
    const within = Number(live & (PAGE - 1n));
    const part = bytes.subarray(at, at + PAGE_BYTES - within);
    const frame = view.replicaFrame(live, node);
    if (frame !== undefined) machine.memory.writeBytes(addressOfFrame(frame) + BigInt(within), part);
    at += part.length;
  }
}
