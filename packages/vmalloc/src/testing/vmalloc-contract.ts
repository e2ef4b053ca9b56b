/**
 * What every implementation of Vmalloc must do, as a property over random operations against a list of areas and their
 * bytes, and with memory refused at any request. Run it with any test library: it throws when a promise is broken.
 *
 * Promised: an area has the pages asked for, where it was asked for, and with its guard page meets no other; what is
 * written is read on every node, whatever became of the area; an area inside the window is shared between several
 * holders, and replicated once that was asked for, each copy on its holder's node; a replicated area is not written
 * through one copy; what is freed is found no more and is not freed again; mapped frames stay their owner's; when all
 * is freed and purged every frame is back; a request that is refused for want of memory keeps nothing, and a
 * replication that is refused leaves the area as it was.
 *
 * Left to the implementation: which address an area gets, when freed addresses come back before a purge, which frames,
 * and how many flushes it takes.
 */
import * as fc from "fast-check";
import { type Frame, hex, type NodeId, NONE, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { keepsPromises, promised, type SuiteEffort } from "@kreplica/hw-x86/testing";
import type { KernelLayout, PageAllocator, ReplicaView } from "@kreplica/mm-core/api";
import { type Vmalloc, VmallocError, type VmArea } from "../api.js";

/** One kernel to be tested, fresh for every run. */
export interface VmallocSubject {
  readonly vm: Vmalloc;
  readonly allocator: PageAllocator;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
  /** Node that a frame lies on. */
  nodeOf(frame: Frame): NodeId;
  /** Frames of somebody's, one page each, to be mapped. */
  readonly frames: readonly Frame[];
}

const step = fc.record({
  op: fc.constantFrom(
    "vmalloc",
    "module",
    "module",
    "free",
    "again",
    "replicate",
    "purge",
    "write",
    "map",
    "refused",
    "no-copies",
  ),
  pages: fc.integer({ min: 1, max: 5 }),
  which: fc.nat(7),
  node: fc.nat(3),
  guard: fc.boolean(),
  interleave: fc.boolean(),
  nth: fc.integer({ min: 1, max: 6 }),
});
const bytesOf = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (seed * 31 + i * 7 + 1) & 255);

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function vmallocContract(make: () => VmallocSubject, effort: SuiteEffort = {}): void {
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 30, size: "max" }), (steps) => {
      const areas = new Areas(make());
      steps.forEach((each, seed) => {
        areas.take(each, seed);
      });
      areas.allGone();
    }),
    { runs: 60, ...effort },
  );
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
interface Held {
  readonly area: VmArea;
  readonly bytes: Uint8Array;
  readonly own: boolean;
}

class Areas {
  private readonly held: Held[] = [];
  private readonly gone: VmArea[] = [];
  private readonly before: string;
  constructor(private readonly subject: VmallocSubject) {
    this.before = this.used();
  }

  /** Frames of areas by holder; table pages may stay. */
  private used(): string {
    return this.subject.view.holders.map((node) => this.subject.allocator.usedFrames(node, "module")).join();
  }

  take({ op, pages, which, node, guard, interleave, nth }: Step, seed: number): void {
    const { vm, view, layout } = this.subject;
    const holders = view.holders;
    const chosen = this.held[which % Math.max(1, this.held.length)];
    const home = holders[node % holders.length]!;
    const range = { low: layout.modulesStart, high: layout.modulesEnd };
    const request = { purpose: "module", noGuard: !guard, ...(op === "vmalloc" ? {} : range) } as const;
    const placement = interleave ? { interleave: holders } : { node: home };
    if (op === "vmalloc" || op === "module")
      this.made(
        vm.allocate({ ...request, bytes: pages * PAGE_BYTES - 100, placement }),
        pages,
        guard,
        op === "module",
        seed,
        true,
      );
    else if (op === "map")
      this.made(vm.map({ ...request, frames: this.subject.frames.slice(0, pages) }), pages, guard, true, seed, false);
    else if (op === "free" && chosen) this.free(chosen);
    else if (op === "again" && this.gone.length > 0)
      this.refusedWith(
        () => {
          vm.free(this.gone[which % this.gone.length]!);
        },
        ["no-area"],
        "what is freed is not freed again",
      );
    else if (op === "replicate" && chosen) this.replicate(chosen);
    else if (op === "write" && chosen) this.write(chosen, seed);
    else if (op === "purge") {
      vm.purge();
      promised(vm.counters.lazyPages === 0, "a purge leaves nothing held back", `${vm.counters.lazyPages} pages`);
    } else if (op === "refused")
      this.short(
        () => {
          vm.allocate({ ...request, bytes: pages * PAGE_BYTES, placement });
        },
        nth,
        (done) => {
          if (done)
            this.free(
              {
                area: vm.areas().find((area) => !this.held.some((each) => each.area === area))!,
                bytes: new Uint8Array(),
                own: true,
              },
              true,
            );
        },
      );
    else if (op === "no-copies" && chosen?.own && chosen.area.state === "shared") {
      const outcome = this.short(
        () => vm.replicate(chosen.area),
        nth,
        () => {},
      );
      promised(
        outcome === "replicated" || (outcome === "no-memory" && (chosen.area.state as string) === "shared"),
        "a replication that is refused leaves the area as it was",
        `${outcome}, the area is ${chosen.area.state}`,
      );
    }
    for (const each of this.held) this.looked(each);
    promised(
      vm.counters.areas === this.held.length && vm.areas().length === this.held.length,
      "areas are counted",
      `${vm.counters.areas} and ${vm.areas().length}, there are ${this.held.length}`,
    );
  }

  private made(area: VmArea, pages: number, guard: boolean, inWindow: boolean, seed: number, own: boolean): void {
    const { vm, view, layout } = this.subject;
    const end = (each: VmArea): bigint => each.start + BigInt(each.pages + (each.guard ? 1 : 0)) * PAGE;
    promised(
      area.pages === pages && area.guard === guard && area.start % PAGE === 0n,
      "an area has the pages asked for",
      `${area.pages} of ${pages} at ${hex(area.start)}, guard ${area.guard}`,
    );
    const [low, high] = inWindow
      ? [layout.modulesStart, layout.modulesEnd]
      : [layout.vmallocStart, layout.vmallocEnd + 1n];
    promised(
      area.start >= low && end(area) <= high,
      "an area lies where it was asked for",
      `${hex(area.start)} is not in ${hex(low)} to ${hex(high)}`,
    );
    for (const { area: other } of this.held)
      promised(
        end(area) <= other.start || end(other) <= area.start,
        "an area meets no other",
        `${hex(area.start)} and ${hex(other.start)}`,
      );
    const wanted = view.holders.length > 1 && view.isPrivate(area.start) ? "shared" : "unshared";
    promised(
      area.state === wanted,
      "an area inside the window is shared between several holders",
      `${hex(area.start)} is ${area.state}`,
    );
    const bytes = bytesOf(seed, pages * PAGE_BYTES);
    vm.write(area, 0, bytes);
    if (!own) this.shareMapped(bytes);
    this.held.push({ area, bytes, own });
  }

  private write({ area, bytes, own }: Held, seed: number): void {
    const { vm } = this.subject;
    const more = bytesOf(seed + 5, 300);
    const offset = (seed * 1000) % (bytes.length - 300);
    if (area.state === "replicated") {
      let refused = false;
      try {
        vm.write(area, offset, more);
      } catch {
        refused = true;
      }
      promised(refused, "a replicated area is not written through one copy", `${hex(area.start)} was`);
      return;
    }
    vm.write(area, offset, more);
    bytes.set(more, offset);
    if (!own) this.shareMapped(bytes);
  }

  /** Mapped areas begin with the same frames: what one holds, all hold. */
  private shareMapped(bytes: Uint8Array): void {
    for (const each of this.held) if (!each.own) each.bytes.set(bytes.subarray(0, each.bytes.length));
  }

  private replicate({ area, own }: Held): void {
    const { vm, view, nodeOf } = this.subject;
    const refusal =
      !own && area.state === "shared"
        ? "not-owned"
        : area.state === "replicated"
          ? "already-replicated"
          : area.state === "unshared"
            ? "not-in-window"
            : undefined;
    if (refusal) {
      this.refusedWith(
        () => {
          vm.replicate(area);
        },
        [refusal, ...(own ? [] : ["not-owned", "not-in-window"])],
        "what cannot be replicated is refused",
      );
      return;
    }
    promised(
      vm.replicate(area) === "replicated" && (area.state as string) === "replicated",
      "an area is replicated once that was asked for",
      `it is ${area.state}`,
    );
    for (const holder of view.holders) {
      for (let page = 0; page < area.pages; page++) {
        const frame = vm.toFrameOn(holder, area.start + BigInt(page) * PAGE);
        if (holder !== area.node)
          promised(
            nodeOf(frame) === holder,
            "each copy is on its holder's node",
            `page ${page} of node ${holder} is on node ${nodeOf(frame)}`,
          );
      }
    }
  }

  private free(held: Held, unknown = false): void {
    const { vm, view } = this.subject;
    vm.free(held.area);
    if (!unknown) this.held.splice(this.held.indexOf(held), 1);
    this.gone.push(held.area);
    promised(vm.find(held.area.start) === undefined, "what is freed is found no more", hex(held.area.start));
    for (const holder of view.holders)
      promised(
        vm.toFrameOn(holder, held.area.start) === NONE,
        "what is freed is found no more",
        `node ${holder} maps ${hex(held.area.start)}`,
      );
  }

  /** Runs something with the n-th request for a frame refused. */
  private short<T>(act: () => T, nth: number, after: (done: boolean) => void): T | undefined {
    const { vm, allocator } = this.subject;
    vm.purge();
    const before = this.used();
    allocator.refuse(nth);
    let result: T | undefined;
    let code: string | undefined;
    try {
      result = act();
    } catch (error) {
      if (!(error instanceof VmallocError)) throw error;
      code = error.code;
    } finally {
      allocator.refuse(0);
    }
    if (code !== undefined) {
      promised(["out-of-frames", "out-of-tables"].includes(code), "a request that is refused says why", code);
      vm.purge();
      promised(
        this.used() === before,
        "a request that is refused for want of memory keeps nothing",
        `frames in use by node: ${this.used()}, they were ${before}`,
      );
    }
    after(code === undefined);
    return result;
  }

  private refusedWith(act: () => void, codes: readonly string[], promise: string): void {
    let found = "nothing";
    try {
      act();
    } catch (error) {
      found = error instanceof VmallocError ? error.code : String(error);
    }
    promised(codes.includes(found), promise, `${found} instead of ${codes.join(" or ")}`);
  }

  private looked({ area, bytes, own }: Held): void {
    const { vm, view } = this.subject;
    for (const holder of view.holders) {
      const seen = new Uint8Array(bytes.length);
      vm.read(holder, area, 0, seen);
      const at = seen.findIndex((byte, index) => byte !== bytes[index]);
      promised(at < 0, "what is written is read on every node", `byte ${at} of ${hex(area.start)} on node ${holder}`);
      promised(
        vm.toFrameOn(holder, area.start) !== NONE,
        "what is written is read on every node",
        `${hex(area.start)} is a hole on node ${holder}`,
      );
    }
    promised(
      vm.find(area.start + BigInt(area.pages) * PAGE - 1n) === area,
      "an area is found by every address of it",
      hex(area.start),
    );
    promised(own || area.kind === "mapped", "mapped frames stay their owner's", `${hex(area.start)} is ${area.kind}`);
  }

  allGone(): void {
    const { vm, allocator, frames } = this.subject;
    while (this.held.length > 0) this.free(this.held[0]!);
    vm.purge();
    promised(
      vm.counters.used === 0 && this.used() === this.before,
      "when all is freed and purged every frame is back",
      `${vm.counters.used} counted, frames by node ${this.used()}, they were ${this.before}`,
    );
    for (const frame of frames)
      promised(allocator.owns(frame, 0), "mapped frames stay their owner's", `frame ${frame} was given back`);
  }
}
