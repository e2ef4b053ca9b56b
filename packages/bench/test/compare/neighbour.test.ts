/// <reference types="node" />
/**
 * A neighbour on other cores, and on the other threads of the same: one that has nothing in common with the test and
 * fits beside it changes nothing, a larger one displaces, one on the same core leaves half of its caches; the parts of
 * each account are still all of it; and it is told.
 */
import { CounterLayout, Kind, type MachineSpec, Source } from "@kreplica/hw-x86";
import { policyOf } from "@kreplica/kernel";
import { e52690v3 } from "@kreplica/machines";
import {
  accountTotal,
  type Beside,
  busyCurve,
  type BusyJob,
  type BusyNeighbour,
  type BusyRuns,
  type CompareResult,
  cycleAccount,
  measureBusy,
  standingOf,
} from "@kreplica/replay";
import { TraceEncoder } from "@kreplica/trace";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { shippedReplay } from "../../src/inputs/replay-kernel.js";
import { recordedRun } from "../../src/inputs/trace-file.js";
import { busyText } from "../../src/report/compare-busy.js";
import { busyPoints } from "../../src/report/documents/compare-busy.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-neighbour-"));
afterAll(() => rmSync(folder, { recursive: true }));

const LINES_OF_PAGE = 64n;
/** A user program that loads so many lines of its own memory in order, round after round; nothing of the kernel's. */
function loop(name: string, lines: number, rounds: number): string {
  const user = 0x7fff_0000_1000n;
  const encoder = new TraceEncoder();
  encoder.vcpu(2);
  encoder.fetch(user, 2, 8, 0x2_1000n);
  encoder.mark(0x5eed0601);
  for (let round = 0; round < rounds; round++)
    for (let line = 0n; line < BigInt(lines); line++) {
      encoder.fetch(user, 1, 4, 0x2_1000n);
      const page = line / LINES_OF_PAGE;
      encoder.access(false, user + 0x10_0000n + line * 64n, 8, 0x2_2000n + page);
    }
  encoder.mark(0x5eed0602);
  encoder.end();
  const file = join(folder, `${name}.kt`);
  writeFileSync(file, encoder.bytes());
  return file;
}

/** L1D 32 KiB, L2 256 KiB: 4,096 lines; an inclusive L3 of 1 MiB in 16 ways. */
const spec: MachineSpec = { ...e52690v3, l3: { ...e52690v3.l3, bytes: 1 << 20, ways: 16 } };
const where = { cpu: 12, masterNode: 0, dataNode: 1 };
const given = { spec, where, pti: true, levels: 4 as const, seed: 1 };
/** Of 192 KiB: its L2 holds it, with room for its code. */
const TEST = loop("test", 3072, 4);
const SMALL = loop("small", 256, 40);
const LARGE = loop("large", 20_000, 1);
/** As large as the test. */
const TWIN = loop("twin", 3072, 4);

const cpu = (id: number) => ({ cpu: id, dataNode: 1 });
const counted = (neighbour?: BusyNeighbour, busy = [cpu(12), cpu(13)]): BusyRuns =>
  measureBusy(
    {
      ...given,
      alignment: "patch-06",
      policies: ["single-copy"],
      file: TEST,
      busy,
      ...(neighbour ? { neighbour } : {}),
    },
    recordedRun(TEST),
    shippedReplay(),
    neighbour && recordedRun(neighbour.file),
  );
const at = (file: string, ...cpus: readonly number[]): BusyNeighbour => ({ file, cpus: cpus.map(cpu) });
const layout = new CounterLayout(2);
/** Loads by user mode of a source and what is farther. */
const loads = (counts: Float64Array, from: Source): number => {
  const row = layout.row(0, Kind.Load);
  let sum = 0;
  for (let source: number = from; source < layout.sources; source++) sum += counts[row + source]!;
  return sum;
};
const hot = (runs: BusyRuns, of = 0): Float64Array => runs.counts[0]![of]!.hot;

describe("another recording beside a test", () => {
  const alone = counted();
  test("alone the test's data are in its L2", () => {
    expect(loads(hot(alone), Source.L1)).toBeGreaterThan(4 * 3072 - 1);
    expect(loads(hot(alone), Source.L2)).toBeGreaterThan(4 * 3000);
    expect(loads(hot(alone), Source.OwnL3)).toBeLessThan(100);
  });

  test("that has nothing in common with it and fits beside it changes no count, cold or hot", () => {
    const beside = counted(at(SMALL, 14, 15));
    for (const [nth, count] of beside.counts[0]!.entries()) {
      expect(count.cold).toEqual(alone.counts[0]![nth]!.cold);
      expect(count.hot).toEqual(alone.counts[0]![nth]!.hot);
    }
    const [neighbour] = beside.neighbour!.counts[0]!;
    expect([neighbour!.cpu, beside.neighbour!.test.name]).toEqual([14, "mount"]);
    expect(loads(neighbour!.cold, Source.L1)).toBe(256 * 40);
    expect(loads(neighbour!.hot, Source.OwnL3)).toBe(0);
  });

  test("and is larger than the last-level cache takes the test's lines out of it, and of L1 and L2 with them", () => {
    const beside = counted(at(LARGE, 14, 15));
    expect(loads(hot(beside), Source.Memory)).toBeGreaterThan(300);
    expect(loads(hot(alone), Source.Memory)).toBe(0);
  });

  test("on the other thread of the core leaves half of what its L2 holds to each: together they are too large for it", () => {
    const twin = counted(at(TWIN, 36, 37));
    expect(spec.cpus.find(({ id }) => id === 36)!.core).toBe(spec.cpus.find(({ id }) => id === 12)!.core);
    // In turns through twice what the cache holds half more of than it can, in order: hardly a line stays.
    expect(loads(hot(twin), Source.OwnL3)).toBeGreaterThan(0.9 * 4 * 3072);
    const apart = counted(at(TWIN, 14, 15));
    expect(loads(hot(apart), Source.OwnL3)).toBe(loads(hot(alone), Source.OwnL3));
  });

  test("leaves every account the sum of its parts", () => {
    const beside = counted(at(LARGE, 36, 14));
    for (const { cold, hot: warm } of [...beside.counts[0]!, ...beside.neighbour!.counts[0]!])
      for (const counts of [cold, warm]) {
        const { cycles, account } = cycleAccount(counts, spec, 1);
        expect(accountTotal(account) / cycles).toBeCloseTo(1, 12);
        expect(cycles).toBeGreaterThan(0);
      }
  });
});

describe("the curve", () => {
  const jobs: BusyJob[] = [];
  const curve = async (beside: Beside) => {
    const standing = standingOf(spec, where, { nearest: (node) => node });
    const busy = await busyCurve(
      given,
      shippedReplay(),
      { policy: "per-node", files: [TEST], cpusPerNode: [1], standing, beside },
      (asked) => {
        jobs.splice(0, jobs.length, ...asked);
        const neighbour = beside.neighbour === undefined ? undefined : recordedRun(beside.neighbour);
        return Promise.resolve(asked.map((job) => measureBusy(job, recordedRun(job.file), shippedReplay(), neighbour)));
      },
    );
    const screen = { columns: 100, blocks: false, bold: String, dim: String, good: String, bad: String, warn: String };
    const result = { job: given, policy: policyOf("per-node"), busy } as unknown as CompareResult;
    return { busy, text: busyText(result, screen), documents: busyPoints(result) };
  };

  test("has the neighbour on another core of each node, says what it did, and weighs its traffic", async () => {
    const { busy, text, documents } = await curve({ neighbour: LARGE });
    expect(jobs[0]!.busy.map((each) => each.cpu).sort()).toEqual([0, 12]);
    expect(jobs[0]!.neighbour!.cpus).toEqual([
      { cpu: 1, dataNode: 0 },
      { cpu: 13, dataNode: 1 },
    ]);
    const [cold, hot] = busy.points;
    // Its lines are in no cache when it begins, and L3 does not hold them: they come from memory again and again.
    expect(cold!.single.neighbour!.memoryLines).toBeGreaterThan(19_999);
    expect(hot!.single.neighbour!.memoryLines).toBeGreaterThan(15_000);
    expect(hot!.neighbour).toMatchObject({ cpus: 2, share: 1 });
    const quiet = await curve({ neighbour: SMALL });
    const most = (point: (typeof busy.points)[number]): number => Math.max(...point.single.utilisation);
    // Cold the test has all its lines from memory, whoever is beside it: what is more is the neighbour's.
    expect(most(cold!)).toBeGreaterThan(1.8 * most((await curve({})).busy.points[0]!));
    expect(most(hot!)).toBeGreaterThan(10 * most(quiet.busy.points[1]!));
    expect(text).toMatch(/Beside each of these CPUs another core of its node runs mount/);
    expect(text).toMatch(/Beside it, mount:/);
    expect(documents[1]).toMatchObject({
      otherThreads: "idle",
      neighbour: { test: "mount", recording: "large.kt", cpus: 2, share: 1 },
    });
    expect(documents[1]!.neighbour!.singleCopy.memoryLines).toBeCloseTo(hot!.single.neighbour!.memoryLines, 5);
  });

  test("has the other threads run the test, which count too, or the neighbour", async () => {
    const { busy, text, documents } = await curve({ threads: true });
    expect(jobs[0]!.busy.map((each) => each.cpu).sort((a, b) => a - b)).toEqual([0, 12, 24, 36]);
    expect([busy.points[0]!.cpus, busy.points[0]!.neighbour, documents[0]!.otherThreads]).toEqual([
      4,
      undefined,
      "test",
    ]);
    expect(text).toMatch(/the same test runs, and counts too/);
    const both = await curve({ threads: true, neighbour: SMALL });
    expect(jobs[0]!.neighbour!.cpus.map((each) => each.cpu)).toEqual([24, 36]);
    expect(both.documents[0]!.otherThreads).toBe("neighbour");
    expect(both.text).toMatch(/On the other thread of each of these cores mount runs/);
  });
});
