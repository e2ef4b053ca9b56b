/**
 * Every bug of the museum: its shortest path ends in the invariant that is said to catch it, with copies and without as
 * is said, and the same path is clean on a kernel that does not have it. No step of it can be left out.
 */
import { BUGS } from "@kreplica/museum";
import { expect, test } from "vitest";
import { familiesOfBug, kernelOfBug } from "../../src/bugs.js";
import { failureOf } from "../../src/campaign.js";
import { asSaid } from "./as-said.js";

test.each(BUGS.map((bug) => [bug.id, bug] as const))("%s", (_id, bug) => {
  asSaid(bug);
  const left = bug.path.filter((_step, gone) => {
    const shorter = bug.path.filter((_each, at) => at !== gone);
    return failureOf(kernelOfBug(bug, true), shorter, "off", familiesOfBug(bug))?.invariant === bug.invariant;
  });
  expect(left, "steps that can be left out").toEqual([]);
});
