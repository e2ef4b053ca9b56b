/** C2 on EFI's own tables: what they map of the kernel's image is protected as in the kernel's, whatever was first. */
import { Efi, efi, efiPerHolder } from "@kreplica/efi";
import { PGD_ORDER } from "@kreplica/mm-core";
import { checkInvariants } from "@kreplica/invariants";
import { describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

describe.each([
  ["single-copy", efi],
  ["per-node", efi],
  ["per-node", efiPerHolder],
  ["text-only", efi],
] as const)("%s", (policy, plugin) => {
  test.each([
    [4, false],
    [4, true],
    [5, true],
  ] as const)("%i levels, pti=%s", (levels, pti) => {
    for (const early of [false, true]) {
      const booted = boot({
        spec: smallMachine(2),
        policy,
        image: smallImage(),
        levels,
        pti,
        plugins: [plugin],
        before: ({ assembly, boot: steps }) => {
          if (early) steps.during("mm-core-init", () => `EFI's roots: ${assembly.get(Efi).roots.length}`);
        },
      });
      const roots = () => booted.assembly.get(Efi).roots.map((root, nth) => ({ name: `EFI's root ${nth}`, root }));
      const report = () => checkInvariants({ ...booted, reached: booted.boot.reached, otherRoots: roots() }, ["C2"]);
      expect(report()).toEqual({ checked: ["C2"], violated: [], notReached: [] });
      // A booted kernel knows its firmware's roots by itself.
      expect(booted.checkInvariants().checked).toContain("C2");
    }
  });
});

test.each([
  ["single-copy", efi],
  ["per-node", efiPerHolder],
] as const)("%s: F6 holds the firmware's mm to two pages a PGD, and finds one that is gone", (policy, plugin) => {
  const booted = boot({ spec: smallMachine(2), policy, image: smallImage(), plugins: [plugin] });
  const found = (): string[] =>
    booted
      .checkInvariants()
      .violated.filter(({ id }) => id === "F6")
      .map(({ detail }) => detail);
  expect(booted.checkInvariants().checked).not.toContain("F6");
  const [root] = booted.assembly.get(Efi).roots;
  expect(booted.checkInvariants().checked).toContain("F6");
  expect(found()).toEqual([]);
  booted.allocator.free(root!, PGD_ORDER);
  expect(found()).toEqual([
    expect.stringMatching(new RegExp(`^EFI's root( of node 0)?, frame ${root!}, is not an allocation of two pages`)),
  ]);
});
