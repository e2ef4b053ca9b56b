/** The contract of TextPoke on ours, and on ones that each break a promise. */
import { describe, expect, test } from "vitest";
import type { TextPoke } from "../src/index.js";
import { type PokeSubject, textPokeContract } from "../src/testing.js";
import { makeKernel, type PatchKernel, SHARED, TEXT, YOUNG } from "./kernel.js";

const subject = (kernel: PatchKernel): PokeSubject => ({
  poke: kernel.poke,
  kernel,
  text: TEXT,
  shared: SHARED,
  young: YOUNG,
});

test.each([[[0]], [[0, 1]], [[1, 3]]])("ours keeps it on holders %j", (holders) => {
  textPokeContract(() => subject(makeKernel(holders)), { runs: 15 });
});

describe("is not kept by one", () => {
  type Wrong = (right: TextPoke, kernel: PatchKernel) => Partial<TextPoke>;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "that patches one copy early": [
      "P1, ",
      (right, { machine, frame }) => ({
        early: (address, bytes) => {
          const before = new Uint8Array(bytes.length);
          const at = (BigInt(frame(1, 24)) << 12n) + (address & 4095n);
          machine.memory.readBytes(at, before);
          right.early(address, bytes);
          machine.memory.writeBytes(at, before);
        },
      }),
    ],
    "that writes the whole at once": [
      "P3, ",
      (right) => ({
        *batchSteps(items) {
          for (const { address, bytes } of items) yield* right.pokeSteps(address, bytes);
        },
      }),
    ],
    "that tells nobody": ["a CPU that meets the INT3", () => ({ breakpoint: () => undefined })],
    "that verifies nothing": ["P11, ", () => ({ verify: () => {} })],
    "that writes one byte more": [
      "P12, ",
      (right) => ({
        set: ({ start, end }, value) => {
          right.set({ start, end: end + 1n }, value);
        },
      }),
    ],
    "that patches early for ever": [
      "text is patched early while it is writable",
      (right) => ({
        early: (address, bytes) => {
          try {
            right.early(address, bytes);
          } catch {
            right.copy(address, bytes);
          }
        },
      }),
    ],
    "that sorts what is not": [
      "a refusal is a TextPatchError",
      (right) => ({
        batch: (items) => {
          right.batch([...items].sort((a, b) => (a.address < b.address ? -1 : 1)));
        },
      }),
    ],
    "that forgets its queue": ["what is queued is patched", () => ({ finish: () => {} })],
    "that never ends": [
      "nothing is under way",
      (right) => ({
        get underWay() {
          return right.underWay.length > 0 ? right.underWay : [{ start: 0n, end: 1n }];
        },
      }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const make = (): PokeSubject => {
      const kernel = makeKernel([0, 1]);
      const changes = change(kernel.poke, kernel);
      return {
        ...subject(kernel),
        poke: new Proxy(kernel.poke, {
          get: (target, key) => {
            const value: unknown = key in changes ? changes[key as keyof TextPoke] : Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        }),
      };
    };
    expect(() => {
      textPokeContract(make, { shrink: false });
    }).toThrow(broken);
  });
});
