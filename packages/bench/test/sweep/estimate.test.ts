/** What a dry run says of replays that it did not measure, from those that it did. */
import { expect, test } from "vitest";
import { sampled, secondsOf } from "../../src/sweep/estimate.js";
import type { Work } from "../../src/sweep/run-batches.js";

const work = (file: string, effort: number): Work => ({ cells: [], batch: { file } as Work["batch"], effort });

test("one of each recording is measured, shortest first, the first twice, until some seconds are spent", async () => {
  const works = [work("c", 900), work("a", 100), work("a", 50), work("b", 200), work("d", 5000)];
  const measured: number[] = [];
  // The first replay of a process takes a second more; then a hundredth of a second a unit.
  const { first, samples } = await sampled(works, ({ effort }) => {
    measured.push(effort);
    return Promise.resolve(effort / 100 + (measured.length === 1 ? 1 : 0));
  });
  expect(measured).toEqual([50, 50, 200, 900]);
  expect(first).toBe(1);
  expect(samples).toEqual([
    { file: "a", effort: 50, seconds: 0.5 },
    { file: "b", effort: 200, seconds: 2 },
    { file: "c", effort: 900, seconds: 9 },
  ]);
});

test("each by its own recording's rate, others by all; on workers, but no shorter than the longest", () => {
  const samples = [
    { file: "a", effort: 100, seconds: 1 },
    { file: "b", effort: 100, seconds: 3 },
  ];
  const works = [work("a", 400), work("b", 400), work("other", 400)];
  // 4 s, 12 s, and at the rate of both together 8 s.
  expect(secondsOf(works, samples, 0.5, 1)).toBe(24.5);
  expect(secondsOf(works, samples, 0.5, 2)).toBe(12.5);
  expect(secondsOf(works, samples, 0, 64)).toBe(12);
  expect(secondsOf([work("a", 100)], samples, 0, 8)).toBe(1);
});
