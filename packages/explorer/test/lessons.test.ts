/** The list of lessons and their words; that each ends at its violation is a proof of its own. */
import { bugOf, BUGS } from "@kreplica/museum";
import { DEFECTS } from "@kreplica/series-as-posted";
import { expect, test } from "vitest";
import { LESSONS, SERIES_LESSONS, SERIES_ROOM, wordsOf } from "../src/model/lessons.js";
import { addressesIn } from "../src/model/leads.js";
import { BOOTED, Session } from "../src/model/session.js";

test("there is one for every defect of the series and every bug of the museum, room by room", () => {
  expect(SERIES_LESSONS.map(({ id }) => id)).toEqual(DEFECTS.map(({ id }) => id));
  expect(LESSONS.map(({ id }) => id)).toEqual([...DEFECTS, ...BUGS].map(({ id }) => id));
  for (const { id, room } of LESSONS) expect(room, id).toBe(bugOf(id)?.room ?? SERIES_ROOM);
});

test("D11 breaks its rule in its last step, and the page would say where", () => {
  const lesson = LESSONS.find(({ id }) => id === "D11")!;
  const session = new Session(lesson);
  const { length } = lesson.operations;
  expect(session.look({ step: BOOTED + length - 1, store: 0 })).toMatchObject({ broken: [], leads: [] });
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

test("a bug's lesson shows the way down that the rule is about, and what the CPU kept of it", () => {
  const lesson = LESSONS.find(({ id }) => id === "mremap-flush")!;
  const { broken, leads, cpus } = new Session(lesson).look({ step: BOOTED + lesson.operations.length, store: 0 });
  expect(broken).toMatchObject([{ id: "G12" }]);
  expect(leads.map(({ address }) => address)).toEqual(["0x200000"]);
  const [{ ways, cached }] = leads as [(typeof leads)[number]];
  // Of a user's address the processes' roots alone; each ends where nothing is mapped any more.
  expect(ways.map(({ root }) => root)).toEqual(["process 0, node 0", "process 0, node 1"]);
  for (const { entries } of ways) expect(entries.at(-1)).not.toHaveProperty("to");
  const [, frame] = /frame (\d+)/.exec(broken[0]!.detail)!;
  expect(cached).toContainEqual(expect.objectContaining({ cpu: 2, structure: false, frame: Number(frame) }));
  // Not all that is cached anywhere, and nothing twice.
  expect(new Set(cached.map((entry) => JSON.stringify(entry))).size).toBe(cached.length);
  expect(cached.length).toBeLessThan(cpus[2]!.cached.length);
});

test("addresses and slots that words name", () => {
  expect(addressesIn("0x200000 and slot 275, twice 0x200000, 0x90 of it", 4)).toEqual([
    0x20_0000n,
    0xffff_8980_0000_0000n,
  ]);
  expect(addressesIn("0x8000000001205163 is none", 4)).toEqual([]);
  expect(addressesIn("slot 273", 5)).toEqual([0xff11_0000_0000_0000n]);
});

test("a lesson's words say how long it is, and what it is about", () => {
  const longest = LESSONS.reduce((a, b) => (b.operations.length > a.operations.length ? b : a));
  expect(wordsOf(longest).title).toMatch(/^\S+ in (two|three|four|five|six|seven|eight|nine|ten) steps$/);
  for (const lesson of LESSONS) {
    const { sentence, about, rule, copies } = wordsOf(lesson);
    for (const words of [sentence, about, rule]) expect(words.length, lesson.id).toBeGreaterThan(10);
    expect(copies === undefined, lesson.id).toBe(lesson.room === SERIES_ROOM);
  }
  expect(wordsOf(LESSONS.find(({ id }) => id === "pgd-on-one-node")!).copies).toMatch(
    /^With a copy on each node nothing breaks; with a single copy F6 breaks\. /,
  );
});
