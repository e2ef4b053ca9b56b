/** The decoder against what was encoded, whole and in pieces, cut and damaged. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Kind, type Batch } from "../src/batch.js";
import { TraceEncoder } from "../src/encoder.js";
import { readTraceBytes } from "../src/read-trace.js";
import { TraceError } from "../src/trace-error.js";
import { TraceDecoder } from "../src/decoder.js";
import { Batch as Columns } from "../src/batch.js";

type Row = readonly (string | number)[];

/** Rows as plain values: what a reader of the format's description would write down. */
const rows = (bytes: Uint8Array): Row[] => {
  const out: Row[] = [];
  readTraceBytes("test.kt", bytes, (batch) => collect(batch, out));
  return out;
};
const collect = (batch: Batch, out: Row[]): void => {
  for (let i = 0; i < batch.length; i++) {
    const address = ((BigInt(batch.hi[i]!) << 32n) | BigInt(batch.lo[i]!)).toString(16);
    switch (batch.kind[i]) {
      case Kind.Fetch:
        out.push(["fetch", address, batch.a[i]!, batch.b[i]!]);
        break;
      case Kind.Load:
      case Kind.Store:
        out.push([
          batch.kind[i] === Kind.Load ? "load" : "store",
          address,
          batch.a[i]! & 0xff,
          (batch.a[i]! & 0x300) === 0 ? -1 : batch.b[i]!,
        ]);
        break;
      case Kind.FetchPage:
        out.push(["page", address, batch.b[i]!]);
        break;
      case Kind.End:
        out.push(["end"]);
        break;
      default:
        out.push([["vcpu", "mark", "", "repeat"][batch.kind[i]! - 3]!, batch.a[i]!]);
    }
  }
};

// Few addresses, at every border that matters: 32-bit carries both ways, the kernel half, page and line ends.
const address = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    0xffff_ffffn,
    0x1_0000_0000n,
    0x7fff_ffff_ffffn,
    0xffff_8880_0000_0000n,
    0xffff_ffff_8100_0fffn,
    0xffff_ffff_ffff_ffffn,
    0x7fff_ffffn,
    0xffff_ffff_7fff_ffffn,
  ),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.bigInt({ min: 0xffff_ffff_8100_0000n, max: 0xffff_ffff_8100_4000n }),
);
const page = fc.integer({ min: 0, max: 5 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("fetch" as const),
      address,
      count: fc.integer({ min: 0, max: 70 }),
      bytes: fc.integer({ min: 0, max: 300 }),
      page: fc.option(page),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("access" as const),
      store: fc.boolean(),
      address,
      size: fc.constantFrom(1, 2, 8, 64, 128),
      page: fc.option(page),
      device: fc.option(page),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("vcpu" as const), id: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("mark" as const), value: fc.constantFrom(0x5eed0101, 0xffff_ffff, 0) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("repeat" as const), count: fc.constantFrom(1, 127, 128, 0xffff_ffff) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The recording of the steps, and the rows that must come out of it, kept by a model that never saw a byte. */
const record = (steps: readonly Step[]): { bytes: Uint8Array; expected: Row[] } => {
  const encoder = new TraceEncoder();
  const expected: Row[] = [];
  const known = new Map<string, number>();
  let vcpu = 0;
  const isNew = (space: string, at: bigint, to: number | null): boolean => {
    const key = `${vcpu}/${space}/${at >> 12n}`;
    if (to === null || known.get(key) === to) return false;
    known.set(key, to);
    return true;
  };
  for (const each of steps) {
    if (each.op === "fetch") {
      if (isNew("text", each.address, each.page))
        expected.push(["page", ((each.address >> 12n) << 12n).toString(16), each.page!]);
      encoder.fetch(each.address, each.count, each.bytes, each.page === null ? undefined : BigInt(each.page));
      expected.push(["fetch", each.address.toString(16), each.count, each.bytes]);
    } else if (each.op === "access") {
      const fresh = isNew("data", each.address, each.page);
      const device = each.device === null ? undefined : BigInt(each.device) * 4096n + 8n;
      encoder.access(each.store, each.address, each.size, each.page === null ? undefined : BigInt(each.page), device);
      expected.push([
        each.store ? "store" : "load",
        each.address.toString(16),
        each.size,
        fresh ? each.page! : (each.device ?? -1),
      ]);
    } else if (each.op === "vcpu") {
      encoder.vcpu((vcpu = each.id));
      expected.push(["vcpu", each.id]);
    } else if (each.op === "mark") {
      encoder.mark(each.value);
      expected.push(["mark", each.value]);
    } else {
      encoder.repeat(each.count);
      expected.push(["repeat", each.count]);
    }
  }
  encoder.end();
  expected.push(["end"]);
  return { bytes: encoder.bytes(), expected };
};
const recording = fc.array(step, { maxLength: 80, size: "max" }).map(record);

describe("a recording", () => {
  test("decodes to what was encoded", () => {
    fc.assert(
      fc.property(recording, ({ bytes, expected }) => {
        expect(rows(bytes)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test("decodes alike in pieces of any length and batches of any capacity", () => {
    fc.assert(
      fc.property(
        recording,
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 7 }),
        ({ bytes, expected }, piece, capacity) => {
          const out: Row[] = [];
          const decoder = new TraceDecoder("test.kt");
          const batch = new Columns(capacity);
          let at = 6;
          for (let seen = at; !(seen === bytes.length && at === bytes.length);) {
            seen = Math.min(bytes.length, seen + piece);
            const window = bytes.slice(at, seen); // nothing beyond `seen` can be read
            const used = decoder.decode(window, 0, window.length, seen === bytes.length, batch);
            at += used;
            expect(decoder.offset).toBe(at);
            collect(batch, out);
            batch.length = 0;
          }
          expect(out).toEqual(expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("a second end, or anything after the first, is refused at its offset", () => {
    const { bytes } = record([]);
    expect(() => rows(Uint8Array.from([...bytes, 3]))).toThrow(
      expect.objectContaining({ code: "after-end", offset: bytes.length }),
    );
  });
});

describe("input that is not whole", () => {
  test("cut anywhere: a typed error, never rows that were not there", () => {
    fc.assert(
      fc.property(recording, fc.nat(), ({ bytes, expected }, where) => {
        const at = where % bytes.length;
        const seen: Row[] = [];
        const fault = caught(() => readTraceBytes("cut.kt", bytes.subarray(0, at), (batch) => collect(batch, seen)));
        expect(["cut", "not-a-trace"]).toContain(fault.code);
        expect(fault.offset).toBeLessThanOrEqual(at);
        expect(fault.message).toContain("cut.kt at byte ");
        expect(expected.slice(0, seen.length)).toEqual(seen);
      }),
      { numRuns: 300 },
    );
  });

  test("damaged anywhere: rows or a typed error with an offset inside the stream", () => {
    fc.assert(
      fc.property(
        recording,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        ({ bytes }, damage) => {
          const bad = bytes.slice();
          for (const [where, value] of damage) bad[where % bad.length] = value;
          try {
            rows(bad);
          } catch (error) {
            expect(error).toBeInstanceOf(TraceError);
            expect((error as TraceError).offset).toBeLessThanOrEqual(bad.length);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["unknown-record", [(5 << 2) | 3], 6],
    ["long-number", [(2 << 2) | 3, ...Array<number>(11).fill(0x80)], 7],
    ["long-number", [(1 << 2) | 3, 0xff, 0xff, 0xff, 0xff, 0x7f], 12],
    ["long-number", [(1 << 2) | 3, 0x80, 0x20], 9],
  ])("%s is named where it stands", (code, tail, offset) => {
    expect(caught(() => rows(Uint8Array.from([...Buffer.from("KTRC1\n"), ...tail, 3])))).toMatchObject({
      code,
      offset,
    });
  });

  test("an empty file, text and a folder are not recordings", () => {
    expect(caught(() => rows(new Uint8Array(0))).code).toBe("not-a-trace");
    expect(caught(() => rows(new TextEncoder().encode("KTRC2\n...")))).toMatchObject({
      code: "not-a-trace",
      offset: 4,
    });
  });
});

const caught = (run: () => void): TraceError => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(TraceError);
    return error as TraceError;
  }
  throw new Error("nothing was thrown");
};
