/**
 * The poking address space: a user-range alias through which read-only text is written, in tables of its own that no
 * other CPU loads.
 *
 *   root of each holder --+
 *   root of each holder --+-> [P4D] -> PUD -> PMD -> PTE page with two entries: the page under the site, and the next one
 *
 * The series keeps one root, node 0's, so that a poking CPU runs another node's text (D15). Here every holder has a
 * root, and all share the lower tables.
 */
import {
  addressOfFrame,
  Bit,
  type CpuId,
  entryHigh,
  entryLow,
  FAULT,
  type Frame,
  hex,
  highOf,
  lowOf,
  type Machine,
  type NodeId,
  NONE,
  PAGE,
  tableIndex,
} from "@kreplica/hw-x86/api";
import {
  type CpuState,
  invariant,
  type KernelLayout,
  type PageAllocator,
  type ReplicaView,
  seededRandom,
  type SwitchMm,
  TABLE_BITS,
  type TableMemory,
  type TemporaryTables,
} from "@kreplica/mm-core/api";
import { TextPatchError } from "../errors.js";
import { physicalOf, type TextCopy } from "./copies.js";

/** RW, not global, not user: PAGE_KERNEL without G. */
const ALIAS_BITS = Bit.Present | Bit.Writable | Bit.Accessed | Bit.Dirty;
/** User addresses end here with 4 levels. */
const USER_END = 1n << 47n;

export interface PokingParts {
  readonly machine: Machine;
  readonly cpus: CpuState;
  readonly entries: TableMemory;
  readonly allocator: PageAllocator;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
  readonly switcher: SwitchMm;
}

/** A user-range alias through which read-only text is written, in tables that no other CPU loads: one root a holder. */
export class PokingSpace implements TemporaryTables {
  readonly name = "the poking alias";
  /** Two pages, never across a 2 MiB border, so that both entries are in one PTE page. */
  readonly address: bigint;
  /** Loads of the poking root so far. */
  switches = 0;
  /** By holder. */
  readonly roots = new Map<NodeId, Frame>();
  private readonly leaves: Frame;

  /** @throws TextPatchError no-slot when table pages cannot be had; nothing is kept then */
  constructor(
    private readonly parts: PokingParts,
    seed: number,
  ) {
    const random = seededRandom(seed ^ 0x706f_6b65);
    const page = ((BigInt(random(0x7fff_ffff)) * 16n + BigInt(random(16))) % ((USER_END >> 12n) - PAGE)) + 1024n;
    this.address = ((page & 511n) === 511n ? page - 1n : page) * PAGE;
    const { entries, layout, view, allocator } = parts;
    const made: Frame[] = [];
    const make = (node: NodeId): Frame => {
      const frame = allocator.allocate(node, 0, { purpose: "page-table", zero: true });
      if (frame === NONE) {
        for (const each of made) {
          entries.disown(each);
          allocator.free(each, 0);
        }
        throw new TextPatchError(
          "no-slot",
          this.address,
          "the poking address space's tables could not be had; free memory and boot again",
        );
      }
      made.push(frame);
      return frame;
    };
    const holders = view.holders;
    // What all share lies where it is asked for: on the booting CPU's node.
    const here = parts.machine.nodeOfCpu(parts.cpus.current);
    let lower = (this.leaves = make(here));
    for (let level = 2; level < layout.levels; level++) {
      const table = make(here);
      entries.write(table, tableIndex(this.address, level), entryLow(lower, TABLE_BITS), entryHigh(lower, false));
      lower = table;
    }
    for (const node of holders) {
      const root = make(holders.length > 1 ? node : here);
      // A single copy would have one root.
      if (node !== view.master) entries.adopt(root);
      entries.write(
        root,
        tableIndex(this.address, layout.levels),
        entryLow(lower, TABLE_BITS),
        entryHigh(lower, false),
      );
      this.roots.set(node, root);
    }
  }

  /** Entries of the alias now: both 0 but while a poke is under way. */
  aliasEntries(): readonly bigint[] {
    const { entries } = this.parts;
    return [0, 1].map((page) => {
      const index = tableIndex(this.address, 1) + page;
      return (BigInt(entries.high(this.leaves, index)) << 32n) | BigInt(entries.low(this.leaves, index));
    });
  }

  /** Root a CPU loads to poke. */
  rootOf(cpu: CpuId): Frame {
    return this.root(this.parts.machine.nodeOfCpu(cpu));
  }

  root(node: NodeId): Frame {
    const holder = this.parts.view.nearest(node);
    // Holders may have come into being after this space did: the master's root serves until then.
    return this.roots.get(holder) ?? this.roots.values().next().value!;
  }

  /**
   * Writes bytes of one copy through the alias, on the CPU that acts.
   * Yields after each byte that another CPU could see before the next: a store of several bytes may be torn.
   */
  *write(copy: TextCopy, address: bigint, bytes: Uint8Array): Generator<void, void> {
    const { machine, cpus, entries, switcher } = this.parts;
    const poking = cpus.current;
    const cpu = machine.cpu(poking);
    this.refresh(this.rootOf(poking), machine.nodeOfCpu(poking));
    const index = tableIndex(this.address, 1);
    copy.frames.forEach((frame, page) =>
      entries.write(this.leaves, index + page, entryLow(frame, ALIAS_BITS), entryHigh(frame, true)),
    );
    // Both entries lie in one line, unless it ends between them.
    cpu.storePhysical(this.leaves, index >> 3);
    // The switcher knows: a flush of the process below leaves these tables alone, and its PGD is not freed before the
    // CPU is back.
    switcher.enterTemporary(poking, this);
    this.switches++;
    try {
      const alias = this.address + (address & (PAGE - 1n));
      for (let i = 0; i < bytes.length; i++) {
        const at = alias + BigInt(i);
        // One access a line is charged; the first byte and each that begins a line.
        if (i === 0 || (at & 63n) === 0n) {
          const status = cpu.store(lowOf(at) | 0, highOf(at) | 0);
          invariant((status & FAULT) === 0, `the poking alias of ${hex(address)} faults with ${status & ~FAULT}`);
          invariant(
            addressOfFrame(cpu.lastFrame) === (physicalOf(copy, address, i) & ~(PAGE - 1n)),
            "the poking alias leads to another frame than the copy's",
          );
        }
        machine.memory.writeBytes(physicalOf(copy, address, i), bytes.subarray(i, i + 1));
        yield;
      }
    } finally {
      copy.frames.forEach((_, page) => entries.write(this.leaves, index + page, 0, 0));
      cpu.storePhysical(this.leaves, index >> 3);
      // While its PCID is the current one: afterwards INVLPG would not reach the alias.
      for (let page = 0; page < copy.frames.length; page++) cpu.invlpg(this.address + BigInt(page) * PAGE);
      switcher.leaveTemporary(poking);
    }
  }

  /** Kernel slots as the node's own root has them now. */
  private refresh(root: Frame, node: NodeId): void {
    const { entries, view, layout } = this.parts;
    const from = view.kernelRoot(node);
    for (let slot = layout.kernelBoundary; slot < 512; slot++) {
      const lo = entries.low(from, slot);
      const hi = entries.high(from, slot);
      if (entries.low(root, slot) !== lo || entries.high(root, slot) !== hi) entries.write(root, slot, lo, hi);
    }
  }
}
