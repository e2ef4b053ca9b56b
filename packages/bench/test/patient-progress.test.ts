/** The progress line's time left: told from what is done by weight, counted down, silent while nothing is known. */
import { expect, test } from "vitest";
import { PatientProgress } from "../src/report/patient-progress.js";

function watched() {
  const shown: string[] = [];
  const steps: number[] = [];
  const progress = new PatientProgress(
    {
      start: (_total, what) => shown.push(what),
      step: (count, what) => {
        steps.push(count);
        shown.push(what);
      },
      stop() {},
    },
    () => undefined,
    "kreplica compare",
  );
  const seconds = (count: number): void => {
    for (let i = 0; i < count; i++) progress.second();
  };
  return { progress, seconds, steps, last: () => shown.at(-1) };
}

test("time left is what the rest takes at the pace of what is done, and counts down until the next step", () => {
  const { progress, seconds, steps, last } = watched();
  seconds(5);
  progress.start(1000, "booting");
  seconds(10);
  // Nothing is done: nothing is known.
  expect(last()).toBe("booting");
  progress.step(250, "kill");
  expect(last()).toBe("30 s left  kill");
  seconds(4);
  expect(last()).toBe("26 s left  kill");
  progress.step(0, "mount");
  expect(last()).toBe("26 s left  mount");
  seconds(100);
  expect(last()).toBe("1 s left  mount");
  progress.step(10, "mount");
  expect(last()).toBe("5 min left  mount");
  progress.step(740, "all");
  expect(last()).toBe("all");
  // A tick moves no bar.
  expect(steps.reduce((sum, each) => sum + each, 0)).toBe(1000);
});

test("another bar begins anew, and a step in the first seconds says nothing of the rest", () => {
  const { progress, seconds, last } = watched();
  progress.start(2, "a");
  seconds(8);
  progress.step(1, "b");
  expect(last()).toBe("8 s left  b");
  progress.stop();
  progress.start(10, "c");
  seconds(1);
  progress.step(1, "d");
  expect(last()).toBe("d");
});
