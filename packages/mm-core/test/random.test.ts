/** What is drawn: the same by the same seed on every machine, everywhere as likely, and of every order. */
import { expect, test } from "vitest";
import { seededRandom, shuffle } from "../src/api.js";

test("a seed says what comes, whatever the host; recordings and layouts that were drawn stay as they are", () => {
  const first = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 4 }, () => random(2 ** 32));
  };
  // mulberry32, worked out apart from this.
  expect(first(0)).toEqual([1144304738, 1416247, 958946056, 627933444]);
  expect(first(1)).toEqual([2693262067, 11749833, 2265367787, 4213581821]);
  expect([first(-1), first(2 ** 32 - 1)]).toEqual([first(2 ** 32 - 1), first(-1)]);
});

test("numbers are whole, below what is asked, and each as likely", () => {
  const random = seededRandom(7);
  const times = new Array<number>(5).fill(0);
  for (let nth = 0; nth < 5000; nth++) times[random(5)]!++;
  expect(times.reduce((sum, each) => sum + each, 0)).toBe(5000);
  for (const each of times) expect(Math.abs(each - 1000)).toBeLessThan(130);
  expect(Array.from({ length: 20 }, () => random(1))).toEqual(new Array(20).fill(0));
});

test("a shuffle loses nothing, comes to every order alike, and leaves what has one", () => {
  const random = seededRandom(3);
  const times = new Map<string, number>();
  for (let nth = 0; nth < 6000; nth++) {
    const letters = ["a", "b", "c"];
    shuffle(letters, random);
    times.set(letters.join(""), (times.get(letters.join("")) ?? 0) + 1);
  }
  expect([...times.keys()].sort()).toEqual(["abc", "acb", "bac", "bca", "cab", "cba"]);
  for (const [order, each] of times) expect(Math.abs(each - 1000), order).toBeLessThan(130);
  const typed = Float64Array.of(5);
  shuffle(typed, random);
  shuffle([], random);
  expect([...typed]).toEqual([5]);
  const all = Uint8Array.from({ length: 200 }, (_, nth) => nth);
  shuffle(all, random);
  expect([...all]).not.toEqual([...all].sort((a, b) => a - b));
  expect([...all].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, nth) => nth));
});
