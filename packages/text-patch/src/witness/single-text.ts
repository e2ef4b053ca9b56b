/**
 * Kernel text as a kernel with one copy would have it: pages written to so far, in plain arrays, against which every
 * copy is compared.
 */
import {
  addressOfFrame,
  type AddressRange,
  alignDown,
  type Frame,
  hex,
  lengthOf,
  type Machine,
  type NodeId,
  NONE,
  PAGE,
  PAGE_BYTES,
} from "@kreplica/hw-x86/api";
import { frameAt, invariant, type KernelLayout, type ReplicaView, type TableMemory } from "@kreplica/mm-core/api";

/** The parts of a kernel that are looked at. */
export interface WitnessedKernel {
  readonly machine: Machine;
  readonly entries: TableMemory;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
}

/** Reads through each holder's own tables, never through text-patch's idea of where copies are. */
export class TextReader {
  constructor(private readonly kernel: WitnessedKernel) {}

  /** Frame of each page of a run on a holder. */
  frames(node: NodeId, range: AddressRange): Frame[] {
    const { entries, view, layout } = this.kernel;
    const frames: Frame[] = [];
    for (let page = alignDown(range.start, PAGE); page < range.end; page += PAGE) {
      frames.push(frameAt(entries.memory, view.kernelRoot(node), layout.levels, page) ?? NONE);
    }
    return frames;
  }

  /** Distinct frames of a run over all holders: as many runs as there are copies. */
  copies(range: AddressRange): { readonly node: NodeId; readonly frames: readonly Frame[] }[] {
    const found: { node: NodeId; frames: readonly Frame[] }[] = [];
    for (const node of this.kernel.view.holders) {
      const frames = this.frames(node, range);
      if (!found.some((each) => each.frames.every((frame, i) => frame === frames[i]))) found.push({ node, frames });
    }
    return found;
  }

  bytes(node: NodeId, range: AddressRange): Uint8Array {
    return this.through(node, range, this.frames(node, range));
  }

  /** As {@link bytes}, through frames looked up before. */
  through(node: NodeId, range: AddressRange, frames: readonly Frame[]): Uint8Array {
    const { start } = range;
    const length = lengthOf(range);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const within = Number(start & (PAGE - 1n)) + done;
      const count = Math.min(length - done, PAGE_BYTES - (within & 4095));
      const frame = frames[within >> 12]!;
      invariant(frame !== NONE, `${hex(start + BigInt(done))} is not mapped on node ${node}`);
      this.kernel.machine.memory.readBytes(
        addressOfFrame(frame) + BigInt(within & 4095),
        bytes.subarray(done, done + count),
      );
      done += count;
    }
    return bytes;
  }
}

/** What one copy would hold. */
export class SingleText {
  private readonly pages = new Map<bigint, Uint8Array>();
  /** @param read the bytes before anything was written */
  constructor(private readonly read: (page: bigint) => Uint8Array) {}

  bytes(range: AddressRange): Uint8Array {
    return Uint8Array.from({ length: lengthOf(range) }, (_, i) => {
      const at = range.start + BigInt(i);
      return this.page(at)[Number(at & (PAGE - 1n))]!;
    });
  }

  write(address: bigint, bytes: Uint8Array): void {
    bytes.forEach((byte, i) => {
      this.page(address + BigInt(i))[Number((address + BigInt(i)) & (PAGE - 1n))] = byte;
    });
  }

  /** Every page that was looked at or written. */
  get touched(): ReadonlyMap<bigint, Uint8Array> {
    return this.pages;
  }

  private page(address: bigint): Uint8Array {
    const start = address & ~(PAGE - 1n);
    let page = this.pages.get(start);
    if (!page) this.pages.set(start, (page = this.read(start)));
    return page;
  }
}
