/**
 * What few kernels bring about: one holder's large page beside another's small ones, tables behind the first page,
 * patches under way, text of which a part is copied. Rows see through it, and name the page that is wrong.
 */
import { type Frame, hex, LARGE, NONE, PAGE } from "@kreplica/hw-x86/api";
import { descriptorAddress, directAddress, imageAddress, imageFrame, walk } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { checkInvariants } from "../src/index.js";
import {
  allocator,
  BOOT,
  change,
  DATA,
  entries,
  frameAt,
  having,
  image,
  layout,
  machine,
  memory,
  P,
  R0,
  R1,
  RODATA,
  said,
  sound,
  table,
  TAIL,
  TEXT,
  TEXT_FRAME,
  to,
  view,
  W,
  without,
} from "./planted.js";
import { twoHolders } from "./two-holders.js";

/**
 * Has a root map the 2 MiB that begin at an address by small pages of the same frames and rights.
 * @returns their table
 */
function split(root: Frame, address: bigint): Frame {
  const made = table();
  const { lo, hi } = walk(memory, root, layout.levels, address, 2);
  for (let page = 0; page < 512; page++)
    entries.write(made, page, (((frameAt(root, address) + page) << 12) | (lo & 0xf7f)) >>> 0, hi);
  change(root, address, 2, () => [((made << 12) | 0x63) >>> 0, 0]);
  return made;
}

describe("a large page on one node and small ones on another", () => {
  test.each([
    [0, R0],
    [1, R1],
  ] as const)("are no difference where they say the same; one page that is another is (node %i)", (node, root) => {
    const made = split(root, DATA);
    expect([said("A4"), said("B6"), said("A7")]).toEqual([[], [], []]);
    for (const page of [0, 1, 300, 511]) {
      const [lo, hi] = [entries.low(made, page), entries.high(made, page)];
      const at = hex(DATA + BigInt(page) * PAGE);
      const frame = frameAt(root, DATA + BigInt(page) * PAGE);
      entries.write(made, page, ((5 << 12) | (lo & 0xfff)) >>> 0, hi);
      const [mine, first] = node === 1 ? [5, frame] : [frame, 5];
      expect(said("A4")).toEqual([`${at}: node 1 has frame ${mine}, node 0 frame ${first}`]);
      entries.write(made, page, 0, 0);
      expect(said("B6")).toEqual([
        node === 1 ? `${at}: a hole on node 1, RW- on node 0` : `${at}: RW- on node 1, a hole on node 0`,
      ]);
      entries.write(made, page, lo, hi);
    }
    expect([said("A4"), said("B6")]).toEqual([[], []]);
  });
});

test("A1: bytes of a patch under way may differ, on whichever page it is, and no others", () => {
  const at = TEXT + 3n * PAGE + 40n;
  const copy = frameAt(R1, TEXT) + 3;
  const patchedNow = [{ start: at, end: at + 5n }];
  const says = [`node 1 reads other bytes than node 0 at text page 3 (${hex(TEXT + 3n * PAGE)})`];
  sound.poke(copy, 10, memory.read32(copy, 10) ^ 0xff);
  expect([said("A1"), said("A1", { patchedNow })]).toEqual([says, []]);
  sound.poke(copy, 11, memory.read32(copy, 11) ^ 0xff00);
  expect(said("A1", { patchedNow })).toEqual(says);
});

test("A2 and A3 ask of text the pages alone that are copied", () => {
  const textRanges = [
    { start: TEXT + 2n * PAGE, pages: 2 },
    { start: TAIL, pages: 1 },
  ];
  const some = { view: view({ copies: { ...sound.view.copies, textRanges } }) };
  change(R1, TAIL + PAGE, 1, to(TEXT_FRAME + 513));
  expect(said("A2")).toEqual([`text page 513 (${hex(TAIL + PAGE)}) of node 1 lies on node 0`]);
  expect([said("A2", some), said("A3", some)]).toEqual([[], []]);
  change(R1, TAIL, 1, to(TEXT_FRAME + 512));
  expect(said("A2", some)).toEqual([expect.stringMatching(`\\(${hex(TAIL)}\\) of node 1 lies on node 0$`)]);
  expect(said("A3", some)).toEqual([
    expect.stringMatching(`^nodes 0 and 1 use the same frame for .*\\(${hex(TAIL)}\\)`),
  ]);
});

test("A7: .data, .bss and .brk are one frame for all, wherever in a section; a section that is none of them may differ", () => {
  for (const kind of ["data", "bss", "brk"] as const)
    for (const section of image.sections.filter((each) => each.kind === kind)) {
      const start = imageAddress(layout, section.start & ~(PAGE - 1n));
      const first = imageFrame(layout, image.stext, section.start & ~(PAGE - 1n));
      if (frameAt(R1, start) !== first) continue;
      const large = sound.kernel.tables.lookup(0, start)!.level === 2;
      if (!large) sound.move(R1, start, 2, 1);
      change(R1, start, large ? 2 : 1, large ? to(TEXT_FRAME) : to(5));
      expect(said("A7")![0], section.name).toMatch(`node 1 maps ${section.name} + `);
      sound.undo();
    }
  expect(said("A7")).toEqual([]);
});

describe("A10 names the page, of the image and of descriptors, behind the first:", () => {
  const original = (address: bigint): Frame => frameAt(R0, address);
  test.each([
    ["text", TEXT],
    ["rodata", RODATA],
  ] as const)("of %s", (name, start) => {
    const frame = original(start) + 3;
    const at = directAddress(layout, frame);
    for (const level of [4, 3]) sound.move(R1, at, level, 1);
    const { level } = walk(memory, R1, layout.levels, at);
    const made = level === 2 ? split(R1, at & ~(LARGE - 1n)) : sound.move(R1, at, 2, 1);
    expect(said("A10")).toEqual([]);
    const page = Number((at >> 12n) & 511n);
    for (const wrong of [0, ((frame + 1) << 12) | 0x61]) {
      entries.write(made, page, wrong, 0);
      expect(said("A10")).toEqual([
        `on node 1 __pa of ${name} page 3 (${hex(start + 3n * PAGE)}) names frame ${frame}, which its direct map does not lead to`,
      ]);
    }
  });
  test("or by pages of 1 GiB, each frame of which is looked at", () => {
    sound.move(R1, layout.pageOffset, 4, 1);
    change(R1, layout.pageOffset, 3, () => [0x1e3, 0x8000_0000]);
    expect(said("A10")).toEqual([]);
    change(R1, layout.pageOffset, 3, () => [0x4000_01e3, 0x8000_0000]);
    const frames = [514, 515].reduce((sum, pages) => sum + pages, 0);
    expect(said("A10")).toEqual([
      `on node 1 __pa of text page 0 (${hex(TEXT)}) names frame ${original(TEXT)}, which its direct map does not lead to (and ${frames - 1} more)`,
    ]);
  });
  test("descriptors", () => {
    const at = (descriptorAddress(layout, original(TEXT)) & ~(PAGE - 1n)) + 2n * PAGE;
    const start = at & ~(LARGE - 1n);
    for (const level of [4, 3]) sound.move(R1, at, level, 1);
    const made = split(R1, start);
    expect(said("A10")).toEqual([]);
    const page = Number((at - start) / PAGE);
    entries.write(made, page, (5 << 12) | 0x63, 0x8000_0000);
    expect(said("A10")).toEqual([
      `on node 1 virt_to_page of text names another descriptor than elsewhere, at ${hex(at)}`,
    ]);
    entries.write(made, page, 0, 0);
    expect(said("A10")).toEqual([`on node 1 virt_to_page of text has no descriptor at ${hex(at)}`]);
  });
});

test("B2: what is no table lies nowhere: a page of 1 GiB in the window, an entry that is absent", () => {
  const strange = allocator.allocate(0, 0, { purpose: "page-table", zero: true });
  for (const flags of [0xe3, 0x62]) {
    change(R1, 0xffff_ffff_c000_0000n, 3, () => [((flags === 0xe3 ? 0 : strange << 12) | flags) >>> 0, 0]);
    expect(said("B2")).toEqual([]);
    sound.undo();
  }
  change(R1, 0xffff_ffff_c000_0000n, 3, () => [((strange << 12) | 0x63) >>> 0, 0]);
  expect(said("B2")).toEqual([`PMD under 511/511 of node 1 lies on node 0`]);
});

test("C1 leaves the table of the boot to C2 where nodes have their own", () => {
  for (const level of [4, 3]) sound.move(BOOT, TEXT, level, 0);
  change(BOOT, TEXT, 2, having(W));
  expect(said("C1")).toEqual([]);
  expect(said("C2")![0]).toMatch(/^the boot table: text at .* is RWX( G)?, not R-X/);
});

test("F6 has nothing to look at where no process is and no root is the firmware's", () => {
  const none = { spaces: { all: new Set() } as unknown as typeof sound.spaces };
  expect([said("F6", none), said("F6", { ...none, otherRoots: [] })]).toEqual([undefined, undefined]);
  const root = allocator.allocate(0, 1, { purpose: "page-table", zero: true });
  expect(said("F6", { ...none, otherRoots: [{ name: "EFI's root", root }] })).toEqual([]);
  expect(said("F6", { ...none, otherRoots: [{ name: "EFI's root", root: root + 1 }] })).toEqual([
    `EFI's root, frame ${root + 1}, is not an allocation of two pages`,
  ]);
  allocator.free(root, 1);
});

test("P15: what was fetched from text that is gone, is data by now or lies elsewhere, is nobody's", () => {
  const frame = frameAt(R1, TAIL);
  const core = machine.cpu(2);
  const kept = (held: Frame, byte: number) =>
    Object.assign(core, { fetched: { save: () => [{ address: TAIL, frame: held, bytes: Uint8Array.of(byte) }] } });
  const now = memory.read32(frame, 0) & 255;
  const stale = [`CPU 2 keeps ${hex(now ^ 1)} of ${hex(TAIL)}, fetched before ${hex(now)} was written there`];
  try {
    kept(frame, now);
    expect(said("P15")).toEqual([]);
    kept(frame, now ^ 1);
    expect(said("P15")).toEqual(stale);
    change(R1, TAIL, 1, having(0, 0x8000_0000));
    expect(said("P15")).toEqual([]);
    sound.undo();
    change(R1, TAIL, 1, without(P));
    expect(said("P15")).toEqual([]);
    sound.undo();
    kept(frame + 1, (memory.read32(frame + 1, 0) & 255) ^ 1);
    expect(said("P15")).toEqual([]);
  } finally {
    delete (core as { fetched?: unknown }).fetched;
  }
});

test("G12 to G14 each say their own of what a CPU has cached", () => {
  const entry = (more: object) => ({
    page: 0x1234,
    pageHigh: 0,
    structure: false,
    level: 1,
    pcid: 0,
    global: false,
    frame: 5,
    writable: false,
    user: false,
    executable: false,
    dirty: false,
    encrypted: true,
    ...more,
  });
  const caching = (...cached: readonly object[]): typeof machine =>
    Object.assign(Object.create(machine) as typeof machine, {
      cpu: (cpu: number) =>
        Object.assign(Object.create(machine.cpu(cpu)) as object, {
          cached: {
            forEach: (visit: (each: object) => void) => {
              if (cpu === 1) cached.forEach(visit);
            },
            rootOf: () => R0,
            keptFrom: () => NONE,
          },
        }),
    });
  const of = (machine_: typeof machine) => ["G12", "G13", "G14"].map((id) => said(id, { machine: machine_ })!.length);
  expect(of(caching())).toEqual([0, 0, 0]);
  expect(of(caching(entry({})))).toEqual([1, 0, 0]);
  expect(of(caching(entry({ structure: true, level: 2 })))).toEqual([0, 1, 0]);
  expect(said("G12", { machine: caching(entry({})) })![0]).toMatch(/^CPU 1 has cached 0x1234000 as frame 5 /);
});

test("C9: of a large page one frame that is shared is one too many, whichever it is", () => {
  const encrypted = twoHolders({ encryptionBit: 47 });
  const first = encrypted.allocator.allocate(1, 9, { purpose: "data" });
  const at = hex(directAddress(encrypted.layout, first));
  const says = (...frames: number[]): string[] =>
    checkInvariants({ ...encrypted, sharedMemory: { frames: new Set(frames) } }, ["C9"]).violated.map(
      ({ detail }) => detail,
    );
  for (const page of [1, 511])
    expect(says(first + page)).toEqual([
      expect.stringMatching(
        `the level-2 leaf at ${at} has the encryption bit set, and of frames ${first} to ${first + 511} 1 is shared`,
      ),
    ]);
  expect(says()).toEqual([]);
});
