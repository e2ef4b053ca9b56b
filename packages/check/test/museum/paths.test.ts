/** One bug of each room: its path ends as is said. All of them are a proof's. */
import { BUGS, ROOMS } from "@kreplica/museum";
import { expect, test } from "vitest";
import { asSaid } from "./as-said.js";
import { repertoire } from "../../src/families.js";

test.each(ROOMS)("%s", (room) => {
  asSaid(BUGS.find((bug) => bug.room === room)!);
});

test("every path is operations of the check as a file of them would be", () => {
  for (const { id, path } of BUGS) for (const step of path) expect(repertoire.faults(step), id).toEqual([]);
});
