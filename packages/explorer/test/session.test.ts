/** A story looked at from its beginning to its end, forward, back, and between two stores. */
import { expect, test } from "vitest";
import { catalogue } from "../src/model/catalogue.js";
import { BOOTED, Session } from "../src/model/session.js";
import { FIRST_STORY } from "../src/model/setup.js";

const story = {
  ...FIRST_STORY,
  operations: [
    { op: "spawn", cpu: 0 },
    { op: "mmap", p: 0, cpu: 0, page: 0, pages: 2, writable: true, large: false, locked: false, policy: 0 },
    { op: "touch", cpu: 0, page: 0, kind: "write", value: 7 },
    { op: "fork", p: 0, cpu: 2 },
  ] as never[],
};

test("each step of the boot shows its own tables, and copies on every node after them", () => {
  const session = new Session(story);
  expect(session.look({ step: 0, store: 0 }).tables).toEqual([]);
  const before = session.look({ step: 6, store: 0 });
  const after = session.look({ step: 7, store: 0 });
  expect(before.roots.map(({ name }) => name)).toEqual(["kernel"]);
  expect(new Set(after.roots.map(({ frame }) => frame)).size).toBe(2);
  expect(after.tables.filter(({ node }) => node === 1).length).toBeGreaterThan(2);
  expect(after.stores).toBeGreaterThan(500);
  expect(session.steps[6]!.words).not.toBe("");
});

test("going back shows what was seen going forward, from kept moments and from a new telling alike", () => {
  const session = new Session(story);
  const { length } = session;
  const forward = Array.from({ length: length + 1 }, (_, step) => session.look({ step, store: 0 }));
  const again = new Session(story);
  for (let step = length; step >= 0; step--) expect(again.look({ step, store: 0 })).toEqual(forward[step]);
  expect(session.failure).toBeUndefined();
});

test("between two stores the entry is there or is not yet", () => {
  const session = new Session(story);
  const step = BOOTED + 2;
  const whole = session.look({ step: step + 1, store: 0 });
  expect(whole.stores).toBeGreaterThan(1);
  const seen = Array.from({ length: whole.stores }, (_, at) => session.look({ step, store: at + 1 }));
  seen.forEach((view, at) => {
    expect(view.moment).toEqual({ step, store: at + 1 });
    expect(view.changes).toEqual(whole.changes.filter(({ nth }) => nth <= at + 1));
  });
  expect(seen.at(-1)!.tables.length).toBe(whole.tables.length);
});

test("behind the last store of a step is its end, also of one that stores nothing", () => {
  const session = new Session(story);
  const { stores } = session.look({ step: BOOTED + 3, store: 0 });
  expect(session.look({ step: BOOTED + 2, store: stores + 1 }).moment).toEqual({ step: BOOTED + 3, store: 0 });
  expect(session.look({ step: BOOTED + 2, store: 0 }).stores).toBe(0);
  expect(session.look({ step: BOOTED + 1, store: 1 }).moment).toEqual({ step: BOOTED + 2, store: 0 });
});

test("another page at the same moment is looked into as from the beginning", () => {
  const session = new Session(story);
  const moment = { step: BOOTED + 3, store: 0 };
  const [first, second] = session.look(moment).places.map(({ address }) => BigInt(address));
  session.look(moment, first);
  expect(session.look(moment, second)).toEqual(new Session(story).look(moment, second));
  expect(session.look({ step: BOOTED + 1, store: 0 }, second)).toEqual(
    new Session(story).look({ step: BOOTED + 1, store: 0 }, second),
  );
});

test("a step more goes on from what was seen", () => {
  const session = new Session({ ...story, operations: story.operations.slice(0, 3) });
  session.look({ step: BOOTED + 3, store: 0 });
  const longer = session.with(story);
  expect(longer.look({ step: BOOTED + 4, store: 0 })).toEqual(new Session(story).look({ step: BOOTED + 4, store: 0 }));
});

test("a page is read in each copy", () => {
  const session = new Session(story);
  const { places } = session.look({ step: BOOTED, store: 0 });
  const { page } = session.look({ step: BOOTED, store: 0 }, BigInt(places[0]!.address));
  expect(page!.copies.map(({ lies }) => lies)).toEqual([0, 1]);
  expect(page!.copies[0]!.bytes).toBe(page!.copies[1]!.bytes);
  expect(page!.copies[0]!.code.length).toBeGreaterThan(0);
});

test("what schedules and machines with late memory have alone is told like all else", () => {
  const operations = [
    ...story.operations.slice(0, 3),
    {
      op: "read-within",
      during: { op: "munmap", p: 0, cpu: 0, page: 0, pages: 2 },
      point: 2,
      cpu: 2,
      page: 0,
    },
    { op: "unplug", node: 2, cpu: 0 },
  ] as never[];
  const session = new Session({ ...story, operations });
  session.look({ step: session.length, store: 0 });
  expect(session.failure).toBeUndefined();
  expect(session.steps.slice(-3, -1).map(({ words }) => words)).toEqual([
    "process 0 unmaps 2 pages at 0x200000, on CPU 0; at its 2. point CPU 2 reads 0x200000",
    "memory of node 2 goes, asked for on CPU 0",
  ]);
});

test("on demand a node's text is the master's until its CPUs have waited, its own then, and the master's when memory is wanted", () => {
  const { policies, operations } = catalogue();
  const { name } = policies.find((each) => each.name.startsWith("on-demand:"))!;
  const own = operations.filter(({ policy }) => policy === "on-demand").map(({ op }) => op);
  expect(own).toEqual(["wait-for-text", "want-memory"]);
  const told = new Session({
    ...FIRST_STORY,
    policy: name,
    operations: [
      { op: "wait-for-text", cpu: 2, kilocycles: 999 },
      { op: "wait-for-text", cpu: 2, kilocycles: 1 },
      { op: "want-memory", node: 1 },
    ] as never[],
  });
  const text = BigInt(told.look({ step: BOOTED, store: 0 }).places[0]!.address);
  const from = (step: number): unknown => told.look({ step, store: 0 }, text).page!.copies.map(({ lies }) => lies);
  expect([0, 1, 2, 3].map((done) => from(BOOTED + done))).toEqual([[0], [0], [0, 1], [0]]);
  expect(told.failure).toBeUndefined();
});
