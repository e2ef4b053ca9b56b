/** What every holder maps of an area, looked up once for all checks of it. */
import { type Frame, type NodeId, NONE, PAGE } from "@kreplica/hw-x86/api";
import type { ReplicaView } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "./api.js";

export class AreaPages {
  /** By page: each holder's frame, in the holders' order; NONE for a hole. */
  private readonly frames: readonly (readonly Frame[])[];

  constructor(
    { vmalloc, view }: { readonly vmalloc: Vmalloc; readonly view: ReplicaView },
    private readonly area: VmArea,
  ) {
    const onNode = (node: NodeId, page: number): Frame => vmalloc.toFrameOn(node, this.address(page));
    this.frames = Array.from({ length: area.pages }, (_, page) => view.holders.map((holder) => onNode(holder, page)));
  }

  /** Calls `each` for every page, holes too. */
  forEach(each: (address: bigint, frames: readonly Frame[], page: number) => void): void {
    this.frames.forEach((frames, page) => {
      each(this.address(page), frames, page);
    });
  }

  /** Calls `each` for every page that all holders map. */
  forEachMapped(each: (address: bigint, frames: readonly Frame[], page: number) => void): void {
    this.forEach((address, frames, page) => {
      if (!frames.includes(NONE)) each(address, frames, page);
    });
  }

  private address(page: number): bigint {
    return this.area.start + BigInt(page) * PAGE;
  }
}
