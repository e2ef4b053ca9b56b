/** How many operations a search from a seed takes to meet a bug. */
import type { Bug } from "@kreplica/museum";
import { familiesOfBug, kernelOfBug } from "../../src/bugs.js";
import { CheckFailure } from "../../src/check-failure.js";
import { Differential } from "../../src/differential.js";
import { Repertoire } from "../../src/families.js";

/** @param most runs of 200 operations @returns undefined where they do not meet it; 0 operations where the boot does */
export function operationsToFind(
  bug: Bug,
  seed: number,
  most: number,
): { readonly operations: number; readonly rule: string } | undefined {
  const families = familiesOfBug(bug);
  const repertoire = new Repertoire(families);
  let done = 0;
  let system: Differential | undefined;
  let before = 0;
  try {
    for (let run = 0; run < most; run++) {
      system ??= new Differential(kernelOfBug(bug, true), "off", families);
      before = system.subject.steps;
      system.run(repertoire.drawRun((seed + run * 0x9e37_79b9) | 0, 200));
      done += system.subject.steps - before;
      if (system.isSpent) system = undefined;
    }
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return { operations: done + (system ? system.subject.steps - before : 0), rule: error.invariant };
  }
  return undefined;
}
