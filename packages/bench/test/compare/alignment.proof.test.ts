/**
 * What alignment gains one copy: of a short recording by a run of its own, of a long run only where it was asked for.
 */
import { preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { compare, type TraceJob, type TraceMeasurement } from "@kreplica/replay";
import { expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { measureFile } from "../../src/run-jobs.js";

const [long, short] = [dataFile("traces/hsw-forkN.kt.zst"), dataFile("traces/hsw-mount.kt.zst")];
const given = {
  spec: preset("e5-2690v3-2s")!,
  where: { cpu: 12, masterNode: 0, dataNode: 1 },
  pti: true,
  levels: 4 as const,
  seed: 1,
};

/** Measures the short recording whatever is asked for: only which run answers for which matters here. */
async function alignments(alignment: boolean): Promise<[string, number | undefined][]> {
  const asked: TraceJob[] = [];
  const { tests } = await compare(
    given,
    shippedReplay(),
    { policy: "per-node", files: [long, short], isLong: isLongRun, alignment },
    (jobs) => {
      asked.push(...jobs);
      return Promise.resolve(
        jobs.map((job) =>
          measureFile({ ...job, file: short }).map((each): TraceMeasurement => ({ ...each, file: job.file })),
        ),
      );
    },
  );
  expect(asked.map((job) => [job.file, job.alignment, job.unaligned])).toEqual([
    [long, "patch-06", alignment],
    [short, "patch-06", true],
  ]);
  return tests.filter((each) => each.cache === "cold").map((each) => [each.file, each.alignment]);
}

test("a long run has none unless asked for, and no other recording's stands in for it", async () => {
  const [withoutAsking, asked] = [new Map(await alignments(false)), new Map(await alignments(true))];
  expect(withoutAsking.get(long)).toBeUndefined();
  expect(asked.get(long)).toBe(asked.get(short));
  expect(Math.abs(withoutAsking.get(short)!)).toBeLessThan(1);
  expect(withoutAsking.get(short)).toBe(asked.get(short));
});
