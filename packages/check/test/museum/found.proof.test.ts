/** Every bug is found from a seed: three of them, within 12,000 operations. */
import { BUGS } from "@kreplica/museum";
import { expect, test } from "vitest";
import { operationsToFind } from "./operations-to-find.js";

/** Of 200 operations. */
const MOST_RUNS = 60;

test.each(BUGS.map((bug) => [bug.id, bug] as const))("%s", (_id, bug) => {
  for (const seed of [1, 2, 3])
    expect(operationsToFind(bug, seed, MOST_RUNS)?.operations, `seed ${seed}`).toBeLessThan(200 * MOST_RUNS);
});
