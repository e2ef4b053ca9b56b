/** Which preset stands behind a processor that an input names. */
import { expect, test } from "vitest";
import { nearestFamily } from "../../src/accounts/nearest-family.js";

test.each([
  ["intel", 6, 0x3f, 2, "e5-2690v3-2s"],
  ["intel", 6, 0x4f, 2, "e5-2682v4-2s"],
  ["intel", 6, 0x55, 2, "xeon-8180-2s"],
  ["intel", 6, 0x55, 4, "xeon-8280-4s"],
  ["intel", 6, 0x55, 8, "xeon-8260-8s"],
  ["intel", 6, 0x6a, 2, "xeon-8480-2s"],
  ["intel", 6, 0x8f, 2, "xeon-8480-2s"],
  ["intel", 6, 0xcf, 2, "xeon-8592-2s"],
  ["intel", 6, 0xad, 2, "xeon-8592-2s"],
  ["intel", 6, 0x7a, 1, "e5-2690v3-2s"],
  ["intel", 15, 4, 1, "e5-2690v3-2s"],
  ["amd", 23, 49, 2, "epyc-7713-2s"],
  ["amd", 25, 1, 2, "epyc-7713-2s"],
  ["amd", 25, 0x21, 1, "epyc-7713-2s"],
  ["amd", 25, 0x11, 2, "epyc-9654-2s"],
  ["amd", 25, 0xa0, 2, "epyc-9654-2s"],
  ["amd", 26, 2, 2, "epyc-9654-2s"],
] as const)("%s family %d model %d in %d sockets: %s", (vendor, family, model, sockets, name) => {
  expect(nearestFamily(vendor, family, model, sockets)!.base.name).toBe(name);
});

test("nobody named: no preset; a vendor alone: one that says so", () => {
  expect(nearestFamily(undefined, 6, 63)).toBeUndefined();
  expect(nearestFamily("amd", undefined, undefined)!.why).toBe("an AMD processor whose family is not told");
  expect(nearestFamily("intel", 6, undefined)!.why).toBe("an Intel processor whose model is not told");
});
