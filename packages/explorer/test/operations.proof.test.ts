/** What the page has buttons for, forward, back and by single store: above all BPF load, which the checker does not draw. */
import { expect, test } from "vitest";
import { BOOTED, Session } from "../src/model/session.js";
import { FIRST_STORY } from "../src/model/setup.js";

test("a BPF program is loaded into a page that all nodes share, store by store, and nothing of it is left at the end", () => {
  const operations = [
    { op: "bpfload", program: 0 },
    { op: "bpfload", program: 1 },
    { op: "bpfunload", nth: 0 },
  ] as never[];
  const session = new Session({ ...FIRST_STORY, operations });
  expect(session.steps[BOOTED]!.words).toBe("a BPF program, factorial, is verified, compiled and loaded");
  const loaded = session.look({ step: BOOTED + 1, store: 0 });
  expect(loaded.stores).toBeGreaterThan(2);
  // Its pack is mapped, and its bytes are written.
  expect(loaded.changes.some(({ index }) => index !== undefined)).toBe(true);
  const written = loaded.changes.findLast(({ offset }) => offset !== undefined)!;
  const before = session.look({ step: BOOTED, store: written.nth - 1 });
  expect(before.changes.map(({ nth }) => nth)).not.toContain(written.nth);
  expect(session.look({ step: BOOTED, store: written.nth }).changes.at(-1)).toEqual(written);
  expect(session.look({ step: BOOTED + 3, store: 0 }).broken).toEqual([]);
  session.look({ step: session.length, store: 0 });
  expect(session.failure).toBeUndefined();
});
