/** The slow model of what a user may see, operation by operation: what changes, and that nothing beside it does. */
import { PAGE } from "@kreplica/hw-x86/api";
import { expect, test } from "vitest";
import { ModelFile, type ModelPage, pageNumber, UserModel, WORDS } from "../src/user-model.js";

const range = (page: number, pages: number) => ({ start: BigInt(page) * PAGE, pages });
const entries = (model: UserModel): [number, ModelPage][] => {
  const found: [number, ModelPage][] = [];
  model.pages.forEach((page, number) => found.push([number, page]));
  return found.sort(([a], [b]) => a - b);
};
const numbers = (model: UserModel): number[] => entries(model).map(([number]) => number);
const untouched = Array<number>(WORDS).fill(0);

/** Pages 10 to 13, of which 12 has words of its own. */
function some(): UserModel {
  const model = new UserModel();
  model.map(range(10, 4), true);
  model.write(12, 1, 7);
  return model;
}

test("a page's number is that of the address's 4 KiB", () => {
  expect([0n, 0xfffn, 0x1000n, 0x7fff_ffff_ffffn].map(pageNumber)).toEqual([0, 0, 1, 0x7_ffff_ffff]);
});

test("what is mapped is there, unwritten, with the rights it was given and never to be executed", () => {
  const model = new UserModel();
  model.map(range(3, 2), true);
  model.map(range(1, 1), false, true);
  expect(entries(model)).toEqual([
    [1, { writable: false, executable: false, stack: true, values: untouched }],
    [3, { writable: true, executable: false, stack: false, values: untouched }],
    [4, { writable: true, executable: false, stack: false, values: untouched }],
  ]);
  expect(untouched).toHaveLength(4);
});

test("a range is free where none of its pages is there, and covered where all are", () => {
  const model = some();
  const of = (page: number, pages: number) => [model.isFree(range(page, pages)), model.isCovered(range(page, pages))];
  expect(of(10, 4)).toEqual([false, true]);
  expect(of(11, 2)).toEqual([false, true]);
  for (const [page, pages] of [
    [9, 2],
    [13, 2],
    [9, 6],
  ] as const)
    expect(of(page, pages), `${pages} from ${page}`).toEqual([false, false]);
  for (const [page, pages] of [
    [8, 2],
    [14, 2],
  ] as const)
    expect(of(page, pages), `${pages} from ${page}`).toEqual([true, false]);
});

test("what is unmapped is gone, whether its range is shorter or longer than all there is", () => {
  for (const [page, pages, left] of [
    [11, 2, [10, 13]],
    [10, 1, [11, 12, 13]],
    [8, 2, [10, 11, 12, 13]],
    [14, 3, [10, 11, 12, 13]],
    [11, 1000, [10]],
    [0, 12, [12, 13]],
    [0, 10, [10, 11, 12, 13]],
    [14, 1000, [10, 11, 12, 13]],
  ] as const) {
    const model = some();
    model.unmap(range(page, pages));
    expect(numbers(model), `${pages} pages from ${page}`).toEqual(left);
  }
});

test("rights change in their range alone, and contents and the growing of a stack do not", () => {
  const model = some();
  model.map(range(14, 2), true, true);
  model.protect(range(12, 3), false, true);
  expect([11, 12, 13, 14, 15].map((page) => model.pages.get(page))).toEqual([
    { writable: true, executable: false, stack: false, values: untouched },
    { writable: false, executable: true, stack: false, values: [0, 7, 0, 0] },
    { writable: false, executable: true, stack: false, values: untouched },
    { writable: false, executable: true, stack: true, values: untouched },
    { writable: true, executable: false, stack: true, values: untouched },
  ]);
});

test("what moves keeps its contents, up or down, and leaves nothing behind", () => {
  for (const to of [100, 2]) {
    const model = some();
    const page = model.pages.get(12);
    model.move(range(11, 3), BigInt(to) * PAGE);
    expect(numbers(model)).toEqual([10, to, to + 1, to + 2].sort((a, b) => a - b));
    expect(model.pages.get(to + 1)).toBe(page);
  }
});

test("a fault grows a stack that begins up to 64 pages above, by every page between, unwritten", () => {
  const stack = (): UserModel => {
    const model = new UserModel();
    model.map(range(100, 2), true, true);
    model.protect(range(100, 1), true, true);
    model.write(100, 0, 5);
    return model;
  };
  for (const [page, grown] of [
    [99, 1],
    [90, 10],
    [36, 64],
    [35, 0],
    [102, 0],
  ] as const) {
    const model = stack();
    model.grow(page);
    expect(numbers(model), `a fault at ${page}`).toEqual([
      ...Array.from({ length: grown }, (_, i) => 100 - grown + i),
      100,
      101,
    ]);
    for (let each = 100 - grown; each < 100; each++)
      expect(model.pages.get(each)).toEqual({ writable: true, executable: true, stack: true, values: untouched });
    expect(model.pages.get(100)!.values).toEqual([5, 0, 0, 0]);
  }
});

test("nothing grows where the page is there, nor where another area lies between it and the stack", () => {
  const model = new UserModel();
  model.map(range(100, 2), true, true);
  model.write(100, 0, 5);
  model.grow(100);
  expect(model.pages.get(100)!.values[0]).toBe(5);
  model.map(range(95, 1), true);
  model.grow(90);
  model.grow(95);
  expect(numbers(model)).toEqual([95, 100, 101]);
  // What lies just below the fault is in nobody's way.
  model.grow(96);
  expect(numbers(model)).toEqual([95, 96, 97, 98, 99, 100, 101]);
});

test("a store changes one word of one page", () => {
  const model = some();
  model.write(12, 3, 9);
  expect([11, 12, 13].map((page) => model.pages.get(page)!.values)).toEqual([untouched, [0, 7, 0, 9], untouched]);
  expect(model.pages.get(12)).toMatchObject({ writable: true, executable: false });
});

test("a page that is there may be read; written and executed as its rights say; one that is not there, nothing", () => {
  const model = some();
  model.map(range(14, 1), false);
  model.protect(range(11, 1), false, true);
  const of = (page: number) => (["read", "write", "execute"] as const).map((kind) => model.outcome(page, kind));
  expect(of(10)).toEqual(["ok", "ok", "segv"]);
  expect(of(11)).toEqual(["ok", "segv", "ok"]);
  expect(of(14)).toEqual(["ok", "segv", "segv"]);
  expect(of(15)).toEqual(["segv", "segv", "segv"]);
});

test("a child has its parent's pages, heap and LDT, and goes its own way from there", () => {
  const parent = some();
  parent.brkPages = 3;
  parent.descriptors.set(2, 5n);
  const child = parent.copy();
  expect(entries(child)).toEqual(entries(parent));
  expect([child.brkPages, [...child.descriptors]]).toEqual([3, [[2, 5n]]]);
  child.write(12, 0, 1);
  child.unmap(range(10, 1));
  child.descriptors.set(2, 6n);
  parent.map(range(20, 1), true);
  expect(parent.pages.get(12)!.values).toEqual([0, 7, 0, 0]);
  expect(numbers(parent)).toEqual([10, 11, 12, 13, 20]);
  expect(numbers(child)).toEqual([11, 12, 13]);
  expect(parent.descriptors.get(2)).toBe(5n);
});

test("a new program has no pages, no heap and no LDT", () => {
  const model = some();
  model.brkPages = 3;
  model.descriptors.set(2, 5n);
  model.clear();
  expect([model.pages.size, model.brkPages, model.descriptors.size]).toEqual([0, 0, 0]);
});

/** A file of three pages, of which a has all for everybody to see, and b the last two for its own. */
function mapped() {
  const file = new ModelFile(3);
  const [a, b] = [new UserModel(), new UserModel()];
  a.mapFile(range(10, 3), true, file, 0, true);
  b.mapFile(range(20, 2), true, file, 1, false);
  return { file, a, b };
}

test("a file's words are what was stored to shared pages of it; private ones show them until they are stored to", () => {
  const { file, a, b } = mapped();
  a.write(11, 2, 7);
  expect([file.read(1), a.read(11), b.read(20), file.read(0)]).toEqual([...Array(3).fill([0, 0, 7, 0]), untouched]);
  b.write(20, 0, 5);
  a.write(11, 1, 9);
  expect([file.read(1), b.read(20)]).toEqual([
    [0, 9, 7, 0],
    [5, 0, 7, 0],
  ]);
  const child = a.copy();
  child.write(12, 0, 3);
  expect([a.read(12), b.read(21), child.maps(file), b.maps(new ModelFile(1))]).toEqual([
    [3, 0, 0, 0],
    [3, 0, 0, 0],
    true,
    false,
  ]);
});

test("behind the end of its file a page is mapped and has no words; copies go with the end, what comes is unwritten", () => {
  const { file, a, b } = mapped();
  b.write(20, 0, 4);
  b.write(21, 0, 5);
  a.write(12, 0, 6);
  file.resize(2);
  for (const each of [a, b]) each.truncated(file);
  expect([b.read(20), b.read(21), a.read(12)]).toEqual([[4, 0, 0, 0], undefined, undefined]);
  expect([a.outcome(12, "write"), b.outcome(21, "read"), b.outcome(21, "execute")]).toEqual([
    "sigbus",
    "sigbus",
    "segv",
  ]);
  file.resize(3);
  expect([b.read(21), a.outcome(12, "write"), b.read(20)]).toEqual([untouched, "ok", [4, 0, 0, 0]]);
});

test("private pages that are made present have copies where they may be stored to, shared ones and others none", () => {
  const { file, a, b } = mapped();
  b.protect(range(21, 1), false, false);
  file.resize(2);
  for (const each of [a, b]) {
    each.populate(range(10, 3), () => true);
    each.populate(range(20, 2), () => true);
  }
  expect([20, 21].map((page) => b.pages.get(page)!.copied)).toEqual([true, undefined]);
  expect([10, 11, 12].map((page) => a.pages.get(page)!.copied)).toEqual([undefined, undefined, undefined]);
  b.mapFile(range(30, 2), true, file, 0, false);
  b.populate(range(30, 2), (page) => page === 30);
  expect([30, 31].map((page) => b.pages.get(page)!.copied)).toEqual([true, undefined]);
});
