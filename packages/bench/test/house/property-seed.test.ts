/** Properties draw the same cases in every run: vitest.shared.ts reaches the library. */
import fc from "fast-check";
import { expect, test } from "vitest";

test("each run of the tests draws the same cases", () => {
  const { seed } = fc.readConfigureGlobal();
  expect(seed).toBe(Number(process.env["KREPLICA_SEED"] ?? 20_251_129));
  const drawn: number[] = [];
  fc.assert(fc.property(fc.nat(), (number) => void drawn.push(number)));
  expect(drawn).toEqual(fc.sample(fc.nat(), { seed: seed!, numRuns: drawn.length }));
});
