/** One operation after another behind the same setup, each as the last of a run: the rule that it breaks. */
import { CheckFailure } from "../src/check-failure.js";
import type { CheckedSystem } from "../src/checked-system.js";
import type { Operation } from "../src/family.js";

export type Given = Readonly<Record<string, unknown>> & { readonly op: string };

/** Runs that begin with a setup. */
export interface Runs {
  /** Table stores and points of an operation that nothing meets. */
  countsOf(during: Given): { readonly stores: number; readonly points: number };
  /** The rule that a run breaks; empty where it breaks none. @param last of the run */
  broken(...last: readonly Given[]): string;
}

/** @param boot makes a kernel: the first, and another wherever a rule was broken on one */
export function runsBehind(boot: () => CheckedSystem, setup: readonly Given[]): Runs {
  let system = boot();
  const steps = (operations: readonly Given[]): void => {
    for (const each of operations) system.step(each as Operation);
  };
  return {
    countsOf(during) {
      steps(setup);
      const points = system.watch.pointsOf(() => {
        steps([during]);
      });
      const { stores } = system.watch;
      system.finish(true);
      return { stores, points };
    },
    broken(...last) {
      try {
        steps([...setup, ...last]);
        system.finish(true);
        return "";
      } catch (error) {
        if (!(error instanceof CheckFailure)) throw error;
        system = boot();
        return error.invariant;
      }
    },
  };
}
