/** A recording played reference by reference comes to what a whole replay counts, and goes back to what was seen. */
import { Counters, Kind, Source } from "@kreplica/hw-x86";
import { readDataFile } from "@kreplica/recordings";
import { recordingOf } from "@kreplica/trace";
import { expect, test } from "vitest";
import { machineForRecordings, Playback, type Playing } from "../src/model/playback.js";

const own = { key: "own", recording: recordingOf("own.kt.zst", readDataFile("traces/hsw-n16-touch.kt.zst")) };
const playing: Playing = { spec: machineForRecordings(), policy: "single-copy", levels: 4, pti: false, on: 1 };

test("each reference says what answered it, and all of them what the counters do", async () => {
  const playback = await Playback.of(own, undefined, playing);
  const { length, cpu, rows } = playback.view(0);
  expect(rows[0]).toMatchObject({
    nth: 0,
    cpu,
    translation: "walk",
    from: expect.stringMatching(/^memory of /) as string,
  });
  const { totals } = playback.view(length - 1);
  const bank = playback.booted.assembly.get(Counters);
  const counters = bank.of(cpu);
  const [kinds, nodes] = [[Kind.Fetch, Kind.PrefetchedFetch, Kind.Load, Kind.Store], playing.spec.nodes.length];
  const sum = (source: number): number =>
    kinds.reduce(
      (all, kind) =>
        all +
        Array.from({ length: 8 }, (_, region) => counters[bank.layout.row(region, kind) + source]!).reduce(
          (a, b) => a + b,
        ),
      0,
    );
  // Node 1 runs it: lines of node 0 are far, its own near.
  expect(nodes).toBe(2);
  expect(totals.near).toBe(sum(Source.Memory + 1));
  expect(totals.far).toBeGreaterThanOrEqual(sum(Source.Memory));
  expect(totals.caches + totals.near + totals.far).toBe(
    Array.from({ length: bank.layout.sources }, (_, source) => sum(source)).reduce((a, b) => a + b),
  );
});

test("with a copy on each node fewer of the kernel's lines come from afar", async () => {
  const far = async (policy: string): Promise<number> => {
    const playback = await Playback.of(own, undefined, { ...playing, policy });
    return playback.view(playback.view(0).length - 1).totals.far;
  };
  expect(await far("per-node")).toBeLessThan(await far("single-copy"));
});

test("forward to what is far, into the kernel, and back to what was seen", async () => {
  const playback = await Playback.of(own, undefined, playing);
  const first = playback.view(0);
  const { far, entry } = first.behind;
  const there = playback.view(far!);
  expect(there.rows.find(({ nth }) => nth === far)).toMatchObject({ far: true });
  expect(there.rows.filter(({ nth, far: each }) => nth > 0 && nth < far! && each)).toEqual([]);
  const kernel = playback.view(entry!);
  const [last, entered] = [entry! - 1, entry!].map((wanted) => kernel.rows.find(({ nth }) => nth === wanted));
  expect(last).toMatchObject({ region: "user", enters: false });
  expect(entered).toMatchObject({ enters: true, address: expect.stringMatching(/^0xffffffff8/) as string });
  expect(playback.view(entry! + 1).before.entry).toBe(entry);
  expect(playback.view(0)).toEqual(first);
});
