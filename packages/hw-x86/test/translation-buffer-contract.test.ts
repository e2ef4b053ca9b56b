/** The contract of TranslationBuffer on ours of every policy, and on buffers that each break one promise. */
import { describe, expect, test } from "vitest";
import { type Replacement, standardParts, Tlb, type TranslationBuffer } from "../src/index.js";
import { type BufferSubject, translationBufferContract } from "../src/testing.js";

test.each(["lru", "tree-plru", "fifo", "random", "nru", "srrip"] as const)("ours by %s keeps it", (policy) => {
  const replacement: Replacement = { policy };
  for (const [entries, ways] of [
    [4, 4],
    [8, 2],
    [16, 16],
    [4, 1],
  ] as const)
    translationBufferContract(() => ({
      buffer: standardParts.tlb({ entries, ways, replacement }, true),
      entries,
      ways,
    }));
});

describe("is not kept by a buffer", () => {
  const SHAPE = { entries: 8, ways: 4 };
  const wrong: Record<string, [broken: string, make: () => TranslationBuffer]> = {
    "with half the sets": [
      "sets, ways and entries have the shape asked for",
      () => new Tlb({ entries: 4, ways: 4 }, true),
    ],
    "that does not look at the tag": [
      "what is found was entered for that page and tag",
      () =>
        new (class extends Tlb {
          override lookup(index: number, page: number, tag: number, globalTag: number): number {
            const at = super.lookup(index, page, tag, globalTag);
            if (at !== -1) return at;
            const any = this.entries.findIndex(
              (each, word) => word % 4 === 0 && each === page && this.entries[word + 1] !== -1,
            );
            return any;
          }
        })(SHAPE, true),
    ],
    "that looks in every set": [
      "what is found lies in the page's set",
      () =>
        new (class extends Tlb {
          override lookup(index: number, page: number, tag: number, globalTag: number): number {
            return super.lookup(index ^ 1, page, tag, globalTag);
          }
          override insert(index: number, page: number, tag: number, frame: number, denials: number): void {
            super.insert(index ^ 1, page, tag, frame, denials);
          }
        })(SHAPE, true),
    ],
    "that keeps no denials": [
      "what is found is what was entered last",
      () =>
        new (class extends Tlb {
          override insert(index: number, page: number, tag: number, frame: number): void {
            super.insert(index, page, tag, frame, 0);
          }
        })(SHAPE, true),
    ],
    "that drops nothing": [
      "what is dropped or flushed is found no more",
      () =>
        new (class extends Tlb {
          override drop(): void {}
        })(SHAPE, true),
    ],
    "that flushes one PCID alone": [
      "what is dropped or flushed is found no more",
      () =>
        new (class extends Tlb {
          override flush(mask: number, bits: number): void {
            if (bits === 0) super.flush(mask, bits);
          }
        })(SHAPE, true),
    ],
    "whose order word names the first way": [
      "after a use the order word names the way used",
      () =>
        new (class extends Tlb {
          override lookup(index: number, page: number, tag: number, globalTag: number): number {
            const at = super.lookup(index, page, tag, globalTag);
            if (at !== -1) this.order.fill(this.order[index & this.setMask]! & ~this.lastMask);
            return at;
          }
        })(SHAPE, true),
    ],
    "that says it is empty": [
      "used is 0 only while nothing is there",
      () =>
        new (class extends Tlb {
          override insert(index: number, page: number, tag: number, frame: number, denials: number): void {
            super.insert(index, page, tag, frame, denials);
            this.used = 0;
          }
        })(SHAPE, true),
    ],
    "that counts no regions": [
      "a region of a page that is there is not 0",
      () =>
        new (class extends Tlb {
          override countRegions(): void {}
        })(SHAPE, true),
    ],
  };
  test.each(Object.keys(wrong))("%s", (name) => {
    const [broken, make] = wrong[name]!;
    const subject = (): BufferSubject => ({ buffer: make(), ...SHAPE });
    expect(() => {
      translationBufferContract(subject, { shrink: false });
    }).toThrow(broken);
  });
});
