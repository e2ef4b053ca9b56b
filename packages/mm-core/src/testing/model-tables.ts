/** The slow model of KernelTables: one map from page to mapping for each holder. */
import { type NodeId, PAGE, type PageRange } from "@kreplica/hw-x86/api";
import type { Mapping, Protection } from "../tables/kernel-tables-api.js";

const PAGES = [0, 1, 512, 262144] as const;

/** What every holder's tables should say, page by page. */
export class ModelKernelTables {
  /** `node/page number` -> mapping of the 4 KiB page. */
  private readonly pages = new Map<string, Mapping>();
  constructor(private readonly holders: readonly NodeId[]) {}

  private key(node: NodeId, address: bigint): string {
    return `${node}/${(address >> 12n).toString(16)}`;
  }

  /** @returns whether any page of the leaf is mapped already, in which case nothing changes */
  map(address: bigint, mapping: Omit<Mapping, "frame">, frames: (node: NodeId) => number): boolean {
    const pages = PAGES[mapping.level];
    for (let page = 0; page < pages; page++)
      if (this.pages.has(this.key(this.holders[0]!, address + BigInt(page) * PAGE))) return false;
    for (const node of this.holders) {
      for (let page = 0; page < pages; page++)
        this.pages.set(this.key(node, address + BigInt(page) * PAGE), {
          ...mapping,
          frame: frames(node) + page,
          level: 1,
        });
    }
    return true;
  }

  unmap({ start, pages }: PageRange): void {
    for (const node of this.holders)
      for (let page = 0; page < pages; page++) this.pages.delete(this.key(node, start + BigInt(page) * PAGE));
  }

  protect({ start, pages }: PageRange, change: Partial<Protection>): void {
    for (const node of this.holders) {
      for (let page = 0; page < pages; page++) {
        const key = this.key(node, start + BigInt(page) * PAGE);
        const old = this.pages.get(key);
        if (old) this.pages.set(key, { ...old, ...change });
      }
    }
  }

  /** One holder alone: its frame was changed under an existing leaf. */
  setOne(node: NodeId, address: bigint, mapping: Mapping): void {
    this.pages.set(this.key(node, address), mapping);
  }

  /** Mapping of the page, its frame that of the page itself; undefined for a hole. */
  lookup(node: NodeId, address: bigint): Mapping | undefined {
    return this.pages.get(this.key(node, address));
  }
}
