/** The golden of the shared data: 20 million references, every miss of every level. */
import { assemble } from "@kreplica/di";
import { expect, test } from "vitest";
import { Counters, Kind, Machine, Place, Source, hwX86 } from "../src/index.js";
import { GoldenTrace, type GoldenMix, goldenMachine, identityMap, runGolden } from "../src/testing.js";

/**
 * FNV-1a over the 32-bit records of the C program's own output (gcc 12.2, glibc 2.36): a host whose pow() differs fails
 * here and not below.
 */
const HASH: Record<GoldenMix, number> = { mixed: 0x9c57_2c2a, hostile: 0x40e3_c312 };
const CHUNK = 1_000_000;

const hash = (seed: number, records: Uint32Array): number =>
  records.reduce((sum, record) => Math.imul(sum ^ record, 16777619), seed);

function machine(paging: boolean) {
  const assembly = assemble([hwX86(goldenMachine())]);
  const cpu = assembly.get(Machine).cpu(0);
  if (paging) identityMap(assembly.get(Machine).memory, cpu);
  return { cpu, bank: assembly.get(Counters) };
}

test("mixed: misses of L1I, L1D, L2 and L3, and of three TLBs, are those three simulators agree on", () => {
  const trace = new GoldenTrace("mixed");
  const records = new Uint32Array(CHUNK);
  const caches = machine(false);
  const tlbs = machine(true);
  let seen = 0x811c_9dc5;
  let faults = 0;
  for (let done = 0; done < 20_000_000; done += CHUNK) {
    trace.fill(records);
    seen = hash(seen, records);
    faults += runGolden(caches.cpu, records) + runGolden(tlbs.cpu, records);
  }
  expect(seen >>> 0).toBe(HASH.mixed);
  expect(faults).toBe(0);

  const { layout } = caches.bank;
  const counted = caches.bank.of(0);
  const from = (kinds: Kind[], first: Source): number =>
    kinds.reduce(
      (sum, kind) =>
        sum +
        counted.subarray(layout.row(0, kind) + first, layout.row(0, kind) + layout.sources).reduce((a, b) => a + b, 0),
      0,
    );
  expect(from([Kind.Fetch], Source.L1)).toBe(10_000_000);
  expect(from([Kind.Fetch], Source.L2)).toBe(380_332);
  expect(from([Kind.Load, Kind.Store], Source.L2)).toBe(2_879_146);
  expect(from([Kind.Fetch, Kind.Load, Kind.Store], Source.OwnL3)).toBe(1_966_457);
  expect(from([Kind.Fetch, Kind.Load, Kind.Store], Source.Memory)).toBe(597_339);

  const place = (each: Place): number => tlbs.bank.of(0)[layout.place(0, each)]!;
  expect(place(Place.FetchSecondTlb) + place(Place.FetchWalks)).toBe(51_173);
  expect(place(Place.DataSecondTlb) + place(Place.DataWalks)).toBe(1_889_582);
  expect(place(Place.FetchWalks) + place(Place.DataWalks)).toBe(1_623_048);
});

test("hostile: record for record the C program's", () => {
  const trace = new GoldenTrace("hostile");
  const records = new Uint32Array(CHUNK);
  let seen = 0x811c_9dc5;
  for (let done = 0; done < 20_000_000; done += CHUNK) {
    trace.fill(records);
    seen = hash(seen, records);
  }
  expect(seen >>> 0).toBe(HASH.hostile);
});
