/** The bugs as rows: each once, with something to say and something to lay. */
import { expect, test } from "vitest";
import { bugOf, BUGS, ROOMS } from "../src/index.js";

test("names are each other's only once, and each bug says what it has to", () => {
  expect(new Set(BUGS.map(({ id }) => id)).size).toBe(BUGS.length);
  for (const { id, sentence, happened, mended, copies, overlays } of BUGS) {
    expect(id).toMatch(/^[a-z0-9-]+$/);
    expect(sentence, id).toMatch(/^[^A-Z].*[^.]$|^INVLPG/);
    for (const text of [happened, mended, copies.words]) expect(text, id).toMatch(/\.$/);
    expect(overlays.length, id).toBeGreaterThan(0);
    expect(bugOf(id)?.id).toBe(id);
  }
  expect(bugOf("no-such-bug")).toBeUndefined();
});

test("at least forty, in rooms one after the other", () => {
  expect(BUGS.length).toBeGreaterThanOrEqual(40);
  expect(ROOMS).toHaveLength(new Set(BUGS.map(({ room }) => room)).size);
  const order = BUGS.map(({ room }) => ROOMS.indexOf(room));
  expect(order).toEqual([...order].sort((a, b) => a - b));
});

test("an id of a commit is twelve digits, and the rule that is named is the one with copies, or without where they heal it", () => {
  for (const { id, commits, invariant, copies } of BUGS) {
    for (const commit of commits) if (commit.id !== undefined) expect(commit.id, id).toMatch(/^[0-9a-f]{12}$/);
    expect(invariant, id).toBe(copies.with ?? copies.without);
  }
});
