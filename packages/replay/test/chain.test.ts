/** The chains of `kreplica probe`: their order against a slow model, and walks whose cost can be said in advance. */
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { InputError } from "@kreplica/inputs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chainOrder } from "../src/probe/chain-order.js";
import { walkChain, type WalkedCell, whyNotWalked } from "../src/probe/chain-walk.js";

/** The shuffle over bigints, and a lap as a list. */
function slowOrder(groups: number, seed: number): { next: number[]; hash: number } {
  const mask = 0xffff_ffffn;
  let state = BigInt(seed === 0 ? 1 : seed);
  const next = [...Array(groups).keys()];
  for (let left = groups - 1; left >= 1; left--) {
    state = (state ^ (state << 13n)) & mask;
    state ^= state >> 17n;
    state = (state ^ (state << 5n)) & mask;
    const other = Number(state % BigInt(left));
    [next[left], next[other]] = [next[other]!, next[left]!];
  }
  const lap = [next[0]!];
  while (lap.length < groups) lap.push(next[lap.at(-1)!]!);
  return { next, hash: Number(lap.reduce((sum, group) => (sum * 31n + BigInt(group)) & mask, 0n)) };
}

describe("the order", () => {
  test("is the slow model's, one cycle through all groups", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)), (groups, seed) => {
        const { next, hash } = chainOrder(groups, seed);
        const slow = slowOrder(groups, seed);
        expect([[...next], hash]).toEqual([slow.next, slow.hash]);
        let steps = 0;
        for (let group = 0, first = true; first || group !== 0; first = false, steps++) group = next[group]!;
        expect(steps).toBe(groups);
      }),
      { numRuns: 100, seed: 3 },
    );
  });

  test("is the measuring program's: what it printed for 16 KiB of loads and seed 1", () => {
    expect(chainOrder(256, 1).hash).toBe(2823161996);
    expect(chainOrder(512, 1).hash).toBe(568708946);
  });
});

const spec = tinyMachine({ bytesPerNode: 1 << 30 });
const cell = (over: Partial<WalkedCell>): WalkedCell => ({
  what: "load",
  from: 0,
  to: 0,
  bytes: 4096,
  runLines: 1,
  pages: "huge",
  cache: "hot",
  ...over,
});
const walked = (over: Partial<WalkedCell>): number => walkChain(spec, cell(over), 5).nanoseconds;

describe("a walk on the tiny machine, a nanosecond a cycle", () => {
  test("loads: L1 hot, L3 hot, and memory of either node, cold or too long for any cache", () => {
    expect(walked({})).toBe(4);
    expect(walked({ bytes: 32768 })).toBeGreaterThan(30);
    expect(walked({ bytes: 32768 })).toBeLessThanOrEqual(40);
    // Every line is cold, and no translation.
    expect(walked({ bytes: 8192, cache: "cold" })).toBe(100);
    expect(walked({ bytes: 8192, cache: "cold", to: 1 })).toBe(200);
    expect(walked({ bytes: 1 << 20 })).toBeGreaterThan(99);
    expect(walked({ bytes: 1 << 20, to: 1 })).toBeGreaterThan(199);
  });

  test("text: its instructions, and of a miss the share that the front end exposes", () => {
    expect(walked({ what: "fetch" })).toBe(5 * 0.5);
    expect(walked({ what: "fetch", runLines: 4 })).toBe(13 * 0.5);
    expect(walked({ what: "fetch", bytes: 8192, cache: "cold" })).toBe(2.5 + 96 * 0.75);
    expect(walked({ what: "fetch", bytes: 8192, cache: "cold", to: 1 })).toBe(2.5 + 196 * 0.75);
  });

  test("text within reach of a front end that runs ahead waits for a part of each line, beyond reach for all", () => {
    const made = (value: number) => ({ value, source: "made up for tests" });
    const cold = (targets: number): number => {
      const frontEnd = { targets: made(targets), lines: made(4) };
      const ahead = tinyMachine({ bytesPerNode: 1 << 30, with: { costs: { ...spec.costs, frontEnd } } });
      return walkChain(ahead, cell({ what: "fetch", bytes: 4096, cache: "cold" }), 5).nanoseconds;
    };
    // The lap before has taught it the jumps; of four lines under way one is waited for.
    expect(cold(1024)).toBeLessThan(2.5 + (96 * 0.75) / 3);
    expect(cold(1024)).toBeGreaterThan(2.5 + (96 * 0.75) / 5);
    expect(cold(8)).toBeGreaterThan(cold(1024));
  });

  test("beyond reach each line costs its own cycles, a start anew, and of a miss what a fetch takes beyond a load", () => {
    const made = (value: number) => ({ value, source: "made up for tests" });
    const on = (targets: number, over: Partial<WalkedCell>): number => {
      const plainText = { instructionsPerCycle: made(5), jumpCycles: made(2) };
      const costs = { straightLines: made(0), restartCycles: made(7), missCycles: made(5), plainText };
      const frontEnd = { targets: made(targets), lines: made(1), ...costs };
      const ahead = tinyMachine({ bytesPerNode: 1 << 30, with: { costs: { ...spec.costs, frontEnd } } });
      return walkChain(ahead, cell({ what: "fetch", ...over }), 5).nanoseconds;
    };
    expect(on(8, {})).toBe(5 / 5 + 2 + 7);
    // Two of 64, since the lap before began without a line before it.
    expect(on(1024, {})).toBe(5 / 5 + 2 + (2 * 7) / 64);
    // Lines in a row are left by jumps too.
    expect(on(8, { runLines: 4 })).toBe(13 / 5 + 2 + 7);
    expect(on(8, { cache: "cold" })).toBe(5 / 5 + 2 + 7 + 96 + 5);
    expect(on(8, { cache: "cold", to: 1 })).toBe(5 / 5 + 2 + 7 + 196 + 5);
  });

  test("a cold lap is counted to its end: what a front end brought too early is found later", () => {
    const made = (value: number) => ({ value, source: "made up for tests" });
    const frontEnd = { targets: made(8), lines: made(4), straightLines: made(3) };
    const l3 = { ...spec.l3, bytes: 16 << 20, ways: 16 };
    const ahead = tinyMachine({ bytesPerNode: 1 << 30, with: { l3, costs: { ...spec.costs, frontEnd } } });
    const far = walkChain(ahead, cell({ what: "fetch", bytes: 8 << 20, cache: "cold" }), 5).nanoseconds;
    const all = walkChain(ahead, cell({ what: "fetch", bytes: 8 << 20 }), 5).nanoseconds;
    // Three lines behind each were asked for when it was come to: a quarter of the lap waits for memory.
    expect((far - all) / (100 - 40)).toBeGreaterThan(0.2);
    expect((far - all) / (100 - 40)).toBeLessThan(0.3);
  });

  test("small pages cost translations where the TLBs are too small, 2 MiB pages none", () => {
    const [small, huge] = (["small", "huge"] as const).map((pages) => walked({ bytes: 1 << 20, pages }));
    // Nearly every line needs a walk, whose last step costs an L1 hit at the least.
    expect(small! - huge!).toBeGreaterThan(4);
  });

  test("the same walk is the same twice; another seed has another order", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => walkChain(spec, cell({ bytes: 65536 }), seed));
    expect(a).toEqual(b);
    expect(c!.orderHash).not.toBe(a!.orderHash);
  });

  test("what the machine has no place for is refused with the reason", () => {
    expect(whyNotWalked(spec, cell({ from: 5 }))).toBe("the machine has no CPU on node 5");
    expect(whyNotWalked(spec, cell({ to: 5 }))).toBe("the machine has no node 5");
    expect(whyNotWalked(spec, cell({ bytes: 1 << 30 }))).toMatch(/too little memory/);
    const large = tinyMachine({ bytesPerNode: 8 * 2 ** 30, with: { l3: { ...spec.l3, bytes: 1 << 28 } } });
    expect(whyNotWalked(large, cell({ bytes: 1 << 30 }))).toBe("longer than the 512 MiB that are walked");
    expect(whyNotWalked(large, cell({ bytes: 1 << 28 }))).toMatch(/longer than the 64 MiB that are walked hot/);
    expect(whyNotWalked(large, cell({ bytes: 1 << 28, cache: "cold" }))).toBeUndefined();
    expect(() => walkChain(spec, cell({ to: 5 }), 1)).toThrow(InputError);
  });
});
