/// <reference types="node" />
/** Which last-level caches give warm text up under other CPUs' data: inclusive ones, and no victim cache. */
import { preset } from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { compare } from "@kreplica/replay";
import { expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { isLongRun } from "../../src/inputs/trace-file.js";
import { measureFile } from "../../src/run-jobs.js";

/** Of kill, hot: what near text gains, percent. */
async function nearHot(machine: string, mbsPerCore?: number): Promise<number> {
  const spec = preset(machine)!;
  const away = spec.cpus.find(({ socket }) => socket === 1)!;
  const { tests } = await compare(
    {
      spec,
      where: { cpu: away.id, masterNode: 0, dataNode: away.node },
      pti: true,
      levels: 4,
      seed: 1,
      ...(mbsPerCore === undefined ? {} : { pressure: { mbsPerCore } }),
    },
    shippedReplay(),
    { policy: "per-node", files: [dataFile("traces/hsw-kill.kt.zst")], isLong: isLongRun },
    (jobs) => Promise.resolve(jobs.map((job) => measureFile(job))),
  );
  return tests.find(({ cache }) => cache === "hot")!.near;
}

test.each(["e5-2690v3-2s"])(
  "%s, inclusive: near text gains, the more the more data",
  async (name) => {
    const [none, some, more] = [await nearHot(name), await nearHot(name, 1000), await nearHot(name, 2000)];
    expect(Math.abs(none)).toBeLessThan(0.05);
    expect(some).toBeGreaterThan(0.5);
    expect(more).toBeGreaterThan(some + 0.5);
  },
  600_000,
);

test.each(["xeon-8180-2s"])(
  "%s, a victim cache: nothing",
  async (name) => {
    expect(Math.abs(await nearHot(name, 2000))).toBeLessThan(0.05);
  },
  600_000,
);
