/**
 * Trampolines changed while CPUs of other nodes run through them, instruction by instruction: each passage of the
 * traced function runs the programs of the image before or after the change, none of both and none of a mixture; and an
 * image goes only when no CPU stands in it or will come back to it.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Assembly } from "@kreplica/di";
import { CpuState, KernelTables } from "@kreplica/mm-core";
import { TextPoke } from "@kreplica/text-patch";
import { Vmalloc } from "@kreplica/vmalloc";
import {
  assemble,
  CodeAreas,
  CodePermissions,
  CodeReplication,
  type CodeWriter,
  compile,
  Packs,
  type TraceTarget,
  Trampolines,
} from "../src/index.js";
import { Random } from "../src/testing/random.js";
import { type Kernel, leaves, makeKernel, NODES } from "./support/kernel.js";
import { RunningCpu } from "./support/running-cpu.js";

const PAGE = 4096n,
  POKER = NODES - 1;
/** mov edi, 14; call traced; jmp to the start. */
const BACK_AT = 10n;

interface Passage {
  from: number;
  programs: bigint[];
}

class Harness {
  readonly cpus: readonly RunningCpu[];
  readonly trampolines: Trampolines;
  readonly target: TraceTarget;
  /** Programs that a passage may run, by generation; and the oldest that one beginning now may run. */
  readonly generations: (readonly bigint[])[] = [[]];
  settled = 0;
  passages = 0;
  traps = 0;
  /** Passages that began under one generation and ended with the programs of a later one. */
  changed = 0;
  released = 0;
  /** Broken on purpose: settling waits for nobody. */
  hasty = false;
  private readonly caller: bigint;
  private readonly under = new Map<number, Passage>();
  private readonly random: Random;

  constructor(
    readonly kernel: Kernel,
    readonly programs: readonly bigint[],
    seed: number,
  ) {
    const { assembly, machine } = kernel,
      poke = assembly.get(TextPoke),
      areas = assembly.get(CodeAreas);
    this.random = new Random(seed);
    const traced = this.text(assembly, Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0, 0x48, 0x8d, 0x04, 0x7f, 0xc3));
    this.target = { address: traced, arguments: 1 };
    const call = Uint8Array.of(0xbf, 14, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xeb, 0xf4),
      view = new DataView(call.buffer);
    this.caller = areas.allocate(4096, "caller")!;
    view.setInt32(6, Number(traced - this.caller - BACK_AT), true);
    areas.write(this.caller, call);
    assembly.get(CodePermissions).readOnlyExecutable({ start: this.caller, pages: 1 });
    assembly.get(CpuState).current = POKER;
    this.cpus = machine.cpuIds
      .filter((id) => id !== POKER)
      .map(
        (id) =>
          new RunningCpu(
            machine,
            assembly.get(KernelTables),
            id,
            kernel.memory.allocate(4096, "stack") + PAGE,
            (site) => poke.breakpoint(site),
          ),
      );
    for (const cpu of this.cpus) cpu.rip = this.caller;
    const writer: CodeWriter = {
      copy: (address, bytes) => {
        poke.copy(address, bytes);
      },
      set: (range, byte) => {
        poke.set(range, byte);
      },
      read: (range) => poke.read(range),
      live: (address, bytes) => {
        for (const step of poke.batchSteps([{ address, bytes }])) {
          this.run(this.random.below(6));
          if (step.synchronised) for (const cpu of this.cpus) if (cpu.trapped) this.step(cpu);
        }
      },
      settle: () => {
        poke.synchronise();
        if (!this.hasty) for (const cpu of this.cpus) this.toCaller(cpu);
      },
    };
    this.trampolines = new Trampolines(
      {
        allocate: (bytes, what) => {
          this.run(3);
          return areas.allocate(bytes, what);
        },
        write: (address, bytes) => {
          areas.write(address, bytes);
          this.run(3);
        },
        release: (address) => {
          this.nobodyIn(address);
          this.released++;
          areas.release(address);
        },
      },
      assembly.get(CodePermissions),
      writer,
      assembly.get(CodeReplication),
    );
  }

  /** Kernel text: on every holder its own copy, whatever images have. */
  private text(assembly: Assembly, bytes: Uint8Array): bigint {
    const areas = assembly.get(CodeAreas),
      address = areas.allocate(4096, "kernel text")!,
      vmalloc = assembly.get(Vmalloc);
    areas.write(address, bytes);
    const area = vmalloc.find(address)!;
    if (area.state === "shared") vmalloc.replicate(area);
    assembly.get(CodePermissions).readOnlyExecutable({ start: address, pages: 1 });
    return address;
  }

  /** One change, CPUs running all the while. @param next programs after it, in the order they run */
  change(next: readonly bigint[], action: () => void): void {
    this.generations.push(next);
    action();
    this.settled = this.generations.length - 1;
    this.run(30);
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.step(this.random.pick(this.cpus));
  }

  step(cpu: RunningCpu): void {
    const { rip } = cpu;
    if (rip === this.caller) this.under.set(cpu.id, { from: this.settled, programs: [] });
    const passage = this.under.get(cpu.id);
    if (this.programs.includes(rip)) passage!.programs.push(rip);
    if (rip === this.caller + BACK_AT) this.end(cpu, passage!);
    cpu.step();
    if (cpu.trapped) this.traps++;
  }

  private end(cpu: RunningCpu, { from, programs }: Passage): void {
    const same = (list: readonly bigint[]): boolean =>
      list.length === programs.length && list.every((each, i) => each === programs[i]);
    const ran = this.generations.findIndex((list, g) => g >= from && same(list));
    if (ran < 0)
      throw new Error(
        `CPU ${cpu.id} ran programs ${programs.map((each) => this.programs.indexOf(each)).join(" ")}; it began with ${this.generations[from]!.map((each) => this.programs.indexOf(each)).join(" ")} and ends with ${this.generations
          .at(-1)!
          .map((each) => this.programs.indexOf(each))
          .join(" ")}`,
      );
    if (ran > from) this.changed++;
    expect([cpu.x86.register(0), cpu.rsp]).toEqual([42n, cpu.stack]);
    this.passages++;
  }

  private toCaller(cpu: RunningCpu): void {
    for (let i = 0; cpu.rip !== this.caller; i++) {
      if (i > 5000) throw new Error(`CPU ${cpu.id} does not come back to its loop, at 0x${cpu.rip.toString(16)}`);
      this.step(cpu);
    }
  }

  private nobodyIn(image: bigint): void {
    const inside = (address: bigint): boolean => address >= image && address < image + PAGE;
    for (const cpu of this.cpus) {
      if (inside(cpu.rip) || cpu.words.some(inside))
        throw new Error(`the image at 0x${image.toString(16)} goes while CPU ${cpu.id} is in it or returns to it`);
    }
  }
}

function harness(holders: readonly number[], replicate: boolean, seed: number): Harness {
  const kernel = makeKernel(holders, replicate),
    packs = kernel.assembly.get(Packs);
  const programs = Array.from({ length: 4 }, (_, i) => {
    const code = assemble(`r2 = *(u64 *)(r1 + 0); r3 = ${i}; r0 = r2; r0 += r3; exit`),
      make = (address: bigint) =>
        compile({ code, functions: [0], stackBytes: [0], address, helperAddress: () => undefined }).bytes;
    const place = packs.allocate(make(0n).length);
    packs.write(place, make(place.address));
    return place.address;
  });
  return new Harness(kernel, programs, seed);
}

describe.each([
  [[0, 1, 2, 3], false],
  [[0, 1, 2, 3], true],
  [[1, 3], true],
] as const)("holders %j, replicate %s", (holders, replicate) => {
  test("each passage runs the old or the new programs; images go when everybody left them", () => {
    let passages = 0,
      traps = 0,
      changed = 0,
      released = 0;
    const operation = fc.record({ attach: fc.boolean(), exit: fc.boolean(), which: fc.nat(3) });
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 4, maxLength: 12, size: "max" }),
        fc.nat(1000),
        (operations, seed) => {
          const h = harness(holders, replicate, seed),
            lists = { entry: [] as bigint[], exit: [] as bigint[] };
          h.run(20);
          for (const { attach, exit, which } of operations) {
            const when = exit ? "exit" : "entry",
              program = h.programs[which]!;
            if (attach && lists.entry.length + lists.exit.length < 5) {
              lists[when].push(program);
              h.change([...lists.entry, ...lists.exit], () => {
                h.trampolines.attach(h.target, when, program);
              });
            } else {
              const from = lists.entry.length > 0 ? lists.entry : lists.exit,
                gone = from[which % Math.max(1, from.length)];
              if (gone === undefined) continue;
              from.splice(from.indexOf(gone), 1);
              h.change([...lists.entry, ...lists.exit], () => {
                h.trampolines.detach(h.target, gone);
              });
            }
            const image = h.trampolines.imageOf(h.target);
            if (image === undefined) continue;
            const at = leaves(h.kernel, image);
            expect(new Set(at.map((leaf) => leaf.allows))).toEqual(new Set(["rx"]));
            for (const [node, leaf] of at.entries())
              expect(leaf.owner).toBe(replicate && (holders as readonly number[]).includes(node) ? node : holders[0]);
          }
          passages += h.passages;
          traps += h.traps;
          changed += h.changed;
          released += h.released;
        },
      ),
      { numRuns: 12 },
    );
    // The schedules met what they were made for: breakpoints, passages that a change overtook, images freed.
    expect(Math.min(passages / 20, traps, changed, released)).toBeGreaterThan(10);
  });
});

test("what would go wrong is seen: without the wait an image goes under a CPU", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 8; seed++) {
    const h = harness([0, 1], true, seed),
      [a, b] = [h.programs[0]!, h.programs[1]!];
    h.hasty = true;
    try {
      h.change([a], () => {
        h.trampolines.attach(h.target, "entry", a);
      });
      for (let i = 0; i < 4; i++) {
        h.change([a, b], () => {
          h.trampolines.attach(h.target, "entry", b);
        });
        h.change([a], () => {
          h.trampolines.detach(h.target, b);
        });
      }
      seen.add("nothing");
    } catch (error) {
      seen.add((error as Error).message.replace(/0x\w+|\d/g, "N"));
    }
  }
  expect([...seen].some((message) => /goes while CPU N is in it/.test(message))).toBe(true);
});
