/** Parts of recordings, and several as one: what stays, what is named again, what it is all counted to. */
import { recordingOf } from "../src/read-trace.js";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Access, type Batch, Kind } from "../src/batch.js";
import { checkTrace } from "../src/check.js";
import { type CutRequest, cutTrace, mergeTraces } from "../src/cut.js";
import { TraceEncoder } from "../src/encoder.js";
import { TraceTaker } from "../src/inventory.js";
import { PageBook, pageOf } from "../src/page-book.js";
import { readTraceBytes } from "../src/read-trace.js";
import { TraceError } from "../src/trace-error.js";

/** One fetch, load or store with all that is known of it. */
interface Reference {
  readonly what: Kind;
  readonly cpu: number;
  readonly address: string;
  readonly page: number | undefined;
  readonly a: number;
}

function referencesIn(bytes: Uint8Array): { readonly references: Reference[]; readonly marks: string[] } {
  const references: Reference[] = [];
  const marks: string[] = [];
  const book = new PageBook();
  let cpu = 0;
  readTraceBytes("it.kt", bytes, (batch: Batch) => {
    for (let i = 0; i < batch.length; i++) {
      book.add(batch, i, cpu);
      const [what, lo, hi] = [batch.kind[i]! as Kind, batch.lo[i]!, batch.hi[i]!];
      if (what === Kind.Vcpu) cpu = batch.a[i]!;
      else if (what === Kind.Mark) marks.push(`${(batch.a[i]! & 0xffff).toString(16)}@${cpu}+${references.length}`);
      else if (what <= Kind.Store)
        references.push({
          what,
          cpu,
          address: ((BigInt(hi) << 32n) | BigInt(lo)).toString(16),
          page: (what === Kind.Fetch ? book.textPage : book.dataPage).call(book, cpu, pageOf(lo, hi)),
          a: batch.a[i]! & ~Access.NewPage,
        });
    }
  });
  return { references, marks };
}

const collected = (work: (sink: (part: Uint8Array) => void) => void): Uint8Array => {
  const parts: number[] = [];
  work((part) => parts.push(...part));
  return Uint8Array.from(parts);
};
const cut = (bytes: Uint8Array, request: CutRequest): Uint8Array =>
  collected((sink) => cutTrace(recordingOf("it.kt", bytes), request, sink));

/** Few pages, CPUs and tests, so that they come together. */
const step = fc.record({
  cpu: fc.nat(2),
  user: fc.boolean(),
  page: fc.nat(3),
  frame: fc.nat(2),
  count: fc.integer({ min: 1, max: 40 }),
  accesses: fc.array(fc.record({ store: fc.boolean(), page: fc.nat(3), frame: fc.nat(2) }), { maxLength: 3 }),
});
const recording = fc
  .array(
    fc.record({ test: fc.nat(2), before: fc.array(step, { maxLength: 3 }), steps: fc.array(step, { maxLength: 8 }) }),
    {
      minLength: 1,
      maxLength: 3,
    },
  )
  .map((windows) => {
    const encoder = new TraceEncoder();
    const write = (steps: readonly (typeof windows)[number]["steps"][number][]): void => {
      for (const { cpu, user, page, frame, count, accesses } of steps) {
        encoder.vcpu(cpu);
        const base = user ? 0x40_0000n : 0xffff_ffff_8100_0000n;
        encoder.fetch(base + BigInt(page * 4096), count, count * 3, BigInt(0x1000 + page * 4 + frame));
        for (const each of accesses)
          encoder.access(
            each.store,
            0xffff_8880_0000_0000n + BigInt(each.page * 4096),
            8,
            BigInt(each.page * 4 + each.frame),
          );
      }
    };
    for (const { test: id, before, steps } of windows) {
      write(before);
      encoder.vcpu(1);
      encoder.mark(0x5eed_0001 | ((id + 1) << 8));
      write(steps);
      encoder.vcpu(1);
      encoder.mark(0x5eed_0002 | ((id + 1) << 8));
    }
    encoder.end();
    return encoder.bytes();
  });

test("with nothing asked everything stays: references, their pages, markers on their CPUs", () => {
  fc.assert(
    fc.property(recording, (bytes) => {
      const [before, after] = [referencesIn(bytes), referencesIn(cut(bytes, {}))];
      expect(after.references).toEqual(before.references);
      // A marker before the first record of its test goes with it.
      expect(after.marks).toEqual(before.marks);
    }),
    { numRuns: 200, seed: 1 },
  );
});

test("what stays is what was asked for, each with the page it had, in a recording that checks", () => {
  const request = fc.record(
    {
      test: fc.integer({ min: 1, max: 3 }),
      cpus: fc.uniqueArray(fc.nat(2), { minLength: 1 }).map((each) => new Set(each)),
      mode: fc.constantFrom("kernel" as const, "user" as const),
      from: fc.nat(200),
      to: fc.nat(300),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(recording, request, (bytes, asked) => {
      const { references } = referencesIn(bytes);
      // Which test each record belongs to, by the markers' places.
      const { marks } = referencesIn(bytes);
      const testAt = (index: number): number => {
        let within = 0;
        for (const mark of marks) {
          const [, id, phase, , at] = /^(\w)0(\d)@(\d+)\+(\d+)$/.exec(mark) ?? [];
          if (Number(at) > index) break;
          within = phase === "1" ? Number(id) : 0;
        }
        return within;
      };
      let passed = 0;
      let kept = new Map<number, boolean>();
      const expected = references.filter((each, index) => {
        if (each.what !== Kind.Fetch) return kept.get(each.cpu) === true;
        const user = !each.address.startsWith("ffff");
        const stays =
          (asked.test === undefined || testAt(index) === asked.test) &&
          (asked.cpus?.has(each.cpu) ?? true) &&
          (asked.mode === undefined || (asked.mode === "user") === user);
        const inRange = passed >= (asked.from ?? 0) && passed < (asked.to ?? Infinity);
        if (stays) passed += each.a;
        kept = kept.set(each.cpu, stays && inRange);
        return stays && inRange;
      });
      const out = cut(bytes, asked);
      expect(referencesIn(out).references).toEqual(expected);
      expect(checkTrace(recordingOf("it.kt", out))).toMatchObject({ unnamed: 0, open: 0 });
    }),
    { numRuns: 300, seed: 2 },
  );
});

test("a test that is cut within keeps its markers; on a CPU that stays", () => {
  const encoder = new TraceEncoder();
  const fetch = (cpu: number): void => {
    encoder.vcpu(cpu);
    encoder.fetch(0xffff_ffff_8100_0000n, 1, 3, 0x1000n);
  };
  encoder.mark(0x5eed_0601);
  fetch(0);
  fetch(1);
  fetch(1);
  encoder.vcpu(0);
  fetch(0);
  encoder.mark(0x5eed_0602);
  encoder.end();
  const bytes = encoder.bytes();
  expect(referencesIn(cut(bytes, { from: 1, to: 3 })).marks).toEqual(["601@0+0", "602@0+2"]);
  expect(referencesIn(cut(bytes, { cpus: new Set([1]) })).marks).toEqual(["601@1+0", "602@1+2"]);
  expect(referencesIn(cut(bytes, { test: 5 }))).toEqual({ references: [], marks: [] });
});

test("several one behind the other: each as it was, and counted together", () => {
  fc.assert(
    fc.property(recording, recording, (first, second) => {
      const both = collected((sink) => mergeTraces([recordingOf("a.kt", first), recordingOf("b.kt", second)], sink));
      const [a, b, merged] = [first, second, both].map(referencesIn) as [
        ReturnType<typeof referencesIn>,
        ReturnType<typeof referencesIn>,
        ReturnType<typeof referencesIn>,
      ];
      expect(merged.references).toEqual([...a.references, ...b.references]);
      expect(merged.marks.length).toBe(a.marks.length + b.marks.length);
    }),
    { numRuns: 100, seed: 3 },
  );
});

test("an inventory: tests, CPUs and modes, regions and functions add up to what there is", () => {
  const encoder = new TraceEncoder();
  encoder.vcpu(3);
  encoder.mark(0x5eed_0601);
  encoder.fetch(0xffff_ffff_8100_0010n, 2, 6, 0x1000n);
  encoder.access(false, 0x7fff_0000_0000n, 8, 5n);
  encoder.fetch(0xffff_ffff_8100_0100n, 5, 9, 0x1000n);
  encoder.mark(0x5eed_0602);
  encoder.fetch(0x40_0000n, 4, 8, 7n);
  encoder.access(true, 0x7fff_0000_0000n, 8, 5n);
  encoder.end();
  const taker = new TraceTaker(undefined, [
    { name: "second", address: 0xffff_ffff_8100_0100n },
    { name: "first", address: 0xffff_ffff_8100_0000n },
    { name: "elsewhere", address: 0x10n },
  ]);
  readTraceBytes("it.kt", encoder.bytes(), (batch) => taker.add(batch));
  expect(taker.result()).toMatchObject({
    instructions: 11,
    loads: 1,
    stores: 1,
    windows: [{ test: 6, cpu: 3, ended: true, instructions: 7, loads: 1, stores: 0 }],
    cpus: [
      { cpu: 3, mode: "kernel", instructions: 7, loads: 1, stores: 0 },
      { cpu: 3, mode: "user", instructions: 4, loads: 0, stores: 1 },
    ],
    regions: [
      { region: "user", instructions: 4, loads: 1, stores: 1, lines: 2 },
      { region: "ktext", instructions: 7, loads: 0, stores: 0, lines: 2 },
    ],
    functions: [
      { name: "second", instructions: 5, calls: 1 },
      { name: "first", instructions: 2, calls: 0 },
    ],
  });
});

test("what no processor has, pages nobody named and tests without an end are found where they are", () => {
  const encoder = new TraceEncoder();
  encoder.mark(0x5eed_0601);
  const at = encoder.bytes().length;
  encoder.fetch(0xffff_ffff_8100_0000n, 1, 3);
  encoder.access(false, 0xffff_8880_0000_0000n, 8, 5n);
  const before = encoder.bytes().length;
  const whole = new TraceEncoder();
  whole.mark(0x5eed_0601);
  whole.fetch(0xffff_ffff_8100_0000n, 1, 3);
  whole.end();
  expect(checkTrace(recordingOf("it.kt", whole.bytes()))).toMatchObject({
    unnamed: 1,
    firstUnnamed: at,
    open: 1,
    whole: 0,
  });
  encoder.fetch(0xffff_ffff_8100_0003n, 1, 16, 0x1000n);
  encoder.end();
  try {
    checkTrace(recordingOf("it.kt", encoder.bytes()));
    expect.fail("it passed");
  } catch (error) {
    expect(error).toBeInstanceOf(TraceError);
    expect((error as TraceError).code).toBe("bad-fetch");
    // Behind the record that names the page.
    expect((error as TraceError).offset).toBeGreaterThan(before);
  }
});
