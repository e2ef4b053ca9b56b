/** A place as an address and back; addresses of strangers. */
import { expect, test } from "vitest";
import { hashOf, type Place, placeOf } from "../src/hash.js";

const plain: Place = {
  nodes: 2,
  levels: 4,
  pti: false,
  policy: "per-node",
  laid: [],
  operations: [],
  moment: { step: 19, store: 0 },
};

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
  };
  for (const place of [plain, full]) expect(placeOf(`#${hashOf(place)}`, plain)).toEqual(place);
});

test("what is no value is as it was", () => {
  for (const hash of ["", "#", "#nodes=9&step=-1&do=%00", "#do=W3t9XQ", "#page=javascript:1", "#nodes=2e0&store=x"])
    expect(placeOf(hash, plain)).toEqual(plain);
});
