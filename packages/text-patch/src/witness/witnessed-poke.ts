/**
 * Text patching with a witness beside it: every operation is carried out by the one it stands before, and looked at
 * from outside after each stored byte, through every holder's tables and against a text of which there is one copy.
 * Rules P1 to P3, P5 to P7, P11 and P12; what needs CPUs, probes or a boot is its user's.
 */
import {
  frameOfAddress,
  addressOfFrame,
  type AddressRange,
  bytesAt,
  type Frame,
  hex,
  hexBytes,
  lengthOf,
  PAGE,
  PAGE_BYTES,
} from "@kreplica/hw-x86/api";
import type { Finding } from "@kreplica/invariants/api";
import { INT3 } from "../encode.js";
import { PatchUnderWay } from "../poke/patch-under-way.js";
import type { PokeCost, PokeItem, PokeStep, TextPoke } from "../poke/poke-api.js";
import type { TextCopy } from "../poke/copies.js";
import type { Emulation } from "../poke/emulate.js";
import { witnessed, type WitnessedId } from "./invariants.js";
import { SingleText, TextReader, type WitnessedKernel } from "./single-text.js";

/** Who is told what a witnessed text poke saw. */
export interface PatchWatcher {
  /** An invariant does not hold. Throws, as a rule. */
  fail(finding: Finding): void;
  /** A batch begins: what its sites are to hold. */
  begin?(items: readonly PokeItem[]): void;
  /** After each byte stored in a copy and each synchronisation: other CPUs may run. */
  step?(step: PokeStep): void;
}

const BATCH = 256;
const PCIDE = 0x2_0000;
const equal = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);

/**
 * Steps of the protocol a copy may be in: 0 old, 1 INT3 before the old tail, 2 INT3 before the new tail, 3 new;
 * undefined when in none.
 */
export function phasesOf(
  now: Uint8Array,
  old: Uint8Array,
  next: Uint8Array,
): readonly [lowest: number, highest: number] | undefined {
  const possible: number[] = [];
  const tail = (bytes: Uint8Array): Uint8Array => bytes.subarray(1);
  if (equal(now, old)) possible.push(0);
  if (now[0] === INT3 && equal(tail(now), tail(old))) possible.push(1);
  if (now[0] === INT3 && equal(tail(now), tail(next))) possible.push(2);
  if (equal(now, next)) possible.push(3);
  // A tail half written is nobody's to execute: it lies behind an INT3, between the second step and the third.
  if (
    possible.length === 0 &&
    now[0] === INT3 &&
    now.every((byte, i) => i === 0 || byte === old[i] || byte === next[i])
  )
    possible.push(1, 2);
  return possible.length === 0 ? undefined : [possible[0]!, possible[possible.length - 1]!];
}

/** A site of a batch under way, with its frames on each holder: text is not mapped anew while it is patched. */
interface Site extends PokeItem {
  readonly old: Uint8Array;
  readonly frames: readonly (readonly Frame[])[];
}

/**
 * Text patching with a witness: each operation is carried out by the one it stands before and looked at after each
 * stored byte.
 */
export class WitnessedTextPoke implements TextPoke {
  /** What a kernel with one copy would have now. */
  readonly single: SingleText;
  private readonly reader: TextReader;
  private queued: PokeItem[] = [];

  constructor(
    private readonly target: TextPoke,
    private readonly kernel: WitnessedKernel,
    private readonly watcher: PatchWatcher,
  ) {
    this.reader = new TextReader(kernel);
    target.users.add(
      new PatchUnderWay(
        () => [],
        () => this.queued,
      ),
    );
    this.single = new SingleText((page) => this.reader.bytes(kernel.view.master, bytesAt(page, PAGE_BYTES)));
  }

  get cost(): PokeCost {
    return this.target.cost;
  }
  get underWay(): TextPoke["underWay"] {
    return this.target.underWay;
  }
  get roots(): TextPoke["roots"] {
    return this.target.roots;
  }
  get pokingSpace(): TextPoke["pokingSpace"] {
    return this.target.pokingSpace;
  }
  get users(): TextPoke["users"] {
    return this.target.users;
  }
  breakpoint(address: bigint): Emulation | undefined {
    return this.target.breakpoint(address);
  }
  synchronise(): void {
    this.target.synchronise();
    this.watcher.step?.({ phase: "sync", address: 0n, node: -1, synchronised: true });
  }
  verify(address: bigint, expected: Uint8Array): void {
    this.target.verify(address, expected);
  }
  read(range: AddressRange): Uint8Array {
    return this.target.read(range);
  }
  copies(range: AddressRange): readonly TextCopy[] {
    return this.target.copies(range);
  }

  early(address: bigint, bytes: Uint8Array): void {
    this.whole(address, bytes, () => this.target.early(address, bytes));
  }
  pokeStopped(address: bigint, bytes: Uint8Array): void {
    this.whole(address, bytes, () => this.target.pokeStopped(address, bytes));
  }
  copy(address: bigint, bytes: Uint8Array): void {
    this.whole(address, bytes, () => this.target.copy(address, bytes));
  }
  set(range: AddressRange, value: number): void {
    this.whole(range.start, new Uint8Array(lengthOf(range)).fill(value), () => this.target.set(range, value));
  }

  poke(address: bigint, bytes: Uint8Array): void {
    for (const _ of this.pokeSteps(address, bytes));
  }

  *pokeSteps(address: bigint, bytes: Uint8Array): Generator<PokeStep, void> {
    this.single.bytes(bytesAt(address, bytes.length));
    const written = new Written(this.reader, this.kernel, [{ address, bytes }]);
    for (const step of this.target.pokeSteps(address, bytes)) {
      this.alias(step);
      written.note(step);
      this.watcher.step?.(step);
      yield step;
    }
    this.after([{ address, bytes }], written);
  }

  batch(items: readonly PokeItem[]): void {
    for (let from = 0; from < items.length; from += BATCH)
      for (const _ of this.batchSteps(items.slice(from, from + BATCH)));
  }

  queue(item: PokeItem): void {
    const last = this.queued[this.queued.length - 1];
    if (last && (item.address <= last.address || this.queued.length === BATCH)) this.finish();
    this.queued.push(item);
  }

  finish(): void {
    const items = this.queued;
    this.queued = [];
    this.batch(items);
  }

  *batchSteps(items: readonly PokeItem[]): Generator<PokeStep, void> {
    const sites = items.map((item): Site => ({
      ...item,
      old: this.single.bytes(bytesAt(item.address, item.bytes.length)),
      frames: this.kernel.view.holders.map((node) =>
        this.reader.frames(node, bytesAt(item.address, item.bytes.length)),
      ),
    }));
    const written = new Written(this.reader, this.kernel, items);
    this.watcher.begin?.(items);
    for (const step of this.target.batchSteps(items)) {
      this.alias(step);
      written.note(step);
      for (const site of sites) this.phases(site, step);
      this.watcher.step?.(step);
      yield step;
    }
    this.after(items, written);
  }

  /**
   * P12 over every page that was ever looked at: what all copies hold is what one copy would.
   * @param which pages, when not all are text still
   */
  compare(which: (page: bigint) => boolean = () => true): void {
    for (const [page, expected] of this.single.touched) {
      if (!which(page)) continue;
      for (const node of this.kernel.view.holders) {
        const found = this.reader.bytes(node, bytesAt(page, PAGE_BYTES));
        const at = expected.findIndex((byte, i) => byte !== found[i]);
        if (at >= 0)
          this.fail(
            "P12",
            `node ${node} holds ${hex(found[at]!)} at ${hex(page + BigInt(at))}, a single copy ${hex(expected[at]!)}`,
          );
      }
    }
  }

  private fail(id: WitnessedId, detail: string): void {
    this.watcher.fail(witnessed(id, detail));
  }

  /** P2 and P3 for one site after one step. */
  private phases({ address, bytes, old, frames }: Site, step: PokeStep): void {
    let behind = 3;
    let ahead = 0;
    let first: Uint8Array | undefined;
    for (let which = 0; which < frames.length; which++) {
      const node = this.kernel.view.holders[which]!;
      const now = this.reader.through(node, bytesAt(address, bytes.length), frames[which]!);
      const found = phasesOf(now, old, bytes);
      if (!found) {
        this.fail(
          "P3",
          `node ${node} holds ${hexBytes(now)} at ${hex(address)} while ${hexBytes(old)} becomes ${hexBytes(bytes)}`,
        );
        continue;
      }
      behind = Math.min(behind, found[1]);
      ahead = Math.max(ahead, found[0]);
      first ??= now;
      if (step.synchronised && !equal(now, first))
        this.fail(
          "P2",
          `after a synchronisation node ${node} holds ${hexBytes(now)} at ${hex(address)}, node ${this.kernel.view.holders[0]} ${hexBytes(first)}`,
        );
    }
    if (ahead - behind > 1) this.fail("P3", `copies of ${hex(address)} are ${ahead - behind} phases apart`);
  }

  /** P5: the alias, where there is one, names frames of one copy, the same holder's for both pages. */
  private alias(step: PokeStep): void {
    const space = this.target.pokingSpace;
    if (step.synchronised || !space) return;
    const [low, high] = space.aliasEntries().map((entry) => frameOfAddress(entry & 0xf_ffff_ffff_f000n));
    const frames = this.reader.frames(
      step.node,
      bytesAt(step.address, high === 0 ? 1 : 4097 - Number(step.address & (PAGE - 1n))),
    );
    if (low !== frames[0] || (high !== 0 && high !== frames[1])) {
      this.fail(
        "P5",
        `a poke of node ${step.node}'s copy of ${hex(step.address)} goes through frames ${low} and ${high}, its own are ${frames.join(" and ")}`,
      );
    }
  }

  private whole(address: bigint, bytes: Uint8Array, work: () => void): void {
    this.single.bytes(bytesAt(address, bytes.length));
    const written = new Written(this.reader, this.kernel, [{ address, bytes }]);
    work();
    this.after([{ address, bytes }], written);
  }

  private after(items: readonly PokeItem[], written: Written): void {
    written.look();
    for (const { address, bytes } of items) {
      this.single.write(address, bytes);
      for (const node of this.kernel.view.holders) {
        const now = this.reader.bytes(node, bytesAt(address, bytes.length));
        if (!equal(bytes, now))
          this.fail(
            "P1",
            `node ${node} holds ${hexBytes(now.subarray(0, 16))} at ${hex(address)} after ${hexBytes(bytes.subarray(0, 16))} was written`,
          );
      }
      this.verification(address, bytes);
    }
    const wrong = written.verdict();
    if (wrong !== undefined) this.fail("P7", wrong);
    if (this.target.pokingSpace?.aliasEntries().some((entry) => entry !== 0n))
      this.fail("P6", "an entry of the poking alias is left");
    this.translations();
  }

  /** P6: no CPU still translates the alias, under the PCID of temporary tables; without PCIDs coming back flushes. */
  private translations(): void {
    const { machine } = this.kernel;
    const space = this.target.pokingSpace;
    if (!space) return;
    const first = Number((space.address >> 12n) & 0xffff_ffffn);
    const high = Number((space.address >> 44n) & 0x1fffn);
    for (const id of machine.cpuIds) {
      const cpu = machine.cpu(id);
      if ((cpu.cr4 & PCIDE) === 0) continue;
      cpu.cached.forEach(({ structure, global, pcid, page, pageHigh }) => {
        const within = page - first;
        if (!structure && !global && pcid === 0 && pageHigh === high && (within === 0 || within === 1))
          this.fail("P6", `CPU ${id} still translates page ${within} of the poking alias`);
      });
    }
  }

  /** P11: a byte changed in any one copy is noticed. */
  private verification(address: bigint, bytes: Uint8Array): void {
    const { memory } = this.kernel.machine;
    for (const { node, frames } of this.reader.copies(bytesAt(address, bytes.length))) {
      const physical = addressOfFrame(frames[0]!) + (address & (PAGE - 1n));
      memory.writeBytes(physical, Uint8Array.of(bytes[0]! ^ 1));
      let noticed = false;
      try {
        this.target.verify(address, bytes);
      } catch {
        noticed = true;
      }
      memory.writeBytes(physical, bytes.subarray(0, 1));
      if (!noticed)
        this.fail("P11", `verification does not notice a wrong byte in node ${node}'s copy of ${hex(address)}`);
    }
  }
}

/** P7: which frames a change has written, from the steps and from the memory's own versions. */
class Written {
  /** Versions before, by frame of every copy. */
  private readonly frames = new Map<Frame, number>();
  /** Copies written by phase and site. */
  private readonly passes = new Map<string, Set<number>>();
  private unchanged: string | undefined;

  constructor(
    private readonly reader: TextReader,
    private readonly kernel: WitnessedKernel,
    items: readonly PokeItem[],
  ) {
    for (const { address, bytes } of items) {
      for (const { frames } of reader.copies(bytesAt(address, bytes.length))) {
        for (const frame of frames) this.frames.set(frame, kernel.machine.memory.version(frame));
      }
    }
  }

  note(step: PokeStep): void {
    if (step.synchronised) return;
    const key = `${step.phase} of ${hex(step.address)}`;
    const nodes = this.passes.get(key) ?? new Set();
    nodes.add(step.node);
    this.passes.set(key, nodes);
  }

  /** Looks which frames have been written by now; verification will write some. */
  look(): void {
    const { memory } = this.kernel.machine;
    const left = [...this.frames].filter(([frame, version]) => memory.version(frame) === version);
    this.unchanged = left.length === 0 ? undefined : `frame ${left[0]![0]} of a copy was not written`;
  }

  verdict(): string | undefined {
    for (const [key, nodes] of this.passes) {
      const address = BigInt(key.slice(key.indexOf("0x")));
      const copies = this.reader.copies(bytesAt(address, 1)).length;
      if (nodes.size !== copies) return `${key}: ${nodes.size} copies were written, there are ${copies}`;
    }
    return this.unchanged;
  }
}
