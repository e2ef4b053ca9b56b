/**
 * What the page shows before a kernel has booted: a session's own words, which a worker's session takes for its own.
 */
import { expect, test } from "vitest";
import { firstStep, isFirstKernel, packFirst, unpackFirst } from "../src/first.js";
import { FIRST, type Place } from "../src/hash.js";
import { first } from "../src/model/first.js";
import { BOOTED, Session } from "../src/model/session.js";
import { FIRST_STORY } from "../src/model/setup.js";

const known = first();

test("packed and unpacked it is the same, with each table once", () => {
  const packed = JSON.parse(JSON.stringify(packFirst(known)));
  expect(unpackFirst(packed)).toEqual(known);
  expect(packed.tables.length).toBeLessThan(known.views.reduce((sum, { tables }) => sum + tables.length, 0) / 2);
  expect(known.views.map(({ moment }) => moment.step)).toEqual(Array.from({ length: BOOTED + 1 }, (_, step) => step));
  expect(known.views.at(-1)).toMatchObject({ broken: [], checked: expect.any(Number) });
});

test("a session that knows its boot says of it and of what follows what one says that looked", () => {
  const story = {
    ...FIRST_STORY,
    operations: [
      { op: "spawn", cpu: 0 },
      { op: "fork", p: 0, cpu: 2 },
    ] as never[],
  };
  const looked = new Session(story);
  const told = new Session(story);
  told.know(FIRST_STORY, known);
  expect(told.look({ step: 7, store: 0 })).toBe(known.views[7]);
  expect(told.steps.slice(0, BOOTED)).toEqual(known.steps.slice(0, BOOTED));
  told.comeUp();
  for (const moment of [
    { step: BOOTED + 2, store: 0 },
    { step: 4, store: 0 },
    { step: 6, store: 3 },
    { step: BOOTED, store: 2 },
  ])
    expect(told.look(moment)).toEqual(looked.look(moment));
  expect(told.steps).toEqual(looked.steps);
});

test("it is known of no other kernel", () => {
  const other = { ...FIRST_STORY, nodes: 3 };
  const session = new Session(other);
  session.know(FIRST_STORY, known);
  expect(session.look({ step: 8, store: 0 }).nodes).toHaveLength(3);
  // An operation of a family that brings subsystems of its own.
  const patched = new Session({ ...FIRST_STORY, operations: [{ op: "modlive", module: 0 } as never] });
  patched.know(FIRST_STORY, known);
  expect(patched.look({ step: 8, store: 0 })).not.toBe(known.views[8]);
});

test.each<[string, Partial<Place>, number | undefined, boolean]>([
  ["its end", {}, 19, true],
  ["a step of it", { moment: { step: 3, store: 0 } }, 3, true],
  ["between two stores", { moment: { step: 3, store: 1 } }, undefined, true],
  ["behind it", { moment: { step: 20, store: 0 } }, undefined, true],
  ["an operation", { operations: [{ op: "spawn" }] }, undefined, true],
  ["a page", { page: "0xffffffff81000000" }, undefined, false],
  ["another kernel", { nodes: 3 }, undefined, false],
])("of %s", (_, place, step, same) => {
  expect(firstStep({ ...FIRST, ...place })).toBe(step);
  expect(isFirstKernel({ ...FIRST, ...place })).toBe(same);
});
