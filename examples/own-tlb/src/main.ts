/** Reads two patterns of pages on a machine by LRU and on one by FIFO, and says what each costs and was asked. */
import { preset } from "@kreplica/bench";
import type { FifoTlb } from "./fifo-tlb.js";
import { fifoTlbs } from "./parts.js";
import { walkerReads } from "./walks.js";

const tiny = preset("tiny-2-node")!;
// One buffer of 16 entries for data, fully associative in both machines; the second level cannot hold what it lost.
const small = { entries: 16, ways: 16 };
const second = { ...tiny.translation.second, entries: 4, ways: 4 };
const spec = { ...tiny, translation: { ...tiny.translation, data: { small }, second } };

/** Ever new pages, and between any two of them page 0: a queue loses it, LRU never does. */
const stream = Array.from({ length: 300 }, (_, n) => (n % 2 === 0 ? 0 : 1 + ((n >> 1) % 200)));
/** A loop over one page more than there are entries: both lose every page just before it comes again. */
const loop = Array.from({ length: 300 }, (_, n) => n % 17);

for (const [name, pages] of [
  ["a page used between all others", stream],
  ["a loop one page too long", loop],
] as const) {
  const made: FifoTlb[] = [];
  const lru = walkerReads(spec, pages);
  const fifo = walkerReads(spec, pages, fifoTlbs(made));
  const { found, missed, evicted } = made
    .filter(({ ways }) => ways === 16)
    .reduce((most, each) => (each.asked.missed > most.asked.missed ? each : most)).asked;
  console.log(`${name}: the walker read ${lru} table entries by LRU, ${fifo} by FIFO`);
  console.log(`  the queue was asked ${found + missed} times, had the page ${found} times, put ${evicted} out`);
}
