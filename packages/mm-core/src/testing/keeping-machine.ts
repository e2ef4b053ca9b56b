/**
 * A machine whose CPUs forget no translation unless they are told to: what every real one may do. The slow model of a
 * TLB: maps without an end, leaves by PCID and page, tables by PCID and what of an address leads to them.
 *
 * Not-present entries are not kept. INVPCID of an address takes what leads to that address and nothing else; INVLPG, as
 * documented, all tables of the current PCID. Accessed and dirty bits are not set.
 * Source: Intel SDM vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches".
 */
import {
  type CpuId,
  FAULT,
  type Frame,
  frameOf,
  fromHalves,
  isLeaf,
  isPresent,
  leafFrame,
  type NodeId,
} from "@kreplica/hw-x86/api";
import { type StubMachine, type StubMemory, StubCpu, stubMachine, type StubNode } from "./stub-machine.js";

interface Leaf {
  readonly page: bigint;
  readonly pcid: number;
  readonly global: boolean;
  readonly frame: Frame;
  readonly write: boolean;
  readonly user: boolean;
  readonly execute: boolean;
}
interface Lower {
  readonly pcid: number;
  readonly level: number;
  readonly prefix: bigint;
  readonly table: Frame;
  readonly write: boolean;
  readonly user: boolean;
  readonly execute: boolean;
}

const PCIDE = 1 << 17;
const KEEP = 1n << 63n;
const pageOf = (address: bigint): bigint => BigInt.asUintN(64, address) >> 12n;
/** What of a page number leads to a table of a level. */
const prefixOf = (page: bigint, level: number): bigint => page >> BigInt(9 * level);

export class KeepingCpu extends StubCpu {
  private leaves: Leaf[] = [];
  private lowers: Lower[] = [];

  constructor(
    id: CpuId,
    node: NodeId,
    private readonly memory: StubMemory,
    private readonly levels: 4 | 5,
  ) {
    super(id, node);
  }

  override writeCr3(value: bigint): void {
    super.writeCr3(value);
    const tagged = (this.cr4 & PCIDE) !== 0;
    if (!tagged || (value & KEEP) === 0n) this.drop((pcid) => !tagged || pcid === this.pcid);
  }

  override load(lo: number, hi: number): number {
    return this.access(fromHalves(lo >>> 0, hi >>> 0), "read");
  }
  override store(lo: number, hi: number): number {
    return this.access(fromHalves(lo >>> 0, hi >>> 0), "write");
  }
  override fetch(lo: number, hi: number): number {
    return this.access(fromHalves(lo >>> 0, hi >>> 0), "execute");
  }

  override invlpg(address: bigint): void {
    super.invlpg(address);
    const page = pageOf(address);
    this.leaves = this.leaves.filter((leaf) => leaf.page !== page || (leaf.pcid !== this.pcid && !leaf.global));
    this.lowers = this.lowers.filter(({ pcid }) => pcid !== this.pcid);
  }

  override invpcid(type: 0 | 1 | 2 | 3, pcid: number, address: bigint): void {
    super.invpcid(type, pcid, address);
    const page = pageOf(address);
    if (type === 0) {
      this.leaves = this.leaves.filter((leaf) => leaf.page !== page || leaf.pcid !== pcid || leaf.global);
      this.lowers = this.lowers.filter((lower) => lower.pcid !== pcid || lower.prefix !== prefixOf(page, lower.level));
    } else if (type === 1) this.drop((each) => each === pcid);
    else this.drop(() => true, type === 2);
  }

  override flushTranslations(): void {
    super.flushTranslations();
    this.drop(() => true, true);
  }

  private drop(gone: (pcid: number) => boolean, globals = false): void {
    this.leaves = this.leaves.filter((leaf) => (leaf.global ? !globals : !gone(leaf.pcid)));
    this.lowers = this.lowers.filter(({ pcid }) => !gone(pcid));
  }

  private access(address: bigint, kind: "read" | "write" | "execute"): number {
    const page = pageOf(address);
    const leaf =
      this.leaves.find((each) => each.page === page && (each.global || each.pcid === this.pcid)) ?? this.walk(page);
    if (!leaf) return FAULT;
    if (
      (this.privilege === 3 && !leaf.user) ||
      (kind === "write" && !leaf.write) ||
      (kind === "execute" && !leaf.execute)
    ) {
      // A fault that protection raises takes the entry with it.
      this.leaves = this.leaves.filter((each) => each !== leaf);
      return FAULT | 1;
    }
    this.lastFrame = leaf.frame;
    return 0;
  }

  /** From the deepest table that is kept. */
  private walk(page: bigint): Leaf | undefined {
    const { pcid } = this;
    const kept = this.lowers
      .filter((each) => each.pcid === pcid && each.prefix === prefixOf(page, each.level))
      .sort((a, b) => a.level - b.level)[0];
    let { level, table, write, user, execute } = kept ?? {
      level: this.levels as number,
      table: this.rootFrame,
      write: true,
      user: true,
      execute: true,
    };
    for (; ; level--) {
      const index = Number((page >> BigInt(9 * (level - 1))) & 511n);
      const lo = this.memory.read32(table, index * 2);
      const hi = this.memory.read32(table, index * 2 + 1);
      if (!isPresent(lo)) return undefined;
      write &&= (lo & 2) !== 0;
      user &&= (lo & 4) !== 0;
      execute &&= hi >>> 31 === 0;
      if (isLeaf(lo, level)) {
        const within = Number(page & ((1n << BigInt(9 * (level - 1))) - 1n));
        const leaf: Leaf = {
          page,
          pcid,
          global: (lo & 0x100) !== 0,
          frame: leafFrame(lo, hi, level) + within,
          write,
          user,
          execute,
        };
        this.leaves.push(leaf);
        return leaf;
      }
      table = frameOf(lo, hi);
      this.lowers.push({ pcid, level: level - 1, prefix: prefixOf(page, level - 1), table, write, user, execute });
    }
  }
}

/** A {@link stubMachine} of such CPUs, their PCIDs on. */
export const keepingMachine = (nodes: readonly StubNode[], levels: 4 | 5 = 4, pcid = true): StubMachine =>
  stubMachine(nodes, undefined, (id, node, memory) => {
    const cpu = new KeepingCpu(id, node, memory, levels);
    cpu.cr4 = pcid ? PCIDE : 0;
    return cpu;
  });
