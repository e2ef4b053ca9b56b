/**
 * A service that reads kernel text as each node's CPUs see it, and says which pages are not as they were: a flipped
 * bit in one copy is wrong code on one node alone, which no other node ever notices.
 */
import { token } from "@kreplica/di";
import type { Machine, NodeId } from "@kreplica/hw-x86/api";
import {
  imageAddress,
  type KernelImage,
  type KernelLayout,
  type KernelTables,
  type ReplicaView,
} from "@kreplica/mm-core/api";

/** A page of one node's copy that is not what the most of the copies have, or not what it was. */
export interface ChangedPage {
  readonly node: NodeId;
  /** Of the page, as the kernel runs it. */
  readonly address: bigint;
}

/** What the subsystem gives to others: an interface, and a token of the same name. */
export interface TextChecksums {
  /** One number for all of a node's text, 32 bits; equal on all nodes in a healthy kernel. */
  of(node: NodeId): number;
  /** Remembers what all pages are now: after boot, and after each patch of text. */
  remember(): void;
  /** Pages that are not what they were when last remembered, by holder and address. */
  changed(): readonly ChangedPage[];
}
export const TextChecksums = token<TextChecksums>("text-checksums/TextChecksums");

const PAGE = 4096n;
/** FNV-1a's numbers, a word at a step instead of a byte. @source Fowler, Noll and Vo, "FNV Hash" */
const START = 0x811c_9dc5;
const mixed = (hash: number, word: number): number => Math.imul(hash ^ word, 0x0100_0193) >>> 0;

/** Reads the machine's bytes by way of each holder's own tables; asks nobody how many copies there are. */
export class ReadingChecksums implements TextChecksums {
  private known = new Map<string, number>();

  constructor(
    private readonly tables: KernelTables,
    private readonly view: ReplicaView,
    private readonly image: KernelImage,
    private readonly layout: KernelLayout,
    private readonly machine: Machine,
  ) {}

  of(node: NodeId): number {
    let hash = START;
    for (const address of this.pages()) hash = mixed(hash, this.page(node, address));
    return hash;
  }

  remember(): void {
    this.known = new Map(this.all());
  }

  changed(): readonly ChangedPage[] {
    const found: ChangedPage[] = [];
    for (const [key, hash] of this.all()) {
      if (this.known.get(key) === hash) continue;
      const [node, address] = key.split(" ");
      found.push({ node: Number(node), address: BigInt(address!) });
    }
    return found;
  }

  private *all(): Iterable<[string, number]> {
    for (const node of this.view.holders)
      for (const address of this.pages()) yield [`${node} ${address}`, this.page(node, address)];
  }

  private *pages(): Iterable<bigint> {
    const end = imageAddress(this.layout, this.image.etext);
    for (let address = imageAddress(this.layout, this.image.stext); address < end; address += PAGE) yield address;
  }

  /** @throws RangeError for a page that the node's tables do not map */
  private page(node: NodeId, address: bigint): number {
    const leaf = this.tables.lookup(this.view.nearest(node), address);
    if (!leaf) throw new RangeError(`node ${node} maps no text at 0x${address.toString(16)}`);
    // A leaf of 2 MiB starts at its first frame.
    const frame = leaf.frame + (leaf.level === 1 ? 0 : Number((address >> 12n) & 511n));
    let hash = START;
    for (let word = 0; word < 1024; word++) hash = mixed(hash, this.machine.memory.read32(frame, word));
    return hash;
  }
}
