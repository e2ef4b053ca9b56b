/// <reference types="node" />
/**
 * The passes of a text poke against 78 recorded ones, of a kernel with the series switched on and off; and what `patch`
 * makes of them.
 */
import { readFileSync } from "node:fs";
import { unzstd } from "@kreplica/inputs/zstd";
import { preset } from "@kreplica/machines";
import {
  CR3_WRITE_CYCLES,
  FIRST_PASS,
  FURTHER_PASS,
  type PatchCost,
  patchCosts,
  POKE_FUNCTIONS,
  SYNC_CORE_CYCLES,
} from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { kernelFrom } from "../src/boot.js";

const POKES = 78;
/** Name, instructions, entries, lines of text, loads, stores. */
type Row = readonly [string, number, number, number, number, number];
interface Recording {
  readonly kernel_insns: number;
  readonly top_functions: readonly Row[];
}
const recording = (kernel: "on4" | "off4"): Recording =>
  JSON.parse(
    new TextDecoder().decode(
      unzstd(readFileSync(new URL(`fixtures/poke/${kernel}-poke-cpu2.functions.json.zst`, import.meta.url))),
    ),
  ) as Recording;
const [on, off] = [recording("on4"), recording("off4")];
const countsOf = ({ top_functions: rows }: Recording) =>
  new Map(rows.map(([name, instructions, , , loads, stores]) => [name, [instructions, loads, stores] as const]));
const [withSeries, without] = [countsOf(on), countsOf(off)];
const NONE = [0, 0, 0] as const;
const names = [...new Set([...withSeries.keys(), ...without.keys()])];
const more = (name: string): number[] =>
  [0, 1, 2].map((at) => (withSeries.get(name) ?? NONE)[at]! - (without.get(name) ?? NONE)[at]!);
const isWhole = (counts: readonly number[]): boolean => counts[0]! > 0 && counts.every((count) => count % POKES === 0);

describe("the table, derived again from the recordings", () => {
  test("a further pass: every function that the series runs a whole number of times more a poke, and no other", () => {
    const found = names
      .filter((name) => isWhole(more(name)))
      .map((name) => [name, more(name).map((count) => count / POKES)]);
    const told = POKE_FUNCTIONS.filter(({ further }) => further[0] > 0).map(({ name, further }) => [
      name,
      [...further],
    ]);
    expect(told.sort()).toEqual(found.sort());
  });

  test("the first pass: what a kernel with one copy runs a poke, of these functions and of those that are whole there", () => {
    const told = POKE_FUNCTIONS.filter(({ first }) => first[0] > 0);
    const whole = names.filter((name) => isWhole([...(without.get(name) ?? NONE)]));
    expect(told.map(({ name }) => name)).toEqual(expect.arrayContaining(whole));
    // Three are the scheduler's and others' too: what these run of them is below two instructions a poke.
    for (const { name, first } of told)
      first.forEach((count, at) => {
        expect([name, Math.abs(without.get(name)![at]! / POKES - count) < 2]).toEqual([name, true]);
      });
  });

  test("against all that the recordings differ by, 567 instructions a poke: a pass explains four fifths, the rest is in functions no poke calls", () => {
    const difference = (on.kernel_insns - off.kernel_insns) / POKES;
    expect(difference).toBeCloseTo(567.37, 2);
    expect(FURTHER_PASS).toEqual([454, 106, 59]);
    expect(FURTHER_PASS[0] / difference).toBeGreaterThan(0.75);
    expect(FURTHER_PASS[0] / difference).toBeLessThan(1);
    const rest = names.filter((name) => !POKE_FUNCTIONS.some((each) => each.name === name));
    const left = rest.reduce((sum, name) => sum + more(name)[0]!, 0) / POKES;
    expect(
      FURTHER_PASS[0] +
        left +
        POKE_FUNCTIONS.reduce((sum, { name, further }) => sum + more(name)[0]! / POKES - further[0], 0),
    ).toBeCloseTo(difference, 6);
    // Six timer interrupts and the scheduler's work more or less: entries differ by no multiple of the pokes, in both
    // directions.
    expect(rest.some((name) => more(name)[0]! < -POKES)).toBe(true);
    expect(rest.filter((name) => isWhole(more(name)))).toEqual([]);
    // No INVLPG: the function that holds it was never entered.
    expect(names.filter((name) => name.includes("flush_tlb_one"))).toEqual([]);
  });
});

describe("patch", () => {
  const spec = preset("e5-2690v3-2s")!;
  const [single, copied] = patchCosts(kernelFrom({ spec }), {
    site: "text_poke",
    policies: ["single-copy", "per-node"],
    cpus: [1],
    changes: 1,
  }) as [PatchCost, PatchCost];

  test("a copy more is a pass more: its instructions, two writes of CR3, and a plausible number of cycles", () => {
    expect([single.instructions, copied.instructions]).toEqual([FIRST_PASS[0], FIRST_PASS[0] + FURTHER_PASS[0]]);
    expect([single.rootSwitches, copied.rootSwitches]).toEqual([2, 4]);
    const added = copied.cycles.value - single.cycles.value;
    // At least the two loads and the instructions at their cheapest; within a microsecond.
    expect(added).toBeGreaterThan(
      2 * CR3_WRITE_CYCLES.low! + FURTHER_PASS[0] * (spec.costs.cyclesPerInstruction.low ?? 0.25),
    );
    expect(added).toBeLessThan(3000);
  });

  test("every line has a source and a range, and lines add up to the cycles", () => {
    for (const cost of patchCosts(kernelFrom({ spec }), {
      site: "jump_label",
      policies: ["per-node"],
      cpus: [1, 24],
      changes: 2,
    })) {
      for (const side of ["low", "value", "high"] as const)
        expect(cost.lines.reduce((sum, { cycles }) => sum + cycles[side], 0)).toBeCloseTo(cost.cycles[side], 6);
      for (const { what, source, count, cycles } of cost.lines) {
        expect([what, source.length > 20]).toEqual([what, true]);
        expect(source).toMatch(/measured|modelled|assumed|recalled|counted/);
        expect(cycles.low).toBeLessThanOrEqual(cycles.value);
        expect(cycles.value).toBeLessThanOrEqual(cycles.high);
        expect([what, count === 0 ? cycles.high === 0 : cycles.high > cycles.low]).toEqual([what, true]);
      }
      expect(cost.lines.find(({ what }) => what.startsWith("sync_core"))!.cycles.value).toBe(
        3 * SYNC_CORE_CYCLES.value,
      );
      expect(cost.elsewhere).toBeGreaterThanOrEqual(cost.interrupts * SYNC_CORE_CYCLES.value);
    }
  });
});
