/**
 * Ways to keep a TLB of 64 entries in 16 sets: ours, objects in arrays, a Map in order of use; and what a result object
 * costs.
 *
 * In packages/bench: npm run micro -- tlb
 *
 * Measured (Node 20.20.2, 2 shared cores, ns a lookup): typed arrays 20, objects 39, Maps 82.
 */
import { nanoseconds, report } from "./timing.js";

const LOOKUPS = 2_000_000;
const SETS = 16;
const WAYS = 4;
/** Pages by a skewed choice out of 256, so that about a quarter of the lookups miss. */
const pages = new Int32Array(LOOKUPS);
let seed = 7;
for (let at = 0; at < LOOKUPS; at++) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  const u = (seed >>> 8) / 2 ** 24;
  pages[at] = Math.floor(256 * u * u * u);
}

function typedArrays(): () => void {
  const entries = new Int32Array(SETS * WAYS * 4).fill(-1);
  const order = new Uint8Array(SETS * WAYS).map((_, index) => index % WAYS);
  const lookup = (page: number, tag: number): number => {
    const first = (page & (SETS - 1)) * WAYS;
    for (let place = first; place < first + WAYS; place++) {
      const way = order[place]!;
      const at = (first + way) << 2;
      if (entries[at] !== page || entries[at + 1] !== tag) continue;
      for (let to = place; to > first; to--) order[to] = order[to - 1]!;
      order[first] = way;
      return at;
    }
    const way = order[first + WAYS - 1]!;
    for (let to = first + WAYS - 1; to > first; to--) order[to] = order[to - 1]!;
    order[first] = way;
    const at = (first + way) << 2;
    entries[at] = page;
    entries[at + 1] = tag;
    entries[at + 2] = page + 1;
    return at;
  };
  return () => {
    let sum = 0;
    for (let at = 0; at < LOOKUPS; at++) sum ^= entries[lookup(pages[at]!, 3) + 2]!;
    if (sum === 12345) console.log(sum);
  };
}

interface Entry {
  page: number;
  tag: number;
  frame: number;
}

function objects(): () => void {
  const sets: Entry[][] = Array.from({ length: SETS }, () => []);
  const lookup = (page: number, tag: number): Entry => {
    const set = sets[page & (SETS - 1)]!;
    for (let place = 0; place < set.length; place++) {
      const entry = set[place]!;
      if (entry.page !== page || entry.tag !== tag) continue;
      for (let to = place; to > 0; to--) set[to] = set[to - 1]!;
      set[0] = entry;
      return entry;
    }
    const entry = { page, tag, frame: page + 1 };
    set.unshift(entry);
    if (set.length > WAYS) set.pop();
    return entry;
  };
  return () => {
    let sum = 0;
    for (let at = 0; at < LOOKUPS; at++) sum ^= lookup(pages[at]!, 3).frame;
    if (sum === 12345) console.log(sum);
  };
}

function map(): () => void {
  const sets: Map<number, number>[] = Array.from({ length: SETS }, () => new Map());
  const lookup = (page: number): number => {
    const set = sets[page & (SETS - 1)]!;
    const frame = set.get(page);
    if (frame !== undefined) {
      set.delete(page);
      set.set(page, frame);
      return frame;
    }
    if (set.size === WAYS)
      for (const oldest of set.keys()) {
        set.delete(oldest);
        break;
      }
    set.set(page, page + 1);
    return page + 1;
  };
  return () => {
    let sum = 0;
    for (let at = 0; at < LOOKUPS; at++) sum ^= lookup(pages[at]!);
    if (sum === 12345) console.log(sum);
  };
}

report("typed arrays, order of ways beside", nanoseconds(LOOKUPS, 7, typedArrays()));
report("objects in arrays", nanoseconds(LOOKUPS, 7, objects()));
report("a Map for each set, in order of use", nanoseconds(LOOKUPS, 7, map()));
