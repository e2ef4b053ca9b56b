/**
 * What every implementation of TranslationBuffer must do, as a property over random operations against a list of what
 * was entered. Run it with any test library: it throws when a promise is broken.
 *
 * Promised: sets, ways, entries and the order words have the shape asked for; what is found was entered for that page,
 * with that tag or the global one, lies in the page's set, and is what was entered last; what is dropped or flushed is
 * found no more, whatever else is; after a use the set's order word names the way used; `used` is 0 only while nothing
 * is there; where regions were asked for and counted, a region of a page that is there is not 0.
 *
 * Left to the implementation: which entry goes when another comes, and whether more is forgotten than was asked for: a
 * TLB may forget, but never lies.
 */
import * as fc from "fast-check";
import type { TranslationBuffer } from "../parts.js";
import { regionAt } from "../tlb.js";
import { keepsPromises, promised, type SuiteEffort } from "./broken-promise.js";

/** One buffer to be tested, fresh for every run, made with its regions. */
export interface BufferSubject {
  readonly buffer: TranslationBuffer;
  readonly entries: number;
  readonly ways: number;
}

/** As tlb.ts draws a tag: the PCID from bit 13 on, and what a global entry's tag has beside. */
const PCID_SHIFT = 13;
const GLOBAL = 1 << 28;
const PCID_MASK = 0xfff << PCID_SHIFT;

const step = fc.record({
  op: fc.constantFrom("enter", "enter", "enter", "find", "find", "drop", "flush", "flush all", "count"),
  page: fc.constantFrom(0, 1, 2, 3, 5, 8, 13, 512, 513, 0x7_0001, -1, 0x0f_ff00_00),
  pcid: fc.nat(2),
  global: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function translationBufferContract(make: () => BufferSubject, effort: SuiteEffort = {}): void {
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const truth = new Truth(make());
      steps.forEach((each, nth) => {
        truth.take(each, nth);
      });
    }),
    effort,
  );
}

/** What was entered and neither dropped nor flushed since. */
class Truth {
  private readonly entered = new Map<string, { page: number; tag: number; frame: number; denials: number }>();
  private counted = false;
  private readonly buffer: TranslationBuffer;

  constructor({ buffer, entries, ways }: BufferSubject) {
    this.buffer = buffer;
    const shape = [buffer.ways, (buffer.setMask + 1) * buffer.ways, buffer.entries.length, buffer.order.length];
    promised(
      shape.join() === [ways, entries, 4 * entries, entries / ways].join() &&
        (buffer.setMask & (buffer.setMask + 1)) === 0,
      "sets, ways and entries have the shape asked for",
      `ways, entries, words and sets are ${shape.join(", ")} for ${entries} entries of ${ways} ways`,
    );
  }

  take({ op, page, pcid, global }: Step, nth: number): void {
    const tag = pcid << PCID_SHIFT;
    const { buffer } = this;
    if (op === "count") {
      buffer.countRegions();
      this.counted = true;
    } else if (op === "flush all") {
      buffer.flush(0, 0);
      this.entered.clear();
    } else if (op === "flush") {
      buffer.flush(PCID_MASK | GLOBAL, tag);
      this.forget((each) => (each.tag & (PCID_MASK | GLOBAL)) === tag);
    } else if (op === "drop") {
      buffer.drop(page, page, PCID_MASK | GLOBAL, tag);
      this.forget((each) => each.page === page && (each.tag & (PCID_MASK | GLOBAL)) === tag);
    } else if (this.find(page, pcid) < 0 && op === "enter") {
      const entry = { page, tag: global ? GLOBAL : tag, frame: 1000 + nth, denials: nth & 7 };
      this.forget((each) => each.page === page && each.tag === entry.tag);
      this.entered.set(`${page} ${entry.tag}`, entry);
      buffer.insert(page, page, entry.tag, entry.frame, entry.denials);
      this.find(page, pcid);
    }
    this.look();
  }

  private forget(which: (entry: { page: number; tag: number }) => boolean): void {
    for (const [key, entry] of this.entered) if (which(entry)) this.entered.delete(key);
  }

  /** @returns position of the entry, or -1 */
  private find(page: number, pcid: number): number {
    const { buffer } = this;
    const tag = pcid << PCID_SHIFT;
    const at = buffer.lookup(page, page, tag, GLOBAL);
    if (at < 0) return at;
    const set = page & buffer.setMask;
    const name = `page ${page} of PCID ${pcid}`;
    const [foundPage, foundTag, frame, denials] = buffer.entries.subarray(at, at + 4);
    const entry = this.entered.get(`${page} ${foundTag}`);
    promised(
      foundPage === page && (foundTag === tag || foundTag === GLOBAL),
      "what is found was entered for that page and tag",
      `${name} finds page ${foundPage} with tag ${foundTag}`,
    );
    promised(entry !== undefined, "what is dropped or flushed is found no more", `${name} is found`);
    promised(
      frame === entry.frame && denials === entry.denials,
      "what is found is what was entered last",
      `${name} finds frame ${frame} and denials ${denials}, not ${entry.frame} and ${entry.denials}`,
    );
    const way = at / 4 - set * buffer.ways;
    promised(
      Number.isInteger(way) && way >= 0 && way < buffer.ways,
      "what is found lies in the page's set",
      `${name} is at word ${at}, its set is ${set} of ${buffer.ways} ways`,
    );
    promised(
      (buffer.order[set]! & buffer.lastMask) === way,
      "after a use the order word names the way used",
      `way ${way} of set ${set} was used, the word names ${buffer.order[set]! & buffer.lastMask}`,
    );
    return at;
  }

  /** What the core reads without asking. */
  private look(): void {
    const { buffer } = this;
    for (let at = 0; at < buffer.entries.length; at += 4) {
      if (buffer.entries[at + 1] === -1) continue;
      const page = buffer.entries[at]!;
      promised(buffer.used !== 0, "used is 0 only while nothing is there", `page ${page} is there`);
      promised(
        !this.counted || buffer.regions[regionAt(page)] !== 0,
        "a region of a page that is there is not 0",
        `that of page ${page} is`,
      );
      promised(
        this.entered.has(`${page} ${buffer.entries[at + 1]}`),
        "what is dropped or flushed is found no more",
        `page ${page} with tag ${buffer.entries[at + 1]} still stands in the entries`,
      );
    }
  }
}
