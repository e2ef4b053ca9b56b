/**
 * What an entry of a page table should be: a 4-level walk over bigints, over 32-bit halves, over doubles, over objects.
 *
 * In packages/bench: npm run micro -- pte
 *
 * Measured (Node 20.20.2, 2 shared cores, ns a walk): halves 13 interleaved and 17 apart, objects 33, doubles 48,
 * bigints 150.
 */
import { nanoseconds, report } from "./timing.js";

const TABLES = 64;
const WALKS = 200_000;
const entries = TABLES * 512;
const halves = new Uint32Array(entries * 2);
const lows = new Uint32Array(entries);
const highs = new Uint32Array(entries);
const bigints = new BigUint64Array(entries);
const doubles = new Float64Array(entries);
const objects: { frame: number; present: boolean; executable: boolean }[] = [];
let seed = 1;
for (let at = 0; at < entries; at++) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  const frame = (seed >>> 8) % TABLES;
  lows[at] = halves[at * 2] = (frame << 12) | 0x63;
  highs[at] = halves[at * 2 + 1] = 0x8000_0000;
  bigints[at] = (BigInt(halves[at * 2 + 1]!) << 32n) | BigInt(halves[at * 2]!);
  doubles[at] = frame * 4096 + 0x63;
  objects.push({ frame, present: true, executable: false });
}

const run = (walk: (lo: number, hi: number) => number) => (): void => {
  let sum = 0;
  for (let n = 0; n < WALKS; n++) sum ^= walk(Math.imul(n, 0x9e37_79b1), n & 0xffff);
  if (sum === 12345) console.log(sum);
};
const index = (lo: number, hi: number, level: number): number =>
  level === 0
    ? (hi >>> 7) & 511
    : level === 1
      ? ((lo >>> 30) | (hi << 2)) & 511
      : level === 2
        ? (lo >>> 21) & 511
        : (lo >>> 12) & 511;

report(
  "halves interleaved in one Uint32Array",
  nanoseconds(
    WALKS,
    9,
    run((lo, hi) => {
      let table = 0;
      for (let level = 0; level < 4; level++) {
        const at = ((table << 9) | index(lo, hi, level)) << 1;
        if ((halves[at]! & 1) === 0) return -1;
        table = (halves[at]! >>> 12) | ((halves[at + 1]! & 0xf_ffff) << 20);
      }
      return table;
    }),
  ),
);
report(
  "halves in two Uint32Arrays",
  nanoseconds(
    WALKS,
    9,
    run((lo, hi) => {
      let table = 0;
      for (let level = 0; level < 4; level++) {
        const at = (table << 9) | index(lo, hi, level);
        if ((lows[at]! & 1) === 0) return -1;
        table = (lows[at]! >>> 12) | ((highs[at]! & 0xf_ffff) << 20);
      }
      return table;
    }),
  ),
);
report(
  "objects",
  nanoseconds(
    WALKS,
    9,
    run((lo, hi) => {
      let table = 0;
      for (let level = 0; level < 4; level++) {
        const entry = objects[(table << 9) | index(lo, hi, level)]!;
        if (!entry.present) return -1;
        table = entry.frame;
      }
      return table;
    }),
  ),
);
report(
  "doubles (bits 52 and up lost)",
  nanoseconds(
    WALKS,
    9,
    run((lo, hi) => {
      let table = 0;
      for (let level = 0; level < 4; level++) {
        const entry = doubles[(table << 9) | index(lo, hi, level)]!;
        if (entry % 2 === 0) return -1;
        table = Math.floor(entry / 4096);
      }
      return table;
    }),
  ),
);
report(
  "BigUint64Array",
  nanoseconds(
    WALKS,
    9,
    run((lo, hi) => {
      let table = 0;
      for (let level = 0; level < 4; level++) {
        const entry = bigints[(table << 9) | index(lo, hi, level)]!;
        if ((entry & 1n) === 0n) return -1;
        table = Number((entry >> 12n) & 0xff_ffff_ffffn);
      }
      return table;
    }),
  ),
);
