/** The contract of SetMemory on ours, and on ones that each break a promise. */
import { describe, expect, test } from "vitest";
import type { PageRange, SetMemory } from "../src/api.js";
import { SetMemoryError } from "../src/api.js";
import { setMemoryContract, type SetMemorySubject } from "../src/testing.js";
import { makeKernel } from "./kernel.js";

const ours = (holders: readonly number[], encryptionBit?: 47): SetMemorySubject => ({
  ...makeKernel(holders, false, encryptionBit),
  window: 0xffff_ffff_c000_0000n,
});

test.each([[[0]], [[0, 1]], [[1, 3]]])("ours keeps it on holders %j", (holders) => {
  setMemoryContract(() => ours(holders));
});

test("ours keeps it where memory is encrypted", () => {
  setMemoryContract(() => ours([0, 1], 47));
});

describe("is not kept by one", () => {
  type Wrong = (right: SetMemory, subject: SetMemorySubject) => Partial<SetMemory>;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "that changes one page too few": [
      "an operation changes what its name says",
      (right) => ({
        executable: ({ start, pages }) => {
          right.executable({ start, pages: Math.max(1, pages - 1) });
        },
      }),
    ],
    "that reaches one root": [
      "an operation changes what its name says",
      (right, { entries, view, layout }) => ({
        nonGlobal: (range) => {
          const before = view.roots.map(({ root }) => entry(entries, root, layout.levels, range.start));
          right.nonGlobal({ start: range.start, pages: range.pages });
          view.roots.slice(1).forEach((_, index) => {
            const { table, at, lo, hi } = before[index + 1]!;
            if (table !== before[0]!.table) entries.write(table, at, lo, hi);
          });
        },
      }),
    ],
    "that takes rox for ro": [
      "an operation changes what its name says",
      (right) => ({
        readOnlyExecutable: (range: PageRange) => {
          right.readOnly(range);
        },
      }),
    ],
    "whose direct map stays writable": [
      "the direct map follows",
      (right) => ({
        readOnly: (range: PageRange) => {
          right.change(range, { writable: false }, false);
        },
      }),
    ],
    "that shares half of it": [
      "the direct map follows",
      (right) => ({
        decrypted: (range: PageRange) => {
          right.change(range, { encrypted: false }, false);
        },
      }),
    ],
    "that joins and opens": [
      "the direct map follows",
      (right) => ({
        join: (range) => {
          right.readWrite(range);
          return right.join(range);
        },
      }),
    ],
    "that takes what is not aligned": [
      "a refusal says why",
      (right) => ({
        readOnly: ({ start, pages }: PageRange) => {
          right.readOnly({ start: start & ~4095n, pages });
        },
      }),
    ],
    "that passes over holes": [
      "a refusal says why",
      (right) => ({
        readOnly: (range: PageRange) => {
          try {
            right.readOnly(range);
          } catch (error) {
            if (!(error instanceof SetMemoryError) || error.code !== "not-mapped") throw error;
          }
        },
      }),
    ],
    "that does the first and says no to all": [
      "a refusal leaves every root as it was",
      (right) => ({
        changeAll: (changes) => {
          for (const { range, change, alias } of changes) right.change(range, change, alias);
        },
      }),
    ],
    "that does half of several": [
      "several changes happen",
      (right) => ({
        changeAll: (changes) => {
          right.changeAll(changes.slice(0, 1));
        },
      }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const make = (): SetMemorySubject => {
      const subject = ours([0, 1], 47);
      const changes = change(subject.setMemory, subject);
      return {
        ...subject,
        setMemory: new Proxy(subject.setMemory, {
          get: (target, key) => {
            const value: unknown = key in changes ? changes[key as keyof SetMemory] : Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        }),
      };
    };
    expect(() => {
      setMemoryContract(make, { shrink: false });
    }).toThrow(broken);
  });
});

/** The leaf over an address, with its place. */
function entry(
  entries: SetMemorySubject["entries"],
  root: number,
  levels: number,
  address: bigint,
): { table: number; at: number; lo: number; hi: number } {
  let table = root;
  for (let level = levels; ; level--) {
    const at = Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
    const [lo, hi] = [entries.low(table, at), entries.high(table, at)];
    if (level === 1 || (lo & 0x80) !== 0 || (lo & 1) === 0) return { table, at, lo, hi };
    table = ((lo >>> 12) | ((hi & 0xf_ffff) << 20)) >>> 0;
  }
}
