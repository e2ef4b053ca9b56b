/**
 * Recordings of a small kernel that has the series in it, switched on and off: read, replayed, and compared with each
 * other. What `on` does more than `off` is what replication really does, function by function: an oracle for what the
 * model adds.
 *
 * Not comparable, and why: the allocator (SLOB walks lists of whatever was freed before, so that its instructions
 * differ between any two recordings); in poke also interrupts, scheduler, RCU and timekeeping, which run as long as
 * other CPUs make the test wait; no-ops of `on`, whose copy on node 1 has longer sequences of shorter ones (defect N1).
 */
/// <reference types="node" />
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unzstd } from "@kreplica/inputs/zstd";
import { e52690v3 } from "@kreplica/machines";
import { cycleAccount, gain, nearGain, type ReplayKernel, type TraceMeasurement } from "@kreplica/replay";
import { TraceCounter } from "@kreplica/trace";
import { beforeAll, describe, expect, test } from "vitest";
import { guestNodes } from "../../src/inputs/guest-nodes.js";
import { replayKernel } from "../../src/inputs/replay-kernel.js";
import { readTraceFile } from "../../src/inputs/trace-file.js";
import { measureFile } from "../../src/run-jobs.js";
import { countFunctions, type FunctionCounts } from "../trace/functions.js";

const folder = join(import.meta.dirname, "../fixtures/other-kernel");
const at = (name: string): string => join(folder, name);
const nodes = guestNodes(undefined, folder);
/** Entries of the independent decoder's page dictionary. */
const DICTIONARY = 65_536;

type Side = "on" | "off";
const kernels = {} as Record<Side, ReplayKernel>;
const named = (side: Side) => ({ kernel: at(`System.map-${side}.zst`), nodes });
beforeAll(async () => {
  for (const side of ["on", "off"] as const) kernels[side] = (await replayKernel({ recording: named(side) }))!;
});

/** By function: instructions, entries, lines of text, loads, stores. */
type Recorded = Record<string, unknown> & {
  readonly top_functions: readonly (readonly [string, number, number, number, number, number])[];
};
const recorded = (side: Side, key: string): Recorded =>
  JSON.parse(new TextDecoder().decode(unzstd(readFileSync(at(`${side}4-${key}-cpu2.functions.json.zst`))))) as Recorded;
const functions = (side: Side, key: string): Map<string, FunctionCounts> =>
  countFunctions(at(`${side}4-${key}-cpu2.kt.zst`), kernels[side].recorded.symbols());

describe.each([
  ["on", "mount"],
  ["off", "mount"],
  ["on", "poke"],
  ["off", "poke"],
] as const)("%s, %s", (side, key) => {
  const file = at(`${side}4-${key}-cpu2.kt.zst`);

  test("what lies where is what an independent decoder counted", () => {
    const counter = new TraceCounter(DICTIONARY, kernels[side].recorded.guest);
    readTraceFile(file, (batch) => counter.add(batch));
    const counted = counter.result();
    const expected = recorded(side, key);
    expect({ ...counted, fetch_kinsns_by_node: undefined }).toEqual({
      ...Object.fromEntries(Object.keys(counted).map((name) => [name, expected[name]])),
      fetch_kinsns_by_node: undefined,
    });
    // That decoder has one dictionary of text pages for all CPUs, and counts what CPU 2 runs in node 1's copy where
    // another CPU's page lay last. With the address space that changes text loaded, a CPU of node 1 runs node 0's text,
    // in the real series too: 468 instructions a change.
    const far = side === "off" ? counted.kernel_insns : key === "poke" ? 78 * 468 : 0;
    expect(counted.fetch_kinsns_by_node).toEqual([far, counted.kernel_insns - far]);
  });

  test("and by function", () => {
    const counted = functions(side, key);
    const expected = recorded(side, key).top_functions;
    expect(new Set(counted.values()).size).toBe(expected.length);
    for (const [name, instructions, , , loads, stores] of expected) {
      const of = counted.get(name);
      // What an IRET loads from the stack of an interrupt, nine a return, that decoder gives to no function.
      const atReturn = name === "restore_regs_and_return_to_kernel" && key === "poke" ? 9 * (instructions / 17) : 0;
      expect([name, of?.instructions, of?.loads, of?.stores]).toEqual([name, instructions, loads + atReturn, stores]);
    }
  });
});

/** Instructions, loads and stores of `on` less those of `off`, by function; what differs in nothing is left out. */
function difference(key: string): Map<string, readonly [instructions: number, loads: number, stores: number]> {
  const [on, off] = [functions("on", key), functions("off", key)];
  return new Map(
    [...new Set([...on.keys(), ...off.keys()])].flatMap((name) => {
      const [a, b] = [on.get(name), off.get(name)];
      const of = (["instructions", "loads", "stores"] as const).map((what) => (a?.[what] ?? 0) - (b?.[what] ?? 0)) as [
        number,
        number,
        number,
      ];
      return of.some((each) => each !== 0) ? [[name, of] as const] : [];
    }),
  );
}
const ALLOCATOR = /^slob_/;

const away = { cpu: 12, masterNode: 0, dataNode: 1 };
const measure = (side: Side, key: string, policies: readonly string[]): TraceMeasurement[] =>
  measureFile(
    {
      spec: e52690v3,
      where: away,
      pti: false,
      levels: 4,
      seed: 1,
      alignment: "patch-06",
      policies,
      file: at(`${side}4-${key}-cpu2.kt.zst`),
    },
    kernels[side],
  );

describe("the real series' own work against the model's", () => {
  test("mount: none but longer no-ops, and the model adds none", () => {
    const real = new Map([...difference("mount")].filter(([name]) => !ALLOCATOR.test(name)));
    // Defect N1: the copy's no-ops, 51 instructions of them; nothing is loaded or stored that one copy would not.
    expect(Object.fromEntries(real)).toEqual({
      entry_SYSCALL_64_after_hwframe: [48, 0, 0],
      amd_clear_divider: [3, 0, 0],
    });
    const [, perNode] = measure("off", "mount", ["single-copy", "per-node"]);
    expect(perNode!.work).toEqual({ cold: NOTHING, hot: NOTHING });
    for (const counters of [perNode!.cold, perNode!.hot])
      expect(cycleAccount(counters, e52690v3, 1).account.replication).toBe(0);
  });

  test("poke: a second pass over each piece of text, the same every time, which compare counts and leaves out", () => {
    const pokes = [measure("off", "poke", ["single-copy"])[0]!.pokes, measure("on", "poke", ["single-copy"])[0]!.pokes];
    expect(pokes).toEqual([78, 78]);
    const real = [...difference("poke")].filter(
      ([name, of]) => !ALLOCATOR.test(name) && of[0] > 0 && of.every((each) => each % 78 === 0),
    );
    const perPoke = Object.fromEntries(real.map(([name, of]) => [name, of.map((each) => each / 78)]));
    expect(perPoke).toMatchObject({
      __text_poke: [102, 25, 10],
      switch_mm_irqs_off: [172, 44, 28],
      flush_tlb_mm_range: [53, 13, 14],
      walk_to_page_node: [92, 12, 6],
      cr4_update_irqsoff: [18, 4, 0],
      is_text_replicated: [6, 4, 0],
      invalidate_user_asid: [4, 2, 0],
      memcpy_erms: [4, 2, 1],
    });
    // What is left of the difference are interrupts and waiting: no multiple of the pokes.
    const sum = (of: readonly (readonly [string, readonly number[]])[]): number =>
      of.reduce((all, [, [instructions]]) => all + instructions!, 0);
    expect(sum(real) / 78).toBeGreaterThanOrEqual(451);
    expect(sum(real)).toBeLessThan(sum([...difference("poke")]));
  });
});

const NOTHING = { pgdsMade: 0, pgdsFreed: 0, entryStores: 0, tablesCleared: 0 };

describe("replayed on a kernel of its own layout", () => {
  test.each(["on", "off"] as const)(
    "%s: text comes from far with one copy and from near with its own, whichever way it was recorded",
    (side) => {
      const [single, perNode] = measure(side, "mount", ["single-copy", "per-node"]);
      const [one, each] = [single!, perNode!].map(({ cold }) => cycleAccount(cold, e52690v3, 1).account) as [
        ReturnType<typeof cycleAccount>["account"],
        ReturnType<typeof cycleAccount>["account"],
      ];
      expect([one.text.local, each.text.remote, one.rodata.local, each.rodata.remote]).toEqual([0, 0, 0, 0]);
      expect(Math.min(one.text.remote, each.text.local, one.rodata.remote, each.rodata.local)).toBeGreaterThan(0);
      expect(gain(single!.cold, perNode!.cold, e52690v3, 1).percent).toBeGreaterThan(20);
      expect(nearGain(single!.cold, perNode!.cold, e52690v3, { nodeIndex: 1, far: 0, near: 1 })).toBeGreaterThan(20);
      expect([single!.test.name, single!.test.iterations, single!.calls, single!.copied]).toEqual([
        `${side}4-mount-cpu2`,
        1,
        1,
        side === "on",
      ]);
      expect(single!.statistics).toMatchObject({
        kernel_insns: recorded(side, "mount")["kernel_insns"],
        text_lines64: recorded(side, "mount")["text_lines64"],
      });
    },
  );
});
