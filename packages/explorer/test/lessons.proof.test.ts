/** Every lesson is told to its end: there its rule breaks, and nothing breaks before. */
import { expect, test } from "vitest";
import { LESSONS, SERIES_ROOM } from "../src/model/lessons.js";
import { BOOTED, Session } from "../src/model/session.js";

test.each(LESSONS)("$id ends where $invariant breaks", (lesson) => {
  const session = new Session(lesson);
  const { operations, invariant, detail } = lesson;
  const last = session.look({ step: BOOTED + operations.length + 1, store: 0 });
  const broken = last.broken.find(({ id }) => id === invariant);
  if (operations.length === 0) {
    // The boot shows it, at its end or by not coming to one.
    expect(session.look({ step: BOOTED, store: 0 }).broken.map(({ id }) => id)).toContain(invariant);
    return;
  }
  expect(session.failure?.rule).toMatchObject({ id: invariant, ...(detail === undefined ? {} : { detail }) });
  // Without the bugs of the museum nothing breaks on the same paths: check's own tests say that.
  if (lesson.room !== SERIES_ROOM) return;
  expect(session.failure?.step).toBe(BOOTED + operations.length);
  expect(broken?.since).toBe("now");
  const sound = new Session({ ...lesson, laid: [] });
  sound.look({ step: BOOTED + operations.length, store: 0 });
  expect(sound.failure).toBeUndefined();
});
