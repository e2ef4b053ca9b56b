/// <reference types="node" />
/**
 * Compiled C programs leave the same memory in the interpreter as on this machine's processor, at several optimisation
 * levels: two, or five with KREPLICA_PROOF=1.
 */
import { rmSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { host } from "./host.js";
import { nativeDirectory, whyNoNative } from "./native.js";
import { compile, PROGRAMS, ProgramMachine, runNatively } from "./programs.js";

const reason = whyNoNative();
if (reason !== undefined) console.warn(`COMPILED PROGRAMS SKIPPED: ${reason}`);
const directory = reason === undefined ? nativeDirectory() : "";
afterAll(() => {
  if (directory !== "") rmSync(directory, { recursive: true, force: true });
});

const { features } = host();
const full = process.env["KREPLICA_PROOF"] === "1";
const variants: readonly (readonly string[])[] = [
  ["-O2"],
  ...(full ? [["-O0"], ["-Os"], ["-O3", "-funroll-loops"]] : []),
  ["-O2", "-mbmi", "-mbmi2", "-mpopcnt", "-mlzcnt", "-mmovbe", "-madx", "-mcx16"],
];
const needs = ["bmi1", "bmi2", "popcnt", "abm", "movbe", "adx"];

test.skipIf(reason !== undefined).each(variants.map((flags) => [flags.join(" "), flags] as const))(
  "gcc %s",
  (_name, flags) => {
    const missing = flags.includes("-mbmi") ? needs.filter((feature) => !features.has(feature)) : [];
    if (missing.length > 0) {
      console.warn(`not on this processor, not proven: programs with ${missing.join(", ")}`);
      return;
    }
    const image = compile(directory, flags);
    for (const seed of full ? [1, 2] : [1]) {
      const native = runNatively(directory, seed);
      const machine = new ProgramMachine(image);
      PROGRAMS.forEach((name, n) => {
        const scratch = machine.run(n, seed);
        const at = scratch.findIndex((byte, k) => byte !== native[n]![k]);
        expect(at, `${name}, seed ${seed}: first differing byte of scratch memory`).toBe(-1);
      });
    }
  },
);

test.skipIf(reason !== undefined)("without page windows the programs do the same", () => {
  const image = compile(directory, ["-O2"]);
  const native = runNatively(directory, 7);
  const machine = new ProgramMachine(image, false);
  for (const n of [1, 3, 9]) expect(Buffer.compare(machine.run(n, 7), native[n]!), PROGRAMS[n]).toBe(0);
});
