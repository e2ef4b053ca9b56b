/// <reference types="node" />
/**
 * What a second worker gives a sweep: its time with one worker over its time with two; and what this host gives at all,
 * which is that of two processes: both halves of the plan at once, each by one worker. Two threads of one core give
 * less than two cores. Rounds (3) in turn, of which the least time counts; results are compared, byte for byte. It
 * needs a build.
 *
 * In packages/bench: npm run micro -- sweep [rounds]
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const command = join(import.meta.dirname, "../dist/cli.js");
if (!existsSync(command)) throw new Error(`${command} is not there; build first: npx turbo build`);
const rounds = Number(process.argv[2] ?? 3);

/** Sixteen replays of 0.5 to 3 seconds. */
const PLAN = `schema: kreplica.sweep/1
axes:
  machine: [e5-2690v3-2s, e5-2682v4-2s, xeon-8180-2s, xeon-8280-4s]
  recording: [kill, fork-1, mount, mmap/munmap]
  policy: [per-node, lazy-pgd]
`;
const folder = mkdtempSync(join(tmpdir(), "kreplica-sweep-"));
const plan = join(folder, "plan.yaml");
writeFileSync(plan, PLAN);

function sweep(output: string, ...more: string[]): Promise<void> {
  rmSync(join(folder, output), { recursive: true, force: true });
  const words = [command, "sweep", plan, "--output", join(folder, output), ...more];
  const child = spawn(process.execPath, words, { stdio: "ignore", env: { ...process.env, KREPLICA_KEEP: "0" } });
  return new Promise((done, fail) => {
    child
      .on("error", fail)
      .on("close", (code) =>
        code === 0 ? done() : fail(new Error(`kreplica ${words.slice(1).join(" ")} ended with ${code}`)),
      );
  });
}
async function seconds(job: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await job();
  return (performance.now() - before) / 1000;
}

const least = { one: Infinity, two: Infinity, halves: Infinity };
try {
  for (let round = 0; round < rounds; round++) {
    least.one = Math.min(least.one, await seconds(() => sweep("one", "--workers", "1")));
    least.two = Math.min(least.two, await seconds(() => sweep("two", "--workers", "2")));
    least.halves = Math.min(
      least.halves,
      await seconds(() =>
        Promise.all(["1/2", "2/2"].map((shard, n) => sweep(`half${n}`, "--workers", "1", "--shard", shard))),
      ),
    );
    const [one, two] = ["one", "two"].map((each) => readFileSync(join(folder, each, "results.parquet")));
    if (!one!.equals(two!)) throw new Error("two workers had other results than one");
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const times = (all: number): string => (least.one / all).toFixed(2);
console.log(
  `one worker   ${least.one.toFixed(1)} s\ntwo workers  ${least.two.toFixed(1)} s, ${times(least.two)} times as fast\ntwo processes of half the plan each, one worker each  ${least.halves.toFixed(1)} s, ${times(least.halves)} times as fast`,
);
