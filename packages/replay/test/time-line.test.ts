/** The time line of a run: stretches in order, whose cycles add up to all that was charged. */
import { expect, test } from "vitest";
import { REST_OF_RUN, STRETCH_PARTS, type TimeLine, TimeLineRecorder } from "../src/replay/time-line.js";

/** Functions of 100 bytes each. */
const recorder = (most?: number): TimeLineRecorder =>
  new TimeLineRecorder(
    (place) => ({ name: `f${Math.floor(place / 100)}`, start: place - (place % 100), places: 100 }),
    (cause) => cause,
    "[nowhere]",
    most,
  );
const stretches = ({ names, functions, cycles }: TimeLine): [string, ...number[]][] =>
  [...functions].map((number, at) => [
    names[number]!,
    ...cycles.subarray(at * STRETCH_PARTS.length, (at + 1) * STRETCH_PARTS.length),
  ]);

test("a stretch ends where another function begins; a function's instructions are shared by lines entered", () => {
  const line = recorder();
  line.charge(3, 5);
  for (const place of [100, 164, 100]) line.enter(place);
  line.charge(1, 7);
  line.charge(2, 1);
  line.enter(220);
  line.charge(1, 2);
  line.enter(199);
  const found = line.finish(
    new Map([
      [100, 6],
      [164, 2],
      [201, 9],
      [300, 4],
    ]),
    [[3, 11]],
  );
  expect(stretches(found)).toEqual([
    ["[nowhere]", 0, 0, 0, 5],
    ["f1", 6, 7, 1, 0],
    ["f2", 9, 2, 0, 0],
    ["f1", 2, 0, 0, 0],
    // Instructions of what no line was entered of, and what no text was charged with.
    ["[nowhere]", 4, 0, 0, 0],
    ["[nowhere]", 0, 0, 0, 11],
  ]);
});

test("behind the most stretches the rest is one, and nothing is lost", () => {
  const line = recorder(2);
  for (let nth = 0; nth < 12; nth++) {
    line.enter(100 * (nth % 3));
    line.charge(1, 1);
  }
  expect(
    stretches(
      line.finish(
        new Map([
          [0, 1],
          [100, 1],
          [200, 1],
        ]),
        [],
      ),
    ),
  ).toEqual([
    ["f0", 0.25, 1, 0, 0],
    ["f1", 0.25, 1, 0, 0],
    [REST_OF_RUN, 2.5, 10, 0, 0],
  ]);
});

test("shares are whole 1/1024ths whose sum is exact, however many stretches there are", () => {
  const line = recorder();
  for (let nth = 0; nth < 5000; nth++) line.enter(nth % 2 === 0 ? 0 : 100 * ((nth % 7) + 1));
  const { cycles } = line.finish(
    new Map([
      [0, 1000.0009765625],
      [300, 77],
    ]),
    [],
  );
  expect(cycles.every((each) => Number.isInteger(each * 1024))).toBe(true);
  expect(cycles.reduce((sum, each) => sum + each, 0)).toBe(1077.0009765625);
});
