/** Plays a bug's path with it and without, with copies and without, and holds what comes of it to what is said. */
import { perNode } from "@kreplica/kernel";
import { singleCopy } from "@kreplica/mm-core";
import type { Bug } from "@kreplica/museum";
import { expect } from "vitest";
import { pathOfBug } from "../../src/bugs.js";

export function asSaid(bug: Bug): void {
  const { copies, invariant } = bug;
  const clean = [perNode, singleCopy].map((policy) => pathOfBug(bug, false, policy)?.message);
  expect(clean, `${bug.id}: the path is clean without the bug`).toEqual([undefined, undefined]);
  expect(
    { with: pathOfBug(bug, true, perNode)?.invariant, without: pathOfBug(bug, true, singleCopy)?.invariant },
    `${bug.id}: what the path ends in, with a copy a node and without`,
  ).toEqual({ with: copies.with, without: copies.without });
  expect(invariant, `${bug.id}: the invariant that catches it`).toBe(copies.with ?? copies.without);
}
