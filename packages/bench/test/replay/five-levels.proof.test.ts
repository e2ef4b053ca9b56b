/**
 * A recording of a kernel with 5 levels of page tables, made with our own writer: told by its addresses, replayed on
 * kernels of 4 and 5 levels.
 */
/// <reference types="node" />
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kind as Count, CounterLayout, type MachineSpec, REGIONS } from "@kreplica/hw-x86";
import { e52690v3 } from "@kreplica/machines";
import { cycleAccount } from "@kreplica/replay";
import { MAPPINGS, shippedGuest, surveyGuest, TraceEncoder } from "@kreplica/trace";
import { afterAll, expect, test } from "vitest";
import { traceFile } from "../../src/inputs/trace-file.js";
import { measureFile } from "../../src/run-jobs.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-levels-"));
afterAll(() => rmSync(folder, { recursive: true }));
const spec: MachineSpec = { ...e52690v3, virtualBits: 57 };
const TEXT = 0xffff_ffff_8110_0000n;
const PAGES = 300;

/**
 * Text in a loop, a stack, data by its direct map and its descriptors, a user page: the same at both levels but for
 * where the mappings are.
 */
function recording(levels: 4 | 5, user = 0x7fff_0000_1000n): string {
  const { pageOffset, vmallocStart, vmemmapStart } = MAPPINGS[levels];
  const encoder = new TraceEncoder();
  encoder.vcpu(2);
  encoder.fetch(user, 2, 8, 0x2_1000n);
  encoder.access(true, user + 0x1000n, 8, 0x2_1001n);
  encoder.mark(0x5eed0601);
  for (let i = 0n; i < BigInt(PAGES); i++) {
    encoder.fetch(TEXT + i * 4096n, 4, 16, 0x1100n + i);
    encoder.access(true, vmallocStart + 0xd000n + (i % 4n) * 8n, 8, 0x2_2000n);
    const frame = 0x2_4000n + i;
    encoder.access(false, pageOffset + (frame << 12n), 8, frame);
    encoder.access(true, vmemmapStart + frame * 64n, 8, 0x2_3000n);
  }
  encoder.fetch(user, 2, 8, 0x2_1000n);
  encoder.mark(0x5eed0602);
  encoder.end();
  const file = join(folder, `${levels}-${user.toString(16)}.kt`);
  writeFileSync(file, encoder.bytes());
  return file;
}
const measure = (file: string, levels: 4 | 5) =>
  measureFile({
    spec,
    where: { cpu: 12, masterNode: 0, dataNode: 1 },
    pti: false,
    levels,
    seed: 1,
    alignment: "patch-06",
    policies: ["single-copy", "per-node"],
    file,
  });

test("its levels are read off its addresses", () => {
  for (const levels of [4, 5] as const)
    expect(surveyGuest(traceFile(recording(levels)), shippedGuest, false).guest.levels).toBe(levels);
});

/** References that reached memory or a cache, walks aside: what a program asks for. */
const asked = (counters: Float64Array): number[] => {
  const layout = new CounterLayout(2);
  return [Count.Fetch, Count.PrefetchedFetch, Count.Load, Count.Store].map((kind) =>
    Array.from({ length: REGIONS }, (_, region) =>
      counters
        .subarray(layout.row(region, kind), layout.row(region, kind) + layout.sources)
        .reduce((sum, each) => sum + each, 0),
    ).reduce((sum, each) => sum + each, 0),
  );
};

test("on 5 levels it runs as the same recording of 4 levels does on 4, a level more to walk; text from far and from near", () => {
  const [five, four] = [measure(recording(5), 5), measure(recording(4), 4)];
  five.forEach((each, i) => expect(asked(each.cold)).toEqual(asked(four[i]!.cold)));
  const [one, own] = five.map(({ cold }) => cycleAccount(cold, spec, 1).account);
  expect([one!.text.local, own!.text.remote]).toEqual([0, 0]);
  expect(Math.min(one!.text.remote, own!.text.local)).toBeGreaterThan(0);
  expect(cycleAccount(five[0]!.cold, spec, 1).cycles).not.toBe(cycleAccount(four[0]!.cold, spec, 1).cycles);
});

test("either recording runs on a kernel of either number of levels", () => {
  for (const recorded of [4, 5] as const)
    for (const levels of [4, 5] as const)
      expect(measure(recording(recorded), levels)[1]!.references).toBeGreaterThan(3 * PAGES);
});

test("a process' address beyond 47 bits needs a kernel of 5 levels, and is nothing in a recording of 4", () => {
  const high = 0xff_1234_5678_9000n;
  expect(measure(recording(5, high), 5)[0]!.references).toBeGreaterThan(3 * PAGES);
  expect(() => measure(recording(5, high), 4)).toThrow(
    /0xff123456789000 is beyond what a process has with 4 levels.*Boot with --levels 5/,
  );
  expect(() => measure(recording(4, high), 5)).toThrow(/0xff123456789000 belongs to no process/);
});
