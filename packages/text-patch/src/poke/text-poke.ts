/** Writing kernel text: early, at run time, and under the INT3 protocol, always in every copy. */
import { inject, injectable } from "@kreplica/di";
import {
  frameOfAddress,
  type AddressRange,
  bytesAt,
  type Frame,
  hex,
  lengthOf,
  Machine,
  meet,
  type NodeId,
  PAGE,
} from "@kreplica/hw-x86/api";
import {
  CpuState,
  InvariantError,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelOptions,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
  TextUsers,
} from "@kreplica/mm-core/api";
import { INT3 } from "../encode.js";
import { TextPatchError } from "../errors.js";
import { copiesOf, physicalOf, type TextCopy } from "./copies.js";
import { type Emulation, emulationOf } from "./emulate.js";
import type { PokeCost, PokeItem, PokeStep, TextPoke } from "./poke-api.js";
import { PatchUnderWay } from "./patch-under-way.js";
import { PokingSpace } from "./poking-space.js";

/** Sites in one batch: a page of descriptors. @source arch/x86/kernel/alternative.c TP_VEC_MAX */
const BATCH = 256;

interface Descriptor {
  readonly address: bigint;
  readonly emulation: Emulation;
}

/** Writes kernel text early, at run time and under the INT3 protocol, always in every copy. */
@injectable()
export class ReplicaTextPoke implements TextPoke {
  private space: PokingSpace | undefined;
  private queued: PokeItem[] = [];
  /** Published while a batch is under way; every CPU's handler reads it. */
  private active: readonly Descriptor[] | undefined;
  private locked = false;
  /** Sites being written. */
  private open: readonly AddressRange[] = [];
  private counts = { framesWritten: 0, bytesWritten: 0, syncs: 0, interrupts: 0 };

  constructor(
    @inject(Machine) private readonly machine: Machine,
    @inject(KernelTables) private readonly tables: KernelTables,
    @inject(ReplicaView) private readonly view: ReplicaView,
    @inject(CpuState) private readonly cpus: CpuState,
    @inject(TableMemory) private readonly entries: TableMemory,
    @inject(PageAllocator) private readonly allocator: PageAllocator,
    @inject(KernelLayout) private readonly layout: KernelLayout,
    @inject(KernelImage) private readonly image: KernelImage,
    @inject(KernelOptions) private readonly options: KernelOptions,
    @inject(KernelBoot) boot: KernelBoot,
    @inject(SwitchMm) private readonly switcher: SwitchMm,
    @inject(TextUsers) readonly users: TextUsers,
  ) {
    users.add(
      new PatchUnderWay(
        () => this.open,
        () => this.queued,
      ),
    );
    boot.during("poking-init", () => {
      this.poking();
      return `poking address space at ${hex(this.poking().address)}, one root for each of ${this.view.holders.length} holders`;
    });
  }

  get cost(): PokeCost {
    return { ...this.counts, rootSwitches: 2 * (this.space?.switches ?? 0) };
  }
  get underWay(): readonly AddressRange[] {
    return this.open;
  }
  get roots(): ReadonlyMap<NodeId, Frame> {
    return this.space?.roots ?? new Map();
  }
  get pokingSpace(): PokingSpace {
    return this.poking();
  }

  copies(range: AddressRange): readonly TextCopy[] {
    return copiesOf(this.tables, this.view, range);
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_early */
  early(address: bigint, bytes: Uint8Array): void {
    const copies = this.runs(address, bytes);
    for (const { at, part } of copies) {
      const found = this.copies(bytesAt(at, part.length));
      // After mark_rodata_ro the writable way is gone; before, it must be there on every holder.
      if (!found.every(({ writable }) => writable)) {
        throw new TextPatchError(
          "cleared",
          at,
          "this text is read-only already: early patching is over for it; use poke or batch",
        );
      }
    }
    const cpu = this.machine.cpu(this.cpus.current);
    for (const { at, part } of copies) {
      for (const copy of this.copies(bytesAt(at, part.length))) {
        for (let i = 0; i < part.length; i++) {
          const physical = physicalOf(copy, at, i);
          if (i === 0 || (physical & 63n) === 0n)
            cpu.storePhysical(frameOfAddress(physical), Number((physical >> 6n) & 63n));
        }
        this.store(copy, at, part);
      }
    }
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c __text_poke */
  poke(address: bigint, bytes: Uint8Array): void {
    this.exclusively(address, () => drain(this.pokeSteps(address, bytes)));
  }

  /**
   * As {@link poke} without taking the lock: the debugger has stopped all CPUs, but the one that holds it may be among
   * them.
   */
  pokeStopped(address: bigint, bytes: Uint8Array): void {
    if (this.locked)
      throw new TextPatchError("busy", address, "a patch was under way when the machine stopped; let it finish first");
    drain(this.pokeSteps(address, bytes));
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_copy */
  copy(address: bigint, bytes: Uint8Array): void {
    this.refuseCoreText(bytesAt(address, bytes.length));
    this.exclusively(address, () => {
      for (const { at, part } of this.runs(address, bytes)) drain(this.pokeSteps(at, part));
    });
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_set */
  set(range: AddressRange, value: number): void {
    this.copy(range.start, new Uint8Array(lengthOf(range)).fill(value));
  }

  batch(items: readonly PokeItem[]): void {
    for (let from = 0; from < items.length; from += BATCH) drain(this.batchSteps(items.slice(from, from + BATCH)));
  }

  queue(item: PokeItem): void {
    const last = this.queued[this.queued.length - 1];
    // The vector is searched by halves: a site below the last begins a new one.
    if (last && (item.address <= last.address || this.queued.length === BATCH)) this.finish();
    this.queued.push(item);
  }

  finish(): void {
    const items = this.queued;
    this.queued = [];
    if (items.length > 0) this.batch(items);
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_bp_batch */
  *batchSteps(items: readonly PokeItem[]): Generator<PokeStep, void> {
    if (items.length === 0) return;
    const first = items[0]!.address;
    if (this.locked) throw new TextPatchError("busy", first, "a batch meets another patch under way; wait for it");
    if (items.length > BATCH)
      throw new TextPatchError("too-long", first, `${items.length} sites; a batch has at most ${BATCH}`);
    const descriptors: Descriptor[] = items.map(({ address, bytes, emulate }, i) => {
      if (i > 0 && address <= items[i - 1]!.address)
        throw new TextPatchError("unsorted", address, "sites of a batch must ascend; sort them, or use queue");
      for (const copy of this.copies(bytesAt(address, bytes.length))) {
        if (!copy.executable)
          throw new TextPatchError("not-executable", address, `not executable on node ${copy.node}; it is no text`);
      }
      return { address, emulation: emulationOf(address, emulate ?? bytes) };
    });
    this.locked = true;
    this.active = descriptors;
    this.open = items.map(({ address, bytes }) => bytesAt(address, bytes.length));
    try {
      for (const { address } of items) yield* this.phase("int3", address, Uint8Array.of(INT3));
      yield* this.sync("int3");
      let wrote = false;
      for (const { address, bytes } of items) {
        if (bytes.length === 1) continue;
        yield* this.phase("tail", address + 1n, bytes.subarray(1));
        wrote = true;
      }
      if (wrote) yield* this.sync("tail");
      wrote = false;
      for (const { address, bytes } of items) {
        if (bytes[0] === INT3) continue;
        yield* this.phase("first", address, bytes.subarray(0, 1));
        wrote = true;
      }
      if (wrote) yield* this.sync("first");
    } finally {
      // Handlers that took the INT3 before the last sync have finished: the sync waited for them.
      this.active = undefined;
      this.open = [];
      this.locked = false;
    }
    for (const { address, bytes } of items) this.verify(address, bytes);
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c poke_int3_handler */
  breakpoint(address: bigint): Emulation | undefined {
    const list = this.active;
    if (!list) return undefined;
    let low = 0;
    let high = list.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const { address: at, emulation } = list[middle]!;
      if (at === address) return emulation.kind === "breakpoint" ? undefined : emulation;
      if (at < address) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** @patch 08/12 arch/x86/kernel/alternative.c text_poke_sync */
  synchronise(): void {
    drain(this.sync("sync"));
  }

  verify(address: bigint, expected: Uint8Array): void {
    for (const { at, part } of this.runs(address, expected)) {
      for (const copy of this.copies(bytesAt(at, part.length))) {
        const found = this.load(copy, bytesAt(at, part.length));
        const wrong = part.findIndex((byte, i) => byte !== found[i]);
        if (wrong >= 0) {
          throw new InvariantError(
            `the copy of node ${copy.node} holds ${hex(found[wrong]!)} at ${hex(at + BigInt(wrong))}, not ${hex(part[wrong]!)}`,
          );
        }
      }
    }
  }

  read(range: AddressRange): Uint8Array {
    const bytes = new Uint8Array(lengthOf(range));
    let done = 0;
    for (const { at, part } of this.runs(range.start, bytes)) {
      bytes.set(this.load(this.copies(bytesAt(at, part.length))[0]!, bytesAt(at, part.length)), done);
      done += part.length;
    }
    return bytes;
  }

  *pokeSteps(address: bigint, bytes: Uint8Array): Generator<PokeStep, void> {
    if (bytes.length > Number(PAGE))
      throw new TextPatchError(
        "too-long",
        address,
        `${bytes.length} bytes; a poke reaches at most two pages, use copy`,
      );
    const before = this.open;
    this.open = [...before, bytesAt(address, bytes.length)];
    try {
      yield* this.phase("poke", address, bytes);
    } finally {
      this.open = before;
    }
    this.verify(address, bytes);
  }

  private *phase(phase: PokeStep["phase"], address: bigint, bytes: Uint8Array): Generator<PokeStep, void> {
    for (const copy of this.copies(bytesAt(address, bytes.length))) {
      for (const _ of this.poking().write(copy, address, bytes)) yield { phase, address, node: copy.node };
      this.counts.framesWritten += copy.frames.length;
      this.counts.bytesWritten += bytes.length;
    }
  }

  private *sync(phase: PokeStep["phase"]): Generator<PokeStep, void> {
    const others = [...this.cpus.online].filter((cpu) => cpu !== this.cpus.current);
    if (others.length > 0) this.machine.interrupt(this.cpus.current, others);
    this.counts.syncs++;
    this.counts.interrupts += others.length;
    yield { phase, address: 0n, node: -1, synchronised: true };
  }

  private store(copy: TextCopy, address: bigint, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length;) {
      const physical = physicalOf(copy, address, i);
      const n = Math.min(bytes.length - i, Number(PAGE - (physical & (PAGE - 1n))));
      this.machine.memory.writeBytes(physical, bytes.subarray(i, i + n));
      i += n;
    }
    this.counts.framesWritten += copy.frames.length;
    this.counts.bytesWritten += bytes.length;
  }

  private load(copy: TextCopy, range: AddressRange): Uint8Array {
    const length = lengthOf(range);
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length;) {
      const physical = physicalOf(copy, range.start, i);
      const n = Math.min(length - i, Number(PAGE - (physical & (PAGE - 1n))));
      this.machine.memory.readBytes(physical, bytes.subarray(i, i + n));
      i += n;
    }
    return bytes;
  }

  /** A long run cut at pages, so that no part has more than one frame. */
  private runs(address: bigint, bytes: Uint8Array): { at: bigint; part: Uint8Array }[] {
    const parts: { at: bigint; part: Uint8Array }[] = [];
    for (let i = 0; i < bytes.length;) {
      const at = address + BigInt(i);
      const n = Math.min(bytes.length - i, Number(PAGE - (at & (PAGE - 1n))));
      parts.push({ at, part: bytes.subarray(i, i + n) });
      i += n;
    }
    return parts;
  }

  private refuseCoreText(range: AddressRange): void {
    const { stext, etext } = this.image;
    const { imageOffset } = this.layout;
    if (meet(range, { start: stext + imageOffset, end: etext + imageOffset })) {
      throw new TextPatchError(
        "not-text",
        range.start,
        "this is the kernel's own text, whose running code a plain copy would tear; use batch",
      );
    }
  }

  private exclusively(address: bigint, work: () => void): void {
    if (this.locked) throw new TextPatchError("busy", address, "another patch is under way; wait for it");
    this.locked = true;
    try {
      work();
    } finally {
      this.locked = false;
    }
  }

  private poking(): PokingSpace {
    const { machine, cpus, entries, allocator, view, layout, switcher } = this;
    this.space ??= new PokingSpace({ machine, cpus, entries, allocator, view, layout, switcher }, this.options.seed);
    return this.space;
  }
}

function drain(steps: Generator<unknown, void>): void {
  for (const _ of steps);
}
