/**
 * Traces of other programs: what is read and written, what fills what they lack, what is refused, in bounded memory.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Batch, Kind } from "../src/batch.js";
import { checkTrace } from "../src/check.js";
import { exportChampSim, exportDin } from "../src/foreign/champsim.js";
import { type ForeignFormat, foreignFormatOf, importTrace } from "../src/foreign/formats.js";
import { markedCpu, testOf } from "../src/peek.js";
import { readTraceBytes, type Recording, recordingOf } from "../src/read-trace.js";
import { TraceError } from "../src/trace-error.js";

const text = (lines: string): Uint8Array => new TextEncoder().encode(lines);
const collected = (work: (sink: (part: Uint8Array) => void) => void): Uint8Array => {
  const parts: number[] = [];
  work((part) => parts.push(...part));
  return Uint8Array.from(parts);
};
const imported = (bytes: Uint8Array, format: ForeignFormat["name"]): Uint8Array =>
  collected((sink) => importTrace(recordingOf("mine", bytes), format, sink));

/** References of a recording as `i ADDRESS LENGTH`, `r ADDRESS SIZE`, `w ADDRESS SIZE`. */
function references(bytes: Uint8Array): string[] {
  const found: string[] = [];
  readTraceBytes("it.kt", bytes, ({ kind, lo, hi, a, b, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      if (kind[i]! > Kind.Store) continue;
      const address = ((BigInt(hi[i]!) << 32n) | BigInt(lo[i]!)).toString(16);
      found.push(`${"irw"[kind[i]!]!} ${address} ${kind[i] === Kind.Fetch ? b[i]! : a[i]! & 0xff}`);
    }
  });
  return found;
}

test("din: lengths by the next instruction, else 4; sizes of 1; xdin says both", () => {
  expect(references(imported(text("2 1000\n0 7fff00001234\n2 1003\r\n1 0x40\n\n# a word\n2 5000\n"), "din"))).toEqual([
    "i 1000 3",
    "r 7fff00001234 1",
    "i 1003 4",
    "w 40 1",
    "i 5000 4",
  ]);
  expect(references(imported(text("i 1000 5\nr 2000 8\nw 2ffc a\nm 0 0\n"), "din"))).toEqual([
    "i 1000 5",
    "r 2000 8",
    // 10 bytes, of which 4 are in its page.
    "w 2ffc 4",
  ]);
});

test("data alone: an instruction of its own makes each", () => {
  expect(references(imported(text("0 1000\n1 2000\n"), "din"))).toEqual([
    "i 400000 4",
    "r 1000 1",
    "i 400000 4",
    "w 2000 1",
  ]);
});

test("lackey: a modify is a load and a store; Valgrind's own lines are none", () => {
  expect(
    references(imported(text("==12== Lackey\nI  04001000,3\n L 1ffeffe7e,8\n M 0421,4\n S 99,16\n"), "lackey")),
  ).toEqual(["i 4001000 3", "r 1ffeffe7e 8", "r 421 4", "w 421 4", "w 99 16"]);
});

test("ChampSim, by the documented layout", () => {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 0x40_1000n, true);
  view.setBigUint64(16, 0x7fff_0000_0010n, true); // its first store
  view.setBigUint64(40, 0x1234n, true); // its second load
  view.setBigUint64(64, 0x40_1007n, true);
  expect(references(imported(bytes, "champsim"))).toEqual(["i 401000 7", "r 1234 1", "w 7fff00000010 1", "i 401007 4"]);
});

test("what comes out checks: pages named, a test called after its file on the data's node", () => {
  const bytes = imported(text("2 1ffe\n0 3000\n2 2002\n0 3040\n"), "din");
  expect(checkTrace(recordingOf("it.kt", bytes))).toMatchObject({ whole: 1, open: 0, unnamed: 0 });
  expect([testOf(recordingOf("x/my-loop.kt", bytes)).name, markedCpu(recordingOf("it.kt", bytes))]).toEqual([
    "my-loop",
    2,
  ]);
});

describe("round trips", () => {
  const step = fc.record({
    jump: fc.nat(50),
    reads: fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { maxLength: 6 }),
    writes: fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { maxLength: 4 }),
  });
  const steps = fc.array(step, { minLength: 1, maxLength: 20 });
  test("din to a recording and back is the same text", () => {
    fc.assert(
      fc.property(steps, (each) => {
        const lines = each
          .map(({ jump, reads, writes }) =>
            [
              `2 ${(0x40_0000 + jump * 4).toString(16)}`,
              ...reads.map((at) => `0 ${at.toString(16)}`),
              ...writes.map((at) => `1 ${at.toString(16)}`),
            ].join("\n"),
          )
          .join("\n");
        const kt = recordingOf("it.kt", imported(text(`${lines}\n`), "din"));
        expect(new TextDecoder().decode(collected((sink) => exportDin(kt, 2, sink)))).toBe(`${lines}\n`);
      }),
      { numRuns: 100, seed: 4 },
    );
  });
  test("a recording to ChampSim and back has the same loads and stores, and of instructions one more for what one cannot hold", () => {
    fc.assert(
      fc.property(steps, (each) => {
        const lines = each.map(({ jump, reads, writes }) =>
          [
            `2 ${(0x40_0000 + jump * 4).toString(16)}`,
            ...reads.map((at) => `0 ${at.toString(16)}`),
            ...writes.map((at) => `1 ${at.toString(16)}`),
          ].join("\n"),
        );
        const first = imported(text(lines.join("\n")), "din");
        const champ = collected((sink) => exportChampSim(recordingOf("it.kt", first), 2, sink));
        const again = references(imported(champ, "champsim"));
        const data = (of: readonly string[], kind: string): string[] => of.filter((one) => one.startsWith(kind));
        const before = references(first);
        expect(data(again, "r")).toEqual(data(before, "r"));
        expect(data(again, "w")).toEqual(data(before, "w"));
        const more = each.reduce(
          (sum, { reads, writes }) => sum + (reads.length > 4 ? 1 : 0) + Math.max(0, Math.ceil(writes.length / 2) - 1),
          0,
        );
        expect(data(again, "i").length).toBe(each.length + more);
      }),
      { numRuns: 100, seed: 5 },
    );
  });
});

describe("input that is none", () => {
  const small: Readonly<Record<"din" | "lackey" | "champsim", Uint8Array>> = {
    din: text("2 1000\n0 7fff00001234\ni 1003 4\n"),
    lackey: text("==1== x\nI  04001000,3\n M 0421,4\n"),
    champsim: Uint8Array.from({ length: 192 }, (_, i) => (i * 37) & 0xff),
  };
  const outcome = (bytes: Uint8Array, format: keyof typeof small): void => {
    try {
      checkTrace(recordingOf("it.kt", imported(bytes, format)));
    } catch (error) {
      expect(error).toBeInstanceOf(TraceError);
      expect((error as TraceError).offset).toBeLessThanOrEqual(bytes.length);
      expect((error as TraceError).file).toBe("mine");
    }
  };
  test.each(["din", "lackey", "champsim"] as const)("%s cut at every byte", (format) => {
    for (let at = 0; at <= small[format].length; at++) outcome(small[format].subarray(0, at), format);
  });
  test.each(["din", "lackey", "champsim"] as const)("%s with any bytes changed", (format) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 }), (damage) => {
        const bad = small[format].slice();
        for (const [where, value] of damage) bad[where % bad.length] = value;
        outcome(bad, format);
      }),
      { numRuns: 500, seed: 6 },
    );
  });
  test.each([
    ["din", "2 1000\nhello\n", "bad-line", 7, /line 2 is "hello"/],
    ["din", "5 1000\n", "bad-line", 0, /line 1/],
    ["lackey", "I  1000,3\nI 12\n", "bad-line", 10, /line 2/],
    ["din", "x".repeat(5000), "long-line", 0, /line 1 has more than 4096 bytes/],
    ["din", "# nothing\n", "empty-window", 10, /holds no reference/],
    ["champsim", "x".repeat(100), "cut", 64, /36 bytes are left for a record of 64/],
  ] as const)("%s %j", (format, content, code, offset, message) => {
    let thrown: unknown;
    try {
      imported(text(content), format);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code, offset });
    expect((thrown as TraceError).message).toMatch(message);
  });
});

test("a trace of any length takes the memory of its pages: a generator feeds 40 MB through", () => {
  let left = 40 * 2 ** 20;
  let largest = 0;
  const endless: Recording = {
    name: "endless",
    open: () => ({
      read(into) {
        const length = Math.min(left, into.length);
        const view = new DataView(into.buffer, into.byteOffset, length);
        into.fill(0, 0, length);
        for (let at = 0; at + 8 <= length; at += 64) view.setUint32(at, 0x40_0000 + (at & 0xfff), true);
        left -= length;
        return length;
      },
      close() {},
    }),
  };
  const result = importTrace(endless, "champsim", (part) => {
    largest = Math.max(largest, part.length);
  });
  expect(result).toMatchObject({ instructions: (40 * 2 ** 20) / 64, pages: 1 });
  expect(largest).toBeLessThanOrEqual(1 << 16);
});

test("more pages than the guest has for it are refused where they come", () => {
  const lines = Array.from({ length: 0x1_c001 }, (_, i) => `0 ${((i + 0x1000) * 4096).toString(16)}\n`).join("");
  expect(() => imported(text(lines), "din")).toThrow(expect.objectContaining({ code: "too-many-pages" }));
});

test("formats by the end of a name", () => {
  expect(
    ["a.din", "b.XDIN", "c.lackey", "d.champsim", "e.kt", "f.trace.zip", "g.trace", "h.perf"].map(
      (name) => foreignFormatOf(name)?.name,
    ),
  ).toEqual(["din", "din", "lackey", "champsim", undefined, "drmemtrace", "champsim", "perf-script"]);
});
