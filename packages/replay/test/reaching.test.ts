/** The value at which a gain equals another: found where there is one, the nearest of several, none where none is. */
import { describe, expect, test } from "vitest";
import { EQUAL, placesIn, reaching } from "../src/explain/reaching.js";

const lookedAt = (gainAt: (value: number) => number, ...values: number[]) =>
  values.map((value) => ({ value, percent: gainAt(value) }));

describe("a value", () => {
  test("is found between two places by halving", () => {
    const square = (value: number): number => value * value;
    const { value, looked } = reaching(lookedAt(square, 1, 2, 5, 9), 20, { now: 2 }, square);
    expect(Math.abs(square(value!) - 20)).toBeLessThanOrEqual(EQUAL);
    expect(looked.map((each) => each.value)).toEqual(looked.map((each) => each.value).sort((a, b) => a - b));
    expect(looked.length).toBeGreaterThan(4);
  });

  test("is where the parameter is when that does it already", () => {
    expect(
      reaching(
        lookedAt((at) => at, 1, 2, 9),
        2,
        { now: 2 },
      ),
    ).toMatchObject({ value: 2, between: [2, 2] });
  });

  test("is the nearest of several, by ratio where distances are ratios", () => {
    const hill = (at: number): number => -Math.abs(at - 4);
    const looked = lookedAt(hill, 1, 2.5, 3.9, 4, 5.5, 9);
    expect(reaching(looked, -1, { now: 9 }, hill).value).toBeCloseTo(5, 1);
    expect(reaching(looked, -1, { now: 1 }, hill).value).toBeCloseTo(3, 1);
    // From 4.9 the stretch from 4 to 5.5 begins nearer than that from 2.5 to 3.9 ends.
    expect(reaching(looked, -1, { now: 4.9 }, hill).value).toBeCloseTo(5, 1);
    expect(reaching(lookedAt(hill, 2.5, 3.9, 4.9, 5.5), -1, { now: 4.9, byRatio: true }, hill).value).toBeCloseTo(5, 1);
  });

  test("is told between two places where nothing more can be looked at, and the stretch with it", () => {
    const { value, between } = reaching(
      lookedAt((at) => at * 2, 0, 10),
      5,
      { now: 0 },
    );
    expect(value).toBe(2.5);
    expect(between).toEqual([0, 10]);
  });

  test("is none where none of the range does it; the nearest place is told", () => {
    expect(
      reaching(
        lookedAt((at) => at, 1, 2, 9),
        12,
        { now: 1 },
      ),
    ).toMatchObject({
      value: undefined,
      nearest: { value: 9, percent: 9 },
    });
  });

  test("is none where the gain jumps over it", () => {
    const step = (at: number): number => (at < 5.3 ? 0 : 9);
    expect(reaching(lookedAt(step, 1, 9), 4, { now: 1 }, step).value).toBeUndefined();
  });
});

test("places go from end to end, in equal steps or ratios", () => {
  expect(placesIn(0, 3, 4)).toEqual([0, 1, 2, 3]);
  expect(placesIn(1, 8, 4, true).map((each) => Math.round(each * 1e6) / 1e6)).toEqual([1, 2, 4, 8]);
});
