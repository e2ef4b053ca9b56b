/// <reference types="node" />
/** What the progress line is told while jobs run. */
import { statSync } from "node:fs";
import { tiny2Node } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { expect, test } from "vitest";
import { runJobs } from "../../src/run-jobs.js";

test("the line names what runs now, moves when it begins and when it ends, and is full at the end", async () => {
  const told: (readonly [number, string])[] = [];
  let total = 0;
  const progress = {
    start: (steps: number, what: string) => {
      total = steps;
      told.push([0, what]);
    },
    step: (count: number, what: string) => {
      told.push([count, what]);
    },
    stop: () => undefined,
  };
  const job = (key: string) => ({
    spec: tiny2Node,
    where: { cpu: 2, masterNode: 0, dataNode: 1 },
    pti: true,
    levels: 4 as const,
    seed: 1,
    policies: ["single-copy", "per-node"],
    file: dataFile(`traces/hsw-${key}.kt.zst`),
  });
  // By size, once a kernel; a recording that is not long is one step.
  const weight = (key: string): number => 2 * statSync(job(key).file).size;
  await runJobs([job("mount"), job("fork1")], progress);
  expect(told).toEqual([
    [0, "booting"],
    [0, "mount, single-copy and per-node"],
    [weight("mount"), ""],
    [0, "fork-1, single-copy and per-node"],
    [weight("fork1"), ""],
  ]);
  expect(told.reduce((sum, [count]) => sum + count, 0)).toBe(total);
});
