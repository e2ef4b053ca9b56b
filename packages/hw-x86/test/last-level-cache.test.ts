/** The tags of a last-level cache against lists of lines, with frames that need every kind of tag. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ABSENT } from "../src/cache.js";
import { LastLevelCache } from "../src/last-level-cache.js";
import { SlowCache } from "../src/testing/slow-caches.js";

/** Groups of 64 sets, ways. */
const shapes: [number, number][] = [
  [1, 1],
  [1, 16],
  [4, 2],
  [512, 3],
  [3, 2],
  [384, 20],
  [5, 32],
];

/**
 * A frame whose number (frame / groups) is one of few, so that lines meet, and of which some need a block, some more
 * than there are.
 */
const frames = (groups: number) =>
  fc
    .record({
      block: fc.constantFrom(0, 1, 63, 64, 65, 1000, 0xffff, 0x1_0000),
      low: fc.nat(2),
      place: fc.constantFrom(0, groups - 1, groups >> 1),
    })
    .map(({ block, low, place }) => ((block << 8) + low) * groups + place)
    .filter((frame) => frame < 2 ** 32);

const steps = (groups: number) =>
  fc.array(
    fc.record({
      what: fc.constantFrom("touch", "touch", "touch", "modify", "clean", "remove", "holds"),
      frame: frames(groups),
      line: fc.constantFrom(0, 63),
    }),
    { maxLength: 300, size: "max" },
  );

/** Does the same on both and says what each answered. */
function both(cache: LastLevelCache, slow: SlowCache, what: string, frame: number, line: number): [unknown, unknown] {
  const signed = frame | 0;
  const there = slow.get(frame, line);
  if (what === "holds") return [cache.holds(signed, line), there !== undefined];
  if (what === "touch") {
    const here = cache.touch(signed, line);
    const { hit, victim } = slow.use(frame, line);
    return [
      { here, victim: here ? undefined : [cache.victimFrame, cache.victimFrame === -1 ? 0 : cache.victimModified] },
      { here: hit, victim: hit ? undefined : [victim ? victim.frame | 0 : -1, victim?.modified ? 1 : 0] },
    ];
  }
  if (what === "modify") {
    if (there) there.modified = true;
    return [cache.modify(signed, line), there !== undefined];
  }
  const was = there ? Number(there.modified) : ABSENT;
  if (what === "remove") {
    slow.take(frame, line);
    return [cache.remove(signed, line), was];
  }
  if (there) there.modified = false;
  return [cache.clean(signed, line), was];
}

describe.each(shapes)("%i groups, %i ways", (groups, ways) => {
  const shape = { bytes: groups * ways * 4096, ways };

  test("every answer and every victim is the list's", () => {
    fc.assert(
      fc.property(steps(groups), (list) => {
        const cache = new LastLevelCache(shape);
        const slow = new SlowCache(shape, true);
        list.forEach(({ what, frame, line }, step) => {
          const [answer, expected] = both(cache, slow, what, frame, line);
          expect(answer, `step ${step}: ${what} ${frame} ${line}`).toEqual(expected);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("what it holds outlives the change to long tags, in order and with its state", () => {
    const cache = new LastLevelCache(shape);
    const slow = new SlowCache(shape, true);
    const short = cache.hostBytes;
    // A block more each time, until short tags are used up; each line is modified, and the first comes again.
    for (let n = 0; n < 80; n++) {
      const frame = ((64 + n) << 8) * groups;
      if (frame >= 2 ** 32) break;
      for (const [what, which] of [
        ["touch", frame],
        ["modify", frame],
        ["touch", 64 * 256 * groups],
        ["holds", frame],
      ] as const) {
        const [answer, expected] = both(cache, slow, what, which, 0);
        expect(answer, `block ${n}: ${what}`).toEqual(expected);
      }
    }
    expect(cache.hostBytes).toBeGreaterThan(short);
  });
});

test("host memory is two bytes a line until tags get long", () => {
  const cache = new LastLevelCache({ bytes: 32 << 20, ways: 16 });
  cache.touch(0x3_ffff, 1);
  expect(cache.hostBytes).toBe(((32 << 20) / 64) * 2);
});
