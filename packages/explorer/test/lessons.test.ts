/** The list of lessons and their words; that each ends at its violation is a proof of its own. */
import { DEFECTS } from "@kreplica/series-as-posted";
import { expect, test } from "vitest";
import { LESSONS, wordsOf } from "../src/model/lessons.js";
import { BOOTED, Session } from "../src/model/session.js";

test("there is one for every defect", () => {
  expect(LESSONS.map(({ id }) => id)).toEqual(DEFECTS.map(({ id }) => id));
});

test("D11 breaks its rule in its last step, and the page would say where", () => {
  const lesson = LESSONS.find(({ id }) => id === "D11")!;
  const session = new Session(lesson);
  const { length } = lesson.operations;
  expect(session.look({ step: BOOTED + length - 1, store: 0 }).broken).toEqual([]);
  expect(session.look({ step: BOOTED + length, store: 0 }).broken).toMatchObject([
    { id: lesson.invariant, detail: lesson.detail, since: "now" },
  ]);
  // A page is looked into there as anywhere.
  const { places } = session.look({ step: BOOTED + length, store: 0 });
  const again = session.look({ step: BOOTED + length, store: 0 }, BigInt(places[0]!.address));
  expect(again.page?.copies).toHaveLength(2);
  expect(again.broken).toMatchObject([{ id: lesson.invariant }]);
  // Nothing is done after it.
  expect(session.look({ step: BOOTED + length + 1, store: 0 }).moment.step).toBe(BOOTED + length);
});

test("a lesson's words say how long it is, and what it is about", () => {
  const longest = LESSONS.reduce((a, b) => (b.operations.length > a.operations.length ? b : a));
  const { title, sentence, about, rule } = wordsOf(longest);
  expect(title).toMatch(/^\S+ in (two|three|four|five|six|seven|eight) steps$/);
  for (const words of [sentence, about, rule]) expect(words.length).toBeGreaterThan(10);
});
