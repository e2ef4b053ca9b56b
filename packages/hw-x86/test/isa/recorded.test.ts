/**
 * The interpreter against recorded outcomes, on any host: set to AMD it does what an AMD processor did, set to Intel
 * what Intel's do, and a wrong value in any field is seen, in the cases that have an exclusion too.
 */
import { expect, test } from "vitest";
import { differences, HYPERVISORS } from "./differences.js";
import { Model } from "./model.js";
import type { Outcome } from "./native.js";
import { recordedOutcomes } from "./recorded.js";
import { vendorShapes } from "./vendor-shapes.js";
import type { Vendor } from "../../src/spec.js";

const recorded = recordedOutcomes("amd-outcomes");
const models = { amd: new Model("amd"), intel: new Model("intel") };
/** Outcomes by vendor, in the order of `recorded`; half through blocks, half by steps. */
const outcomes = Object.fromEntries(
  (["amd", "intel"] as const).map((vendor) => [
    vendor,
    recorded.map(({ instance, index }) => models[vendor].run(instance, (index & 1) === 0)),
  ]),
) as Record<Vendor, Outcome[]>;

test.each(["amd", "intel"] as const)("set to %s, the model reproduces every recorded instance", (vendor) => {
  const wrong = recorded.flatMap(({ index, instance, ...seen }, n) =>
    differences(vendor, instance, seen[vendor], outcomes[vendor][n]!).map(
      (found) => `${index} ${instance.shape.text}: ${found}`,
    ),
  );
  expect(wrong).toEqual([]);
  expect(recorded.length).toBe(4698);
});

test("set to AMD, the model does what an AMD processor did with the instances written by hand", () => {
  const byHand = recordedOutcomes("amd-by-hand");
  const wrong = byHand.flatMap(({ instance, amd }, n) =>
    differences("amd", instance, amd, models.amd.run(instance, (n & 1) === 0)).map(
      (found) => `${instance.shape.text}: ${found}`,
    ),
  );
  expect(wrong).toEqual([]);
  expect(new Set(byHand.map(({ instance }) => instance.shape.text))).toEqual(
    new Set(vendorShapes.map(({ text }) => text)),
  );
  // The vendors do differ in most of them: a model of the other kind would be seen.
  const other = new Set(
    byHand
      .filter(
        ({ instance, amd }, n) =>
          differences("amd", instance, amd, models.intel.run(instance, (n & 1) === 0)).length > 0,
      )
      .map(({ instance }) => instance.shape.text),
  );
  expect(
    [...vendorShapes].filter(({ text }) => !other.has(text)).map(({ text }) => text.split(" # ")[1] ?? text),
  ).toEqual([
    "jrcxz",
    "call, REX.W after the prefix",
    "call m16:32",
    "to a non-canonical address, stack read-only",
    "single-stepped",
    "monitor",
    "mwait",
  ]);
});

test("each exclusion is needed, by as many instances as were recorded, and changes its own field only", () => {
  const used = HYPERVISORS.map((each) => recorded.filter(({ instance, amd }) => each.undo(instance, amd) !== amd));
  expect(used.map((each) => each.length)).toEqual([200, 223 + 284]);
  HYPERVISORS.forEach((each, n) => {
    for (const { instance, amd } of used[n]!) {
      const { rip, flags, ...rest } = each.undo(instance, amd);
      expect({ rip, flags, ...rest }).toEqual({ ...amd, ...(n === 0 ? { rip } : { flags: amd.flags | 0x1_0000n }) });
    }
  });
});

test("an exclusion knows its own value only: another one, another vector or another instruction is left alone", () => {
  HYPERVISORS.forEach((each) => {
    for (const { instance, amd } of recorded) {
      if (each.undo(instance, amd) === amd) continue;
      const others: readonly Outcome[] = [
        { ...amd, rip: amd.rip + 1n },
        { ...amd, rip: amd.rip - 1n },
        { ...amd, trap: 3 },
      ];
      expect(others.map((other) => each.undo(instance, other) === other)).toEqual([true, true, true]);
      const stranger = { ...instance, shape: { ...instance.shape, text: "nop" } };
      expect(each.undo(stranger, amd)).toBe(amd);
      // On an Intel host it would be a fault of the model's.
      expect(differences("intel", instance, amd, each.undo(instance, amd))).not.toEqual([]);
    }
  });
});

const CARRY = 1n,
  PARITY = 4n,
  ADJUST = 0x10n,
  ZERO = 0x40n,
  SIGN = 0x80n,
  TRAP = 0x100n,
  INTERRUPT = 0x200n,
  DIRECTION = 0x400n,
  OVERFLOW = 0x800n,
  RESUME = 0x1_0000n;

test("a wrong flag, address, register or byte of memory is seen, where a hypervisor has its hand in it too", () => {
  recorded.forEach(({ instance, amd }, n) => {
    if (instance.shape.mnemonic !== "int" && !/^rep/.test(instance.shape.text)) return;
    const model = outcomes.amd[n]!;
    const planted: readonly Partial<Outcome>[] = [
      ...[CARRY, PARITY, ADJUST, ZERO, SIGN, TRAP, INTERRUPT, DIRECTION, OVERFLOW, RESUME].map((flag) => ({
        flags: model.flags ^ flag,
      })),
      { rip: model.rip + 1n },
      { rip: model.rip - 1n },
      { hash: model.hash ^ 1 },
      { registers: model.registers.with(1, model.registers[1]! ^ 1n) },
    ];
    for (const plant of planted) {
      if (differences("amd", instance, amd, { ...model, ...plant }).length === 0)
        expect.fail(
          `${instance.shape.text}: nothing said of ${JSON.stringify(plant, (_, value: unknown) => (typeof value === "bigint" ? value.toString(16) : value))}`,
        );
    }
  });
});

test("the vendors differ in the arithmetic flags of an interrupted comparison and in what a refused call leaves in memory, in nothing else recorded", () => {
  const kinds = new Map<string, number>();
  recorded.forEach(({ instance }, n) => {
    const a = outcomes.amd[n]!,
      i = outcomes.intel[n]!;
    const fields = (["trap", "error", "cr2", "rip", "flags", "registers", "hash"] as const).filter(
      (field) => String(a[field]) !== String(i[field]),
    );
    if (fields.length === 0) return;
    const kind = `${instance.shape.mnemonic}, vector ${a.trap}: ${fields.join()}${fields[0] === "flags" ? ` within ${((a.flags ^ i.flags) & ~0x8d5n).toString(16)}` : ""}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  });
  expect(Object.fromEntries(kinds)).toEqual({
    "scas, vector 1: flags within 0": 219,
    "cmps, vector 14: flags within 0": 3,
    "scas, vector 14: flags within 0": 2,
    "call, vector 13: hash": 1,
  });
});
