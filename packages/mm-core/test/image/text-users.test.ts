/**
 * Text that goes with the boot: whoever keeps addresses of init text or of what lies behind text is asked before it is
 * given back.
 */
import type { AddressRange } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { frameAt, type MmError, type TextUser, TextUserList } from "../../src/api.js";
import { testKernel, type TestKernel } from "../../src/testing.js";

const PAGE = 4096n;
const up = (address: bigint, to = PAGE): bigint => (address + to - 1n) & ~(to - 1n);

/** Notes what it is asked and told, with what lies there at that moment. */
function watch({ textUsers, entries, view, allocator }: TestKernel, refuses: (start: bigint) => boolean = () => false) {
  const told: { what: "asked" | "forgets"; start: bigint; end: bigint; mapped: boolean; free: number }[] = [];
  const note = (what: "asked" | "forgets", { start, end }: AddressRange): void => {
    told.push({
      what,
      start,
      end,
      mapped: frameAt(entries.memory, view.kernelRoot(0), 4, start) !== undefined,
      free: allocator.freeFrames(0),
    });
  };
  const user: TextUser = {
    name: "a test",
    sites: () => [],
    refusal(range) {
      note("asked", range);
      return refuses(range.start) ? "the test keeps it" : undefined;
    },
    forget(range) {
      note("forgets", range);
    },
  };
  textUsers.add(user);
  return told;
}

describe.each([false, true])("KPTI %j", (pti) => {
  test("asked, then told, before the frames of init and of both tails are free", () => {
    const kernel = testKernel({ pti });
    const { image, boot, allocator } = kernel;
    boot.runTo("initcalls");
    const told = watch(kernel);
    const free = allocator.freeFrames(0);
    boot.runTo("free-initmem");
    expect(told.map(({ what, start, end }) => [what, start, end])).toEqual([
      ["asked", image.initBegin, image.initEnd],
      ["forgets", image.initBegin, image.initEnd],
    ]);
    for (const each of told) expect([each.mapped, each.free]).toEqual([true, free]);
    expect(allocator.freeFrames(0)).toBeGreaterThan(free);
    told.length = 0;
    boot.run();
    const tails = [
      [up(image.etext), image.startRodata],
      [up(image.endRodata), up(image.endRodata, 0x20_0000n)],
    ].filter(([start, end]) => end! > start!);
    expect(tails.length).toBe(2);
    expect(told.map(({ what, start, end }) => [what, start, end])).toEqual(
      tails.flatMap(([start, end]) => [
        ["asked", start, end],
        ["forgets", start, end],
      ]),
    );
  });

  test("one who refuses keeps init text: still mapped, no frame of it free, nobody has forgotten anything", () => {
    const kernel = testKernel({ pti });
    const { image, boot, allocator, tables } = kernel;
    boot.runTo("initcalls");
    const first = watch(kernel);
    watch(kernel, (start) => start === image.initBegin);
    const free = allocator.freeFrames(0);
    const before = tables.lookup(0, image.initBegin);
    expect(() => {
      boot.runTo("free-initmem");
    }).toThrow(expect.objectContaining({ code: "text-in-use", address: image.initBegin } satisfies Partial<MmError>));
    expect(tables.lookup(0, image.initBegin)).toEqual(before);
    expect([allocator.freeFrames(0), first.map(({ what }) => what)]).toEqual([free, ["asked"]]);
  });
});

test("all are asked about all of it before the first forgets; in the order in which they were added", () => {
  const users = new TextUserList();
  const told: string[] = [];
  const kept = new Set<bigint>();
  for (const name of ["a", "b"]) {
    users.add({
      name,
      sites: () => [],
      refusal({ start }) {
        told.push(`${name}? ${start}`);
        return name === "b" && kept.has(start) ? "kept" : undefined;
      },
      forget({ start, end }) {
        told.push(`${name} ${start}-${end}`);
      },
    });
  }
  expect([...users.all].map(({ name }) => name)).toEqual(["a", "b"]);
  const ranges = [
    { start: 1n, end: 2n },
    { start: 5n, end: 9n },
  ];
  users.release(ranges);
  expect(told.splice(0)).toEqual(["a? 1", "b? 1", "a? 5", "b? 5", "a 1-2", "b 1-2", "a 5-9", "b 5-9"]);
  kept.add(5n);
  expect(() => {
    users.release(ranges);
  }).toThrow(/text-in-use: 0x5: kept/);
  expect(told).toEqual(["a? 1", "b? 1", "a? 5", "b? 5"]);
});

test("text is being written while one of them says that it writes, whichever, and never by one that says nothing", () => {
  const users = new TextUserList();
  expect(users.writing).toBe(false);
  const writes = { first: false, last: false };
  const plain = { sites: () => [], refusal: () => undefined, forget: () => undefined };
  users.add({
    ...plain,
    name: "first",
    get writing() {
      return writes.first;
    },
  });
  users.add({ ...plain, name: "silent" });
  users.add({
    ...plain,
    name: "last",
    get writing() {
      return writes.last;
    },
  });
  expect(users.writing).toBe(false);
  for (const which of ["first", "last"] as const) {
    writes[which] = true;
    expect(users.writing).toBe(true);
    writes[which] = false;
    expect(users.writing).toBe(false);
  }
});
