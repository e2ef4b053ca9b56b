/** A place as an address and back; addresses of strangers. */
import { expect, test } from "vitest";
import { FIRST, hashOf, type Place, placeOf } from "../src/hash.js";

const plain = FIRST;

test("a place comes back from its address", () => {
  const full: Place = {
    nodes: 8,
    levels: 5,
    pti: true,
    kasan: true,
    configuration: "late memory",
    policy: "groups:0-1,2-3",
    laid: ["D4", "D10-growth"],
    operations: [
      { op: "touch", cpu: 3, page: 0, kind: "write", value: 7 } as never,
      { op: "note", text: "ä+/ü" } as never,
    ],
    moment: { step: 21, store: 4 },
    page: "0xffffffff81000000",
    machine: "my machine.v2~eJw-_9",
    kernel: "vmlinuz-6.1 (mine)~0123456789abcdef",
    recording: "fork~1.kt.zst~fedcba9876543210",
    reference: 1234,
    on: 1,
    cpu: 3,
    whose: 0,
    tables: ["+kernel, node 0/511", "-process 1, node 1/0/2"],
    folds: ["rules", "defects"],
  };
  // Each part by itself, so that none hides behind another.
  for (const part of ["page", "machine", "kernel", "recording", "on", "cpu", "whose", "tables", "folds"] as const)
    expect(placeOf(hashOf({ ...plain, [part]: full[part] }), plain)[part], part).toEqual(full[part]);
  expect(placeOf(hashOf({ ...plain, page: "do_syscall_64" }), plain).page).toBe("do_syscall_64");
  for (const place of [plain, full]) expect(placeOf(`#${hashOf(place)}`, plain)).toEqual(place);
});

test("what is as in the first place is left out, what is not comes back", () => {
  expect(hashOf(FIRST)).toBe("nodes=2");
  for (const other of [
    { levels: 5 },
    { pti: true },
    { policy: "single-copy" },
    { moment: { step: 0, store: 0 } },
    { machine: "xeon-8280-4s" },
  ] as const)
    expect(placeOf(hashOf({ ...FIRST, ...other }))).toEqual({ ...FIRST, ...other });
});

test("what is no value is as it was", () => {
  for (const hash of [
    "",
    "#",
    "#nodes=9&step=-1&do=%00",
    "#do=W3t9XQ",
    "#page=javascript:1",
    "#page=a-b",
    "#machine=~x",
    "#machine=x~%00",
    "#kernel=x~y",
    "#cpu=-1",
    "#on=99999",
    "#nodes=2e0&store=x",
  ])
    expect(placeOf(hash, plain)).toEqual(plain);
});
