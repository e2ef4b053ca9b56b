/**
 * A core that runs ahead, against lists of objects: where each fetch's line came from and what of its latency was
 * waited for; then what that means for text within the reach of its targets and beyond.
 */
import { assemble } from "@kreplica/di";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { FrontEndSpec, NumaMachine } from "../src/index.js";
import {
  Counters,
  Cr0,
  Cr4,
  cr3Value,
  Efer,
  Kind,
  Machine,
  Place,
  Source,
  account,
  checkMachineSpec,
  frontEndOf,
  hwX86,
  references,
} from "../src/index.js";
import { fetchCycles } from "../src/account.js";
import { tinyMachine } from "../src/testing.js";

const sourced = (value: number) => ({ value, source: "made up for tests" });

/** Eight pages fit L1I, so that a line once there stays; a line's instructions take 6 * 0.5 cycles. */
function specOf(targets: number, lines: number, more: Partial<FrontEndSpec> = {}) {
  const plain = tinyMachine({ coresPerNode: 1 });
  const frontEnd = { targets: sourced(targets), lines: sourced(lines), ...more };
  return tinyMachine({
    coresPerNode: 1,
    with: {
      l1i: { bytes: 32768, ways: 8, cycles: sourced(4) },
      l2: { bytes: 65536, ways: 16, cycles: sourced(12) },
      l3: { ...plain.l3, bytes: 131072, ways: 16 },
      costs: { ...plain.costs, frontEnd },
    },
  });
}
const LINE_CYCLES = 3;

interface Text {
  readonly frame: number;
  readonly line: number;
}
const same = (a: Text, b: Text): boolean => a.frame === b.frame && a.line === b.line;
const nameOf = ({ frame, line }: Text): string => `${frame}:${line}`;

/** The front end by its description: everything is a list, nothing leaves a cache but by {@link flush}. */
class SlowFrontEnd {
  /** By `line, line before`: the line after; used last at the end. */
  private targets: { from: string; to: Text }[] = [];
  private under: { text: Text; before: string; guess: boolean }[] = [];
  private arrivals = new Map<string, number>();
  private present = new Set<string>();
  private last: Text | undefined;
  private before = "";
  private now = 0;
  waited = 0;
  demanded = 0;
  foreseen = 0;
  restarts = 0;

  constructor(
    private readonly most: number,
    private readonly lines: number,
    private readonly latency: number,
    /** Guesses ahead at most, cycles of a start anew and of a line, and whether each line is left by a jump. */
    private readonly text: { straight: number; restart: number; line: number; jumpsAlways: boolean },
  ) {}

  flush(): void {
    this.present.clear();
    this.arrivals.clear();
  }

  fetch(text: Text): void {
    if (this.last !== undefined && same(this.last, text)) {
      // The line it is in: nothing is asked, unless it is gone.
      if (this.present.has(nameOf(text))) return;
    }
    const anew = this.last !== undefined && this.learn(this.last, text);
    if (anew) {
      this.restarts++;
      this.now += this.text.restart;
    }
    const [head] = this.under;
    this.under = !anew && head !== undefined && same(head.text, text) ? this.under.slice(1) : [];
    this.before = this.last === undefined ? "" : nameOf(this.last);
    this.last = text;
    let waiting = 0;
    const arrival = this.arrivals.get(nameOf(text));
    if (!this.present.has(nameOf(text))) {
      this.demanded++;
      waiting = this.latency;
    } else if (arrival !== undefined) {
      this.foreseen++;
      waiting = Math.min(this.latency, Math.max(0, arrival - this.now));
      this.waited += Math.ceil((64 * waiting) / this.latency) / 64;
    }
    this.present.add(nameOf(text));
    this.arrivals.delete(nameOf(text));
    this.extend(this.lines - 1);
    this.now += waiting;
    this.extend(this.lines);
    this.now += this.text.line;
  }

  private use(from: string): Text | undefined {
    const at = this.targets.findIndex((each) => each.from === from);
    if (at < 0) return undefined;
    const [found] = this.targets.splice(at, 1);
    this.targets.push(found!);
    return found!.to;
  }

  /** @returns whether the way there was another than was remembered, or none was */
  private learn(from: Text, to: Text): boolean {
    const key = `${nameOf(from)} ${this.before}`;
    const known = this.use(key);
    if (known !== undefined) {
      this.targets[this.targets.length - 1]!.to = to;
      return !same(known, to);
    }
    if (!this.text.jumpsAlways && from.frame === to.frame && to.line === from.line + 1) return false;
    this.targets.push({ from: key, to });
    if (this.targets.length > this.most) this.targets.shift();
    return true;
  }

  private extend(most: number): void {
    while (this.under.length < most) {
      const end = this.under.at(-1) ?? { text: this.last!, before: this.before };
      const target = this.use(`${nameOf(end.text)} ${end.before}`);
      if (target === undefined && end.text.line === 63) return;
      if (target === undefined && this.under.filter(({ guess }) => guess).length >= this.text.straight) return;
      const text = target ?? { frame: end.text.frame, line: end.text.line + 1 };
      this.under.push({ text, before: nameOf(end.text), guess: target === undefined });
      if (this.present.has(nameOf(text))) continue;
      this.present.add(nameOf(text));
      this.arrivals.set(nameOf(text), this.now + this.latency);
    }
  }
}

function machineOf(targets: number, lines: number, more: Partial<FrontEndSpec> = {}) {
  const spec = specOf(targets, lines, more);
  const assembly = assemble([hwX86(spec)]);
  const machine = assembly.get(Machine) as NumaMachine;
  const counters = assembly.get(Counters);
  const fetch = ({ frame, line }: Text): void => {
    machine.cpu(0).fetch((frame * 4096 + line * 64) | 0, 0);
  };
  const count = (kind: Kind, source: Source): number => counters.of(0)[counters.layout.row(0, kind) + source]!;
  return { spec, machine, counters, fetch, count };
}

const step = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({ frame: fc.integer({ min: 1, max: 3 }), line: fc.constantFrom(0, 1, 2, 3, 30, 61, 62, 63) }),
  },
  { weight: 1, arbitrary: fc.constant("flush" as const) },
);
/** One step, or lines in a row. */
const steps = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: step.map((each) => [each]) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 7 }))
          .map(([frame, length]) => Array.from({ length }, (_, line) => ({ frame, line }))),
      },
    ),
    { minLength: 1, maxLength: 40 },
  )
  .map((all) => all.flat());

test("comes from where, and waits for as much of it as, the lists say", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 6 }),
      steps,
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.record({ straight: fc.nat(7), restart: fc.nat(40), miss: fc.nat(9) }), { nil: undefined }),
      fc.boolean(),
      (targets, lines, path, laps, costs, plain) => {
        const { spec, machine, fetch, count, counters } = machineOf(
          targets,
          lines,
          costs && {
            straightLines: sourced(costs.straight),
            restartCycles: sourced(costs.restart),
            missCycles: sourced(costs.miss),
            plainText: { instructionsPerCycle: sourced(4), jumpCycles: sourced(2) },
          },
        );
        const front = frontEndOf(machine.cpu(0))!;
        if (plain) front.runPlain(8);
        const latency = 100 - 4 + (costs?.miss ?? 0);
        expect(fetchCycles(spec, 0)[Source.Memory]).toBe(latency);
        const slow = new SlowFrontEnd(targets, lines, latency, {
          straight: costs?.straight ?? lines,
          restart: costs?.restart ?? 0,
          line: plain ? (costs ? 8 / 4 + 2 : 8 * 0.5) : LINE_CYCLES,
          jumpsAlways: plain,
        });
        let fetches = 0;
        for (let lap = 0; lap < laps; lap++) {
          for (const each of path) {
            if (each === "flush") {
              machine.flushCaches();
              slow.flush();
              continue;
            }
            fetches++;
            fetch(each);
            slow.fetch(each);
          }
        }
        expect(count(Kind.Fetch, Source.Memory)).toBe(slow.demanded + slow.waited);
        expect(count(Kind.PrefetchedFetch, Source.Memory)).toBe(slow.foreseen - slow.waited);
        const all = [Kind.Fetch, Kind.PrefetchedFetch].map((kind) => references(counters.of(0), 2, kind));
        expect(all[0]! + all[1]!).toBe(fetches);
        expect(front.restarts).toBe(slow.restarts);
      },
    ),
    { numRuns: 400 },
  );
});

/** Every eighth line of eight pages once, each left by a jump, the same way each lap; none lies behind another. */
const CHAIN: readonly Text[] = Array.from({ length: 64 }, (_, n) => {
  const place = (n * 37 + 11) % 64;
  return { frame: 1 + (place >> 3), line: (place & 7) * 8 };
});

/** Share of the latency that a line costs in the third lap, the caches emptied before it. */
function waitedALine(targets: number, lines: number, empty: "flushCaches" | "chill" = "flushCaches"): number {
  const { machine, fetch, count } = machineOf(targets, lines);
  for (const text of [...CHAIN, ...CHAIN]) fetch(text);
  machine[empty]();
  const before = count(Kind.Fetch, Source.Memory);
  for (const text of CHAIN) fetch(text);
  return (count(Kind.Fetch, Source.Memory) - before) / CHAIN.length;
}

test("within reach a cold line costs its latency over the lines under way", () => {
  for (const lines of [2, 4, 8]) {
    const share = waitedALine(1024, lines);
    expect(share).toBeGreaterThan(1 / lines - LINE_CYCLES / 96);
    // The lines that were under way when the caches were emptied are waited for one by one.
    expect(share).toBeLessThan(1 / lines + (lines + 1) / CHAIN.length);
  }
});

test("one line under way is a front end that waits", () => {
  expect(waitedALine(1024, 1)).toBeGreaterThan(0.95);
});

test("beyond reach no jump is foreseen, and each line waited for", () => {
  expect(waitedALine(63, 4)).toBe(1);
  expect(waitedALine(64, 4)).toBeLessThan(0.4);
});

test("what was hidden of a line costs nothing, what was waited for as much as ever", () => {
  const { spec, fetch, counters, count } = machineOf(64, 4);
  for (let line = 0; line < 16; line++) fetch({ frame: 1, line });
  const memory = count(Kind.Fetch, Source.Memory);
  expect(count(Kind.PrefetchedFetch, Source.Memory)).toBeGreaterThan(8);
  expect(account(counters.of(0), spec, 0).cycles).toBeCloseTo(memory * 96 * spec.costs.fetchExposure.value, 2);
});

test("emptying the caches leaves the targets, emptying all does not", () => {
  expect(waitedALine(1024, 4, "flushCaches")).toBeLessThan(0.4);
  expect(waitedALine(1024, 4, "chill")).toBe(1);
});

test("two threads of a core share what it remembers, each on its own way", () => {
  const plain = specOf(64, 4);
  const spec = tinyMachine({ coresPerNode: 1, threadsPerCore: 2, with: { l1i: plain.l1i, costs: plain.costs } });
  const machine = assemble([hwX86(spec)]).get(Machine) as NumaMachine;
  const path = [5, 40, 9, 60].map((line) => 4096 + line * 64);
  for (let lap = 0; lap < 3; lap++)
    for (const address of path) for (const cpu of [0, 1]) machine.cpu(cpu).fetch(address, 0);
  machine.flushCaches();
  const counters = [0, 1].map((cpu) => machine.cpu(cpu).counters.slice());
  for (const address of path) machine.cpu(0).fetch(address, 0);
  for (const address of path) machine.cpu(1).fetch(address, 0);
  // The second finds what the first brought.
  const memory = [0, 1].map((cpu) => machine.cpu(cpu).counters[Source.Memory]! - counters[cpu]![Source.Memory]!);
  expect(memory[0]).toBeGreaterThan(0);
  expect(memory[1]).toBe(0);
});

test("a fetch that had to walk asks for nothing ahead, the next one of its page does", () => {
  const { spec, machine, counters, count } = machineOf(64, 4);
  const memory = machine.memory;
  const cpu = machine.cpu(0);
  // Four tables of one entry each, then page 0x1000 of the last one's second entry.
  for (const [table, index, to] of [
    [16, 0, 17],
    [17, 0, 18],
    [18, 0, 19],
    [19, 1, 1],
  ] as const)
    memory.write32(table, index * 2, (to << 12) | 0x63);
  cpu.cr4 = Cr4.PhysicalAddressExtension;
  cpu.writeCr3(cr3Value(16));
  cpu.efer = Efer.LongModeEnable;
  cpu.cr0 = Cr0.Paging;
  const arrived = (): number => count(Kind.Fetch, Source.Memory) + count(Kind.PrefetchedFetch, Source.Memory);
  cpu.fetch(0x1000, 0);
  expect(counters.of(0)[counters.layout.place(0, Place.FetchWalks)]).toBe(1);
  cpu.fetch(0x1040, 0);
  // Both were waited for in full: nothing had been asked for.
  expect([count(Kind.Fetch, Source.Memory), arrived()]).toEqual([2, 2]);
  cpu.fetch(0x1080, 0);
  expect(count(Kind.PrefetchedFetch, Source.Memory)).toBeGreaterThan(0);
  expect(spec.costs.frontEnd?.restartCycles).toBeUndefined();
});

test("a specification's counts are whole and in range", () => {
  const wrong = (targets: number, lines: number) => () => checkMachineSpec(specOf(targets, lines));
  expect(wrong(16, 4)).not.toThrow();
  expect(wrong(0, 4)).toThrow(
    /costs\.frontEnd\.targets\.value: 0 is no count of lines.*1 to 16384; leave frontEnd out/,
  );
  expect(wrong(16385, 4)).toThrow(/targets/);
  expect(wrong(16, 65)).toThrow(/costs\.frontEnd\.lines\.value: 65.*1 to 64/);
  expect(wrong(16, 2.5)).toThrow(/lines/);
  const more = (part: Partial<FrontEndSpec>) => () => checkMachineSpec(specOf(16, 4, part));
  expect(more({ straightLines: sourced(64) })).toThrow(/costs\.frontEnd\.straightLines\.value: 64.*0 to 63/);
  expect(more({ straightLines: sourced(0.5) })).toThrow(/straightLines/);
  expect(more({ restartCycles: sourced(-1) })).toThrow(/costs\.frontEnd\.restartCycles\.value: -1/);
  expect(more({ missCycles: sourced(NaN) })).toThrow(/costs\.frontEnd\.missCycles/);
  const plain = (instructions: number, jump: number) =>
    more({ plainText: { instructionsPerCycle: sourced(instructions), jumpCycles: sourced(jump) } });
  expect(plain(4, 0)).not.toThrow();
  expect(plain(0, 0)).toThrow(/plainText\.instructionsPerCycle\.value: no instruction would ever end/);
  expect(plain(4, -2)).toThrow(/plainText\.jumpCycles\.value: -2/);
});
