/**
 * The order of a run and of many: what is undone when, what a run leaves to the next, and which kernels run again. By
 * families of the test's own, which do what they are told.
 */
import { smallImage, smallMachine } from "@kreplica/kernel";
import { NONE } from "@kreplica/hw-x86";
import { expect, test } from "vitest";
import { campaign, type CampaignOptions } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Differential } from "../src/differential.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../src/family.js";
import { exploreScenes, type Meeting } from "../src/schedules.js";
import type { Subject } from "../src/subject.js";
import { strangeBeforeCleared } from "./behind.js";

const kernel = { spec: smallMachine(2), policy: "per-node", image: smallImage() };
const own = (name: string, start: (system: Subject) => FamilyAtWork): OperationFamily => ({
  name,
  kinds: { [name]: { weight: 1, fields: {} } },
  draw: (op) => ({ op }),
  describe: (o) => o.op,
  start,
});
const op = (name: string, more: Readonly<Record<string, unknown>> = {}): Operation => ({ op: name, ...more });
const system = (...families: readonly OperationFamily[]): CheckedSystem =>
  new CheckedSystem(kernel, { families: [...CORE_FAMILIES, ...families] });
const take = ({ parts: { allocator } }: Subject): number => allocator.allocate(0, 0, { purpose: "kernel" });

test("what stands on another family's things is undone before those are", () => {
  const undone: string[] = [];
  const named = (name: string): OperationFamily =>
    own(name, () => ({ perform: () => undefined, undo: () => void undone.push(name) }));
  system(named("below"), named("above")).run([]);
  expect(undone).toEqual(["above", "below"]);
});

test("everything is compared while it is there: no family has undone anything, and processes are alive", () => {
  const seen: string[] = [];
  const looking = (name: string): OperationFamily =>
    own(name, ({ population }) => ({
      perform: () => undefined,
      compare: () => void seen.push(`${name} compares, ${population.live.length} alive`),
      undo: () => void seen.push(`${name} undoes, ${population.live.length} alive`),
    }));
  system(looking("a"), looking("b")).run([op("spawn", { cpu: 0 })]);
  expect(seen).toEqual(["a compares, 1 alive", "b compares, 1 alive", "b undoes, 1 alive", "a undoes, 1 alive"]);
});

test("a refusal that nothing met is no refusal of the next run's", () => {
  const checked = system();
  checked.run([op("refuse", { nth: 1 })]);
  checked.step(op("spawn", { cpu: 0 }));
  expect(checked.population.live).toHaveLength(1);
});

test("who waits for a store or a point of an operation that does not come waits no longer than that operation", () => {
  const met: string[] = [];
  const waiting = own("wait", ({ watch }) => ({
    perform() {
      watch.probeAt(1, () => met.push("a store"));
      watch.pointAt(1, () => met.push("a point"));
    },
  }));
  const checked = system(waiting);
  checked.step(op("wait"));
  checked.step(op("spawn", { cpu: 0 }));
  expect(checked.watch.stores).toBeGreaterThan(1);
  expect(met).toEqual([]);
});

test("what was refused keeps no frame, unless another operation came in the middle", () => {
  const kept: number[] = [];
  const family = own("keep", (subject) => ({
    perform(o) {
      subject.unchangedWhenRefused(() => {
        if ((o as Operation & { readonly met?: boolean }).met) subject.performWithin(op("met"));
        else kept.push(take(subject));
        return false;
      });
    },
  }));
  const met = own("met", (subject) => ({
    perform: () => void kept.push(take(subject)),
    undo() {
      for (const frame of kept.splice(0)) subject.parts.allocator.free(frame, 0);
    },
  }));
  const checked = system(family, met);
  checked.run([op("keep", { met: true })]);
  expect(() => {
    checked.run([op("keep")]);
  }).toThrow("F6: a refused operation kept 1 frames of node 0");
});

test("frames that are gone for good are missing to nobody; those that an operation in the middle took come back", () => {
  const kept: number[] = [];
  const good = own("good", (subject) => ({
    perform() {
      subject.forGood(() => {
        expect(take(subject)).not.toBe(NONE);
        subject.performWithin(op("lend"));
      });
    },
  }));
  const lend = own("lend", (subject) => ({
    perform: () => void kept.push(take(subject), take(subject)),
    undo() {
      for (const frame of kept.splice(0)) subject.parts.allocator.free(frame, 0);
    },
  }));
  const checked = system(good, lend);
  expect(checked.isSpent).toBe(false);
  checked.run([op("lend")]);
  expect(checked.isSpent).toBe(false);
  checked.run([op("good")]);
  expect(checked.isSpent).toBe(true);
  const leaky = system(own("leak", (subject) => ({ perform: () => void take(subject) })));
  expect(() => {
    leaky.run([op("leak")]);
  }).toThrow("F6: after every process exited, node 0 has 1 frames less than before");
});

const many = (start: (system: Subject) => FamilyAtWork, more: Partial<CampaignOptions> = {}) =>
  campaign({
    runs: 4,
    steps: 2,
    seed: 1,
    kernels: [kernel, { ...kernel, spec: smallMachine(3) }],
    comparison: "off",
    families: [own("mine", start)],
    ...more,
  });

test("a kernel on which a rule broke runs no more, the others go on", () => {
  const nodes: number[] = [];
  const { runs, violations } = many((subject) => ({
    perform() {
      nodes.push(subject.holders.length);
      if (subject.holders.length === 2) subject.fail("I5", "two holders");
    },
  }));
  expect(violations.map(({ invariant, detail, kernel: at }) => [invariant, detail, at])).toEqual([
    ["I5", "two holders", 0],
  ]);
  expect(violations[0]!.operations).toEqual([op("mine")]);
  expect([runs, nodes.filter((each) => each === 3).length]).toEqual([3, 4]);
});

test("runs go on with a kernel as long as it is as it was, and with a fresh one where it was changed for good", () => {
  const count = (spent: boolean): number => {
    let started = 0;
    const { runs, violations } = many(
      (subject) => {
        started++;
        return {
          perform() {
            if (spent) subject.forGood(() => void take(subject));
          },
        };
      },
      { kernels: [kernel] },
    );
    expect([runs, violations]).toEqual([4, []]);
    return started;
  };
  expect([count(false), count(true)]).toEqual([1, 4]);
});

test("at the end of a run both kernels are compared before anything of it goes", () => {
  const harm = own("harm", ({ population }) => ({
    perform: () => void population.live[0]!.process.rss++,
    undo: () => void (population.live[0]!.process.rss -= 1),
  }));
  const pair = new Differential(kernel, "end", [...CORE_FAMILIES, harm]);
  expect(() => {
    pair.run([op("spawn", { cpu: 0 }), op("harm")]);
  }).toThrow(/F8: process 0: 1 pages resident.*with a single copy 0 pages resident/);
});

const SETUP = [
  { op: "spawn", cpu: 0 },
  { op: "mmap", p: 0, cpu: 0, page: 0, pages: 1, writable: true, large: false, locked: false, policy: 0 },
  { op: "run", p: 0, cpu: 0 },
  { op: "touch", cpu: 0, page: 0, kind: "write", value: 8 },
  { op: "run", p: 0, cpu: 2 },
];
const UNMAP = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 1 };

test("a second operation comes at every point of the first and once after it; each schedule begins without a process", () => {
  const asked: number[] = [];
  let alive = (): number => NONE;
  const watched = {
    ...kernel,
    before({ spaces }: CheckedSystem["parts"]) {
      alive = () => spaces.all.size;
    },
  };
  const reader: Meeting = (during, point) => {
    asked.push(point);
    expect(alive()).toBe(0);
    return op("read-within", { during, point, cpu: 2, page: 0 });
  };
  const heard: number[] = [];
  const scene = { setup: SETUP, firsts: [UNMAP, { op: "exit", p: 0 }], meetings: [reader, reader] };
  const report = exploreScenes(
    watched,
    () => [scene],
    1,
    (done) => heard.push(done),
  );
  expect(report.broken).toEqual([]);
  expect([report.pairs, heard]).toEqual([4, [0, 0.25, 0.5, 0.75]]);
  const ofPair = asked.join(" ").split(/ (?=1 2 )/);
  expect(ofPair).toHaveLength(4);
  expect([ofPair[0], ofPair[2]]).toEqual([ofPair[1], ofPair[3]]);
  const checked = system();
  for (const [pair, first] of [
    [ofPair[0]!, UNMAP],
    [ofPair[2]!, op("exit", { p: 0 })],
  ] as const) {
    for (const each of SETUP) checked.step(each);
    const points = checked.watch.pointsOf(() => {
      checked.step(first);
    });
    checked.finish();
    expect(points).toBeGreaterThan(3);
    expect(pair.split(" ").map(Number)).toEqual(Array.from({ length: points + 1 }, (_, at) => at + 1));
  }
  expect([report.schedules, report.operations]).toEqual([asked.length, asked.length * (SETUP.length + 1)]);
});

test("a pair that broke a rule is told once, with its point, and the next begins on a fresh kernel", () => {
  let boots = 0;
  const broken = {
    ...kernel,
    before({ spaces }: CheckedSystem["parts"]) {
      boots++;
      strangeBeforeCleared(spaces);
    },
  };
  const asked: number[] = [];
  const reader: Meeting = (during, point) => {
    asked.push(point);
    return op("read-within", { during, point, cpu: 2, page: 0 });
  };
  const report = exploreScenes(broken, () => [{ setup: SETUP, firsts: [UNMAP], meetings: [reader, reader] }]);
  const points = report.broken.map(({ invariant, operations }) => [
    invariant,
    (operations.at(-1) as Operation & { readonly point: number }).point,
  ]);
  expect(points).toEqual([
    ["G5", asked.length / 2],
    ["G5", asked.length / 2],
  ]);
  expect(asked).toEqual([...Array(2)].flatMap(() => Array.from({ length: asked.length / 2 }, (_, at) => at + 1)));
  expect([report.pairs, report.schedules, boots]).toEqual([2, asked.length, 3]);
});
