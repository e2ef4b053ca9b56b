/**
 * Groups A and B on tables in which one thing is wrong. What copies a policy makes is not asked here:
 * numa-replication's checker test does.
 */
import { type Frame, hex, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { descriptorAddress, directAddress, type ReplicaView, walk } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { type CheckedKernel, checkInvariants } from "../src/index.js";
import {
  sound,
  layout,
  allocator,
  machine,
  witness,
  memory,
  BOOT,
  R0,
  R1,
  TEXT,
  TAIL,
  RODATA,
  DATA,
  BSS,
  ownBss,
  WINDOW,
  frameAt,
  TEXT_FRAME,
  RODATA_FRAME,
  PGD,
  said,
  to,
  without,
  having,
  gone,
  P,
  W,
  view,
  type Planted,
  change,
  silentUntilPlanted,
} from "./planted.js";
import { twoHolders } from "./two-holders.js";

const five = twoHolders({ levels: 5 });

test("nothing is said of the sound kernel, whatever its levels, with KPTI and without", () => {
  for (const kernel of [sound, five, twoHolders({ pti: false })]) {
    const { checked, violated, notReached } = checkInvariants(kernel);
    expect(violated).toEqual([]);
    expect(checked).toEqual(
      expect.arrayContaining([
        "A8",
        "A10",
        "B1",
        "B4",
        "B9",
        "C1",
        "C2",
        "C3",
        "C4",
        "F1",
        "F2",
        "F6",
        "G1",
        "G10",
        "H1",
        "I3",
      ]),
    );
    const kpti = ["C6", "C7", "C8", "F9", "G11", "H5"];
    expect(kernel.layout.pti ? checked : notReached).toEqual(expect.arrayContaining(kpti));
  }
});

const PLACED: readonly Planted[] = [
  [
    "A1",
    "one word of a copy of text",
    () => sound.poke(frameAt(R1, TEXT + 3n * PAGE), 9, 1),
    `node 1 reads other bytes than node 0 at text page 3 (${hex(TEXT + 3n * PAGE)})`,
  ],
  [
    "A1",
    "a hole in text",
    () => change(R1, TAIL + PAGE, 1, without(P)),
    `node 1 does not map text page 513 (${hex(TAIL + PAGE)})`,
  ],
  [
    "A2",
    "a page of a copy on another node",
    () => change(R1, TAIL, 1, to(TEXT_FRAME)),
    `text page 512 (${hex(TAIL)}) of node 1 lies on node 0`,
  ],
  [
    "A2",
    "a holder that has no copy yet, and not the master's frame",
    () => {
      change(R1, TEXT, 2, to(TEXT_FRAME));
      change(R1, TAIL, 1, to(TEXT_FRAME + 512));
      return { view: view({ copyHolders: [0], copies: { text: true, rodata: false } }) };
    },
    `node 1 has no copy, and frame ${frameAt(R1, TAIL + PAGE)} for text page 513 (${hex(TAIL + PAGE)}), not the master's`,
  ],
  [
    "A3",
    "the source in place of its copy",
    () => change(R1, TAIL, 1, to(TEXT_FRAME + 512)),
    `nodes 0 and 1 use the same frame for text page 512 (${hex(TAIL)})`,
  ],
  [
    "A4",
    "data of one node's own",
    () => {
      ownBss();
      change(R1, BSS, 1, to(5));
    },
    `${hex(BSS)}: node 1 has frame 5, node 0 frame ${frameAt(R0, BSS)}`,
  ],
  [
    "A4",
    "data that one node lacks",
    () => {
      ownBss();
      change(R1, BSS, 1, gone);
    },
    `${hex(BSS)}: node 1 has a hole, node 0 frame ${frameAt(R0, BSS)}`,
  ],
  [
    "A5",
    "a stray write to a copy of rodata",
    () => sound.poke(frameAt(R1, RODATA + 514n * PAGE), 0, 7),
    `node 1 reads other bytes than the booted copy at rodata page 514 (${hex(RODATA + 514n * PAGE)})`,
  ],
  [
    "A5",
    "a write to rodata that every copy has",
    () => ({
      witness: Object.assign(Object.create(witness) as typeof witness, {
        rodataVersions: witness.rodataVersions.map((each, page) => (page === 3 ? each - 1 : each)),
      }),
    }),
    `the booted copy of rodata page 3 (${hex(RODATA + 3n * PAGE)}) was written after mark_rodata_ro`,
  ],
  [
    "A6",
    "a master that runs a copy",
    () => change(R0, TAIL, 1, to(frameAt(R1, TAIL))),
    `node 0 owns the image and does not use the booted frame of text page 512 (${hex(TAIL)})`,
  ],
  [
    "A7",
    "a copy of data",
    () => change(R1, DATA, 2, to(0x200)),
    /^node 1 maps \.data \+ 0 pages to frame 512: a store there is not seen elsewhere/,
  ],
  [
    "A9",
    "a large leaf off 2 MiB",
    () => change(R1, RODATA, 2, having(0x2000)),
    `node 1: rodata page 0 (${hex(RODATA)}) is a 2 MiB leaf whose frame is not on 2 MiB`,
  ],
  [
    "A10",
    "a direct map that leads elsewhere",
    () => change(R0, directAddress(layout, RODATA_FRAME), 2, to(0x200)),
    new RegExp(
      `^on node 0 __pa of rodata page 0 \\(${hex(RODATA)}\\) names frame ${RODATA_FRAME}, which its direct map does not lead to`,
    ),
  ],
  [
    "A10",
    "a direct map with a hole",
    () => change(R0, directAddress(layout, TEXT_FRAME), 2, without(P)),
    new RegExp(`^on node 0 __pa of text page 0`),
  ],
  [
    "A10",
    "a descriptor that is missing",
    () => change(R0, descriptorAddress(layout, TEXT_FRAME), 2, gone),
    /^on node 0 virt_to_page of text has no descriptor at 0xffff/,
  ],
  [
    "A10",
    "a descriptor of one node's own",
    () => {
      for (const level of [4, 3]) sound.move(R1, layout.vmemmapStart, level, 1);
      change(R1, descriptorAddress(layout, TEXT_FRAME), 2, to(0x200));
    },
    /^on node 1 virt_to_page of text names another descriptor than elsewhere, at 0xffff/,
  ],
  [
    "A11",
    "frames of copies, and one holder",
    () => ({ view: sound.kernel.view }),
    `${514 + 515} frames of text and rodata for one holder`,
  ],
  [
    "A11",
    "a root too many, on a machine of one node",
    () => ({
      machine: Object.assign(Object.create(machine) as typeof machine, {
        nodes: [0],
        memory: { ranges: machine.memory.ranges.slice(0, 1) },
      }),
    }),
    "3 roots for one holder",
  ],
];
silentUntilPlanted(PLACED);

const SHAPED: readonly Planted[] = [
  [
    "B1",
    "a PMD page of two holders",
    () => change(R1, WINDOW, 3, (_lo, hi) => [walk(memory, R0, 4, WINDOW, 3).lo, hi]),
    "node 1 and node 0's PMD under 511/510 share PMD under 511/510 (and 1 more)",
  ],
  [
    "B2",
    "a PMD page on another node",
    () => {
      sound.move(R1, WINDOW, 3, 0);
    },
    "PMD under 511/510 of node 1 lies on node 0",
  ],
  [
    "B2",
    "a small table of its own on another node",
    () => {
      sound.move(R1, TAIL, 2, 0);
    },
    `the PTE page of node 1 over ${hex(TAIL)} lies on node 0`,
  ],
  [
    "B3",
    "a top-level slot of one holder's",
    () => change(R1, layout.pageOffset + (100n << 39n), 4, () => [0x2063, 0]),
    /^PGD slot \d+ of node 1 differs from that of node 0$/,
  ],
  [
    "B3",
    "its high half alone",
    () => change(R1, layout.pageOffset, 4, having(0, 1)),
    /^PGD slot \d+ of node 1 differs from that of node 0$/,
  ],
  [
    "B4",
    "the PUD slot below the window",
    () => change(R1, WINDOW - (1n << 30n), 3, () => [0x2063, 0]),
    "PUD slot 509 of node 1 differs",
  ],
  [
    "B4",
    "its first slot's high half",
    () => change(R1, WINDOW - (510n << 30n), 3, having(0, 1)),
    "PUD slot 0 of node 1 differs",
  ],
  ["B4", "a root without the window", () => change(R1, WINDOW, 4, gone), "node 1 has no PUD page for the window"],
  [
    "B5",
    "a fixmap page of one holder's",
    () => {
      sound.move(R1, layout.fixmapStart + LARGE, 2, 1);
    },
    `the PTE page over ${hex(layout.fixmapStart + LARGE)} is not one for all`,
  ],
  [
    "B6",
    "a right that one holder lacks",
    () => {
      ownBss();
      change(R1, BSS, 1, without(W));
    },
    `${hex(BSS)}: R-- on node 1, RW- on node 0`,
  ],
  [
    "B6",
    "caching that one holder has off",
    () => {
      ownBss();
      change(R1, BSS, 1, having(0x18));
    },
    `${hex(BSS)}: RW- PCD PWT on node 1, RW- on node 0`,
  ],
  [
    "B6",
    "a page that one holder lacks",
    () => {
      ownBss();
      change(R1, BSS, 1, gone);
    },
    `${hex(BSS)}: a hole on node 1, RW- on node 0`,
  ],
  [
    "B8",
    "a CPU on the boot table",
    () => machine.cpu(3).writeCr3(BigInt(BOOT) << 12n),
    "CPU 3 still runs on the boot table",
  ],
  [
    "B8",
    "a canonical root that is the boot table",
    () => ({ view: view({ kernelRoot: (node) => (node === 0 ? BOOT : R1) }) }),
    "the canonical root still is the boot table",
  ],
];
silentUntilPlanted(SHAPED);

test("rows about a step are not reached before it, and those about copies not with one holder", () => {
  const until = (reached: CheckedKernel["reached"]) =>
    checkInvariants({ ...sound, reached }).notReached.filter((id) => checkInvariants(sound, [id]).checked.includes(id));
  expect(until(undefined)).toEqual([
    "A5",
    "A10",
    "B8",
    "B11",
    "C1",
    "C2",
    "C3",
    "C4",
    "C6",
    "C8",
    "G1",
    "G10",
    "G11",
    "G12",
    "G13",
    "G14",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "I3",
  ]);
  expect(until("setup-arch")).not.toContain("A10");
  expect(until("mm-core-init")).toEqual([
    "A5",
    "B8",
    "C1",
    "C2",
    "C3",
    "C4",
    "C8",
    "G1",
    "G10",
    "G11",
    "G12",
    "G13",
    "G14",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "I3",
  ]);
  expect(until("smp-init")).toEqual(["A5", "C1", "C2", "C3", "C4", "C8", "G11", "H2", "H5", "I3"]);
  expect(until("mark-rodata-ro")).toEqual(["A5", "C3", "C8", "G11", "H2", "H5", "I3"]);
  expect(until("numa-replicate-rodata")).toEqual(["C8", "G11", "H5"]);
  expect(until("pti-finalize")).toEqual([]);
  const single = checkInvariants({ ...sound, view: sound.kernel.view }).notReached;
  expect(single).toEqual(
    expect.arrayContaining([
      "A2",
      "A3",
      "A4",
      "A8",
      "A9",
      "B1",
      "B2",
      "B3",
      "B4",
      "B5",
      "B6",
      "B8",
      "B9",
      "B10",
      "C2",
      "G10",
      "G11",
      "H1",
      "H2",
      "H3",
      "H4",
      "I4",
    ]),
  );
});

test("A8: a node uses the root of its nearest holder, the lowest where two are as near, of its own group where it is in one", () => {
  const distances = [
    [10, 20, 20],
    [20, 10, 15],
    [20, 15, 10],
  ];
  const of = (two: Frame, more: Partial<ReplicaView> = {}, third = 15) =>
    said("A8", {
      machine: Object.assign(Object.create(machine) as typeof machine, {
        nodes: [0, 1, 2],
        distance: (from: number, node: number) => (from === 2 && node === 1 ? third : distances[from]![node]!),
      }),
      view: view({
        kernelRoot: (node) => (node === 2 ? two : [R0, R1][node]!),
        nearest: (node) => (node === 2 ? 0 : node),
        ...more,
      }),
    });
  const wrong = (root: number) =>
    `node 2 does not use the root of node ${root}, its nearest holder, but that of node 0`;
  expect([of(R1), of(R0)]).toEqual([[], [wrong(1)]]);
  expect([of(R0, {}, 20), of(R1, {}, 20)]).toEqual([[], [wrong(0)]]);
  const grouped = { groups: [[0, 2], [1]] };
  expect([of(R0, grouped), of(R1, grouped)]).toEqual([[], [wrong(0)]]);
  // A group without a holder is none.
  expect(of(R1, { groups: [[0, 1], [2]] })).toEqual([]);
});

describe("B11: a root, and what it leads to,", () => {
  const purposes = (of: Record<Frame, string>): Partial<CheckedKernel> => ({
    allocator: Object.assign(Object.create(allocator) as typeof allocator, {
      purposeOf: (frame: Frame) => of[frame] ?? allocator.purposeOf(frame),
    }),
  });
  const small = walk(memory, R1, 4, TAIL).table;
  const pmd = walk(memory, R1, 4, TAIL, 2).table;
  const slot = walk(memory, R1, 4, TAIL, 2).index;
  test("is no table that was given back or is somebody else's", () => {
    expect(said("B11")).toEqual([]);
    expect(said("B11", purposes({ [small]: "free" }))).toEqual([
      `node 1, slot 511/510/${slot}, leads to frame ${small} as a table of level 1, which is free`,
    ]);
    expect(said("B11", purposes({ [pmd]: "user" }))).toEqual([
      `node 1, slot 511/510, leads to frame ${pmd} as a table of level 2, which is handed out as user`,
    ]);
    expect(said("B11", purposes({ [R1]: "free" }))![0]).toBe(
      `node 1 leads to frame ${R1} as a table of level 4, which is free`,
    );
    expect(said("B11", purposes({ [R1 + 1]: "free" }))).toEqual([
      `the user half of node 1 leads to frame ${R1 + 1} as a table of level 4, which is free`,
    ]);
    expect(said("B11", purposes({ [PGD(1)]: "free" }))).toEqual([
      `space 1 on node 1 leads to frame ${PGD(1)} as a table of level 4, which is free`,
    ]);
  });
  test("is no frame where no memory is", () => {
    change(R1, TAIL, 2, () => [0xffff_f063, 0]);
    expect(said("B11")).toEqual([
      `node 1, slot 511/510/${slot}, leads to frame ${0xf_ffff} as a table, where no memory is`,
    ]);
  });
  test("is looked at whoever's it is: the firmware's, a patcher's, what CR3 names", () => {
    const other = allocator.allocate(0, 0, { purpose: "user" });
    const says = (name: string) => [
      `${name} leads to frame ${other} as a table of level 4, which is handed out as user`,
    ];
    expect(said("B11", { otherRoots: [{ name: "EFI's root", root: other }] })).toEqual(says("EFI's root"));
    expect(said("B11", { pokingRoots: [{ name: "the poking space", root: other }] })).toEqual(says("the poking space"));
    const { cr3 } = machine.cpu(3);
    machine.cpu(3).writeCr3(BigInt(other) << 12n);
    expect(said("B11")).toEqual(says("CR3 of CPU 3"));
    machine.cpu(3).writeCr3(cr3);
  });
});

test("five levels: B3 compares P4D slots as well", () => {
  const found = () => checkInvariants(five, ["B3"]).violated.map(({ detail }) => detail);
  five.change(five.view.kernelRoot(1), WINDOW - (1n << 39n), 4, () => [0x2063, 0]);
  expect(found()).toEqual(["P4D slot 510 of node 1 differs from that of node 0"]);
  five.undo();
  five.change(five.view.kernelRoot(1), five.layout.pageOffset, 5, gone);
  expect(found()).toEqual([expect.stringMatching(/^PGD slot \d+ of node 1 differs from that of node 0$/)]);
});
