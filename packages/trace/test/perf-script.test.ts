/** What perf script prints, of Intel PT and of perf mem: lines in the shapes there are; what is no such line. */
import { expect, test } from "vitest";
import { type Batch, Kind } from "../src/batch.js";
import { importTrace } from "../src/foreign/formats.js";
import { readTraceBytes, recordingOf } from "../src/read-trace.js";

const references = (lines: string): string[] => {
  const parts: number[] = [];
  importTrace(recordingOf("p.perf", new TextEncoder().encode(lines)), "perf-script", (part) => parts.push(...part));
  const found: string[] = [];
  readTraceBytes("it.kt", Uint8Array.from(parts), ({ kind, lo, hi, a, b, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      if (kind[i]! > Kind.Store) continue;
      const address = ((BigInt(hi[i]!) << 32n) | BigInt(lo[i]!)).toString(16);
      found.push(`${"irw"[kind[i]!]!} ${address} ${kind[i] === Kind.Fetch ? b[i]! : a[i]! & 0xff}`);
    }
  });
  return found;
};

test("Intel PT: one instruction a line, with period and event or without, symbol and file passed over", () => {
  expect(
    references(
      [
        "# captured on: today",
        "            ls  4242 [001] 12.345678901:          1   instructions:      7f00a1b2c3d0 _start+0x0 (/usr/lib/ld.so)",
        "            ls  4242 [001] 12.345678901:          1   instructions:u:      7f00a1b2c3d3 _start+0x3 (/usr/lib/ld.so)",
        "swapper     0/0     [000]    12.345678:  ffffffff81000000 [unknown] ([kernel.kallsyms])",
        "my prog:1 77 12.345: 401000",
        "",
      ].join("\r\n"),
    ),
  ).toEqual(["i 7f00a1b2c3d0 3", "i 7f00a1b2c3d3 4", "i ffffffff81000000 4", "i 401000 4"]);
});

test("perf mem: loads and stores by data_src or by the event, by the instruction that made them", () => {
  expect(
    references(
      [
        "   perf 12345 [003] 1234.567890:          1 cpu/mem-loads,ldlat=30/P:     ffff88810e2a1234         5080021 |OP LOAD|LVL L1 hit|SNP None|TLB L1 or L2 hit|LCK No|BLK  N/A        1234567 ffffffff81234567 kmem_cache_alloc+0x17 ([kernel.kallsyms])",
        "   perf 12345 [003] 1234.567891:    cpu/mem-stores/P:     7ffd00001000   5581ab00 main+0x3 (/bin/a)",
        "   perf 12345 [003] 1234.567892:    ibs_op//: 7ffd00002000 |OP STORE|LVL L1 hit|SNP N/A|TLB N/A|LCK N/A|BLK N/A 5581ab10",
        "",
      ].join("\n"),
    ),
  ).toEqual([
    "i ffffffff81234567 4",
    "r ffff88810e2a1234 1",
    "i 5581ab00 4",
    "w 7ffd00001000 1",
    "i 5581ab10 4",
    "w 7ffd00002000 1",
  ]);
});

test.each([
  ["no time", "hello world\n", 0, /line 1 is "hello world", which has no time and address/],
  ["no address", "ls 1 [000] 1.2: 401000\nls 1 [000] 1.3: cycles:\n", 23, /line 2/],
])("refused: %s", (_what, lines, offset, message) => {
  expect(() => references(lines)).toThrow(expect.objectContaining({ code: "bad-line", offset }));
  expect(() => references(lines)).toThrow(message);
});
