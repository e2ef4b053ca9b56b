/// <reference types="node" />
/** Where in the text the cycles of the long run went: what its stretches share is counted as often as they run. */
import { e52690v3 } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { traceTests } from "@kreplica/trace";
import { CAUSES, cycleAccount, functionRows, leavesOf, NOWHERE, TextSymbols } from "@kreplica/replay";
import { expect, test } from "vitest";
import { measureFile } from "../../src/run-jobs.js";
import { tracedKernel, tracedSymbols } from "../../src/traced-kernel.js";

test("functions of the long run, a loop and a kernel that replicates sum to the account exactly", () => {
  const symbols = new TextSymbols(tracedKernel("patch-06"), tracedSymbols());
  // The long one takes a minute and a half a kernel: the one that has replication's own work in it says the more.
  for (const [name, policies] of [
    ["forkN", ["per-node"]],
    ["open", ["single-copy", "per-node"]],
  ] as const) {
    const file = dataFile(`traces/hsw-${name}.kt.zst`);
    const job = {
      spec: e52690v3,
      where: { cpu: 12, masterNode: 0, dataNode: 1 },
      pti: true,
      levels: 4 as const,
      seed: 1,
      policies,
      file,
      located: true,
    };
    const measured = measureFile(job);
    for (const cache of ["cold", "hot"] as const) {
      const [singleCopy, perNode = singleCopy] = measured.map((each) => each.located![cache]);
      const rows = functionRows(
        { test: traceTests[0]!, file, cache, iterations: 1, singleCopy: singleCopy!, perNode: perNode! },
        symbols,
      );
      for (const [nth, side] of (["before", "after"] as const).slice(0, policies.length).entries()) {
        expect(CAUSES.map((_, cause) => rows.reduce((sum, row) => sum + row[side][cause]!, 0))).toEqual(
          leavesOf(cycleAccount(measured[nth]![cache], e52690v3, 1).account),
        );
        for (const cycles of rows.find((row) => row.name === NOWHERE)?.[side] ?? []) expect(cycles).toBe(0);
      }
    }
  }
}, 600_000);
