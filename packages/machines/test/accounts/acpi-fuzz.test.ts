/// <reference types="node" />
/** Damaged ACPI tables, their checksums put right so that the damage is read: a sound account, or an InputError. */
import { readFileSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import { checkMachine, machineFromAccounts, readAcpi, tableFromBytes } from "../../src/index.js";

const names = ["SRAT", "SLIT", "HMAT", "APIC"] as const;
const sound = names.map((name) => new Uint8Array(readFileSync(new URL(`../fixtures/acpi/${name}`, import.meta.url))));
/** KREPLICA_FUZZ=100000 reads so many. */
const COUNT = Number(process.env["KREPLICA_FUZZ"] ?? 500);

test("damaged bytes in one table of the four", () => {
  let state = 9;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let read = 0;
  for (let i = 0; i < COUNT; i++) {
    const which = draw(names.length);
    const bytes = sound[which]!.slice();
    for (let steps = 1 + draw(3); steps > 0; steps--) {
      const at = 10 + draw(bytes.length - 10);
      bytes[at] = [0, 1, 0xff, 0x80, draw(256)][draw(5)]!;
    }
    if (draw(20) > 0) bytes[9] = (bytes[9]! - bytes.reduce((sum, each) => sum + each, 0)) & 0xff;
    try {
      const tables = names.map((name, j) => tableFromBytes(j === which ? bytes : sound[j]!, name));
      checkMachine(machineFromAccounts([readAcpi(tables)], "box"));
      read++;
    } catch (error) {
      if (!(error instanceof InputError))
        throw new Error(`${i}: ${Buffer.from(bytes).toString("hex")}`, { cause: error });
    }
  }
  expect(read).toBeGreaterThan(COUNT / 10);
  expect(COUNT - read).toBeGreaterThan(COUNT / 10);
}, 600_000);
