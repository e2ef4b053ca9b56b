/**
 * Summaries of system calls as strace and perf print them: read in any shape, and refused with the line where damaged.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError, readCallCounts } from "../src/index.js";

/** Of strace 6.1. */
const STRACE = `strace: Process 71 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 37.49    0.001142         380         3         1 wait4
  9.62    0.000293           2       138        62 openat
  8.24    0.000251           2       106           mmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.001686           6       247        63 total
`;
/** Of strace 4, whose total has no time a call. */
const OLD = STRACE.replace("           6       247", "                   247");
/** Of strace -U name,calls,errors,time-total. */
const CHOSEN = `syscall              calls    errors     seconds
---------------- --------- --------- -----------
mmap                   106              0.000251
openat                 138        62    0.000293
wait4                    3         1    0.001142
---------------- --------- --------- -----------
total                  247        63    0.001686
`;
const PERF = `
 Summary of events:

 a (12), 88 events, 50.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   openat               100      62     0.200     0.001     0.005     0.010      9.12%
\t\t\t\tENOENT: 62
   mmap                 106       0     0.251     0.001     0.005     0.010      9.12%

 b (13), 88 events, 50.0%

   syscall            calls    total       min       avg       max      stddev
                               (msec)    (msec)    (msec)    (msec)        (%)
   --------------- -------- --------- --------- --------- ---------     ------
   openat                38     0.093     0.001     0.005     0.010      9.12%
   wait4                  3     1.142     0.001     0.005     0.010      9.12%
`;
const EXPECTED = [
  { name: "mmap", calls: 106, seconds: 0.000251 },
  { name: "openat", calls: 138, seconds: 0.000293 },
  { name: "wait4", calls: 3, seconds: 0.001142 },
];
const read = (text: string) =>
  readCallCounts(text, "f")
    .map((each) => ({ ...each, ...(each.seconds === undefined ? {} : { seconds: Number(each.seconds.toFixed(9)) }) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
const fault = (text: string): string => {
  try {
    readCallCounts(text, "f");
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return "taken";
};

describe("read alike", () => {
  test.each([
    ["strace 6", STRACE],
    ["strace 4", OLD],
    ["a comma for a point", STRACE.replace(/(\d)\.(\d)/g, "$1,$2")],
    ["line ends of Windows", STRACE.replaceAll("\n", "\r\n")],
    ["columns chosen, rows by name", CHOSEN],
    ["perf, two threads", PERF],
    ["JSON", JSON.stringify({ calls: Object.fromEntries(EXPECTED.map(({ name, ...rest }) => [name, rest])) })],
  ])("%s", (_, text) => {
    expect(read(text)).toEqual(EXPECTED);
  });

  test("several summaries are added up; times only where all have them", () => {
    expect(read(STRACE + CHOSEN).map(({ calls }) => calls)).toEqual([212, 276, 6]);
    expect(read('{ "calls": { "mmap": 3, "read": { "calls": 1, "seconds": 2 } } }')).toEqual([
      { name: "mmap", calls: 3 },
      { name: "read", calls: 1 },
    ]);
  });
});

describe("refused with the line", () => {
  test.each([
    ["no summary", "hello\n", /^f: holds no summary of system calls\. /],
    ["nothing", "", /^f: holds no summary/],
    ["cut within a row", STRACE.slice(0, STRACE.indexOf("62 openat")), /^f:5: .* is no row of 6 columns/],
    ["cut behind a row", STRACE.slice(0, STRACE.indexOf("------", 200)), /the summary ends before its total/],
    ["a digit changed", STRACE.replace("138", "139"), /^f:8: calls: the total is 247, and its rows have 248/],
    ["a row lost", STRACE.replace(/.*mmap\n/, ""), /^f:7: calls: the total is 247, and its rows have 141/],
    ["a letter in a count", STRACE.replace("138", "1x8"), /^f:5: calls: "1x8" is no number of calls/],
    [
      "more errors than calls",
      PERF.replace("  62  ", " 162  "),
      /^f:9: errors: "162" is no number of errors up to 100/,
    ],
    ["a time that is none", PERF.replace("0.200", "0.2.0"), /^f:9: total: "0.2.0" is no time/],
    ["a name that is none", STRACE.replace("openat", "open@t"), /^f:5: syscall: "open@t" is no system call's name/],
    ["only zeros", '{ "calls": { "mmap": 0 } }', /^f: counts no system call/],
    ["a negative count", '{ "calls":\n{ "mmap": -1 } }\n', /^f:2: calls\.mmap: is no whole number of calls/],
    ["a time below 0", '{ "calls":\n{ "mmap": { "calls": 1, "seconds": -1 } } }', /^f:2: calls\.mmap\.seconds: /],
    ["another field", '{ "calls": {},\n"cals": 1 }', /^f:2: cals: no such field/],
  ])("%s", (_, text, message) => {
    expect(fault(text)).toMatch(message);
  });

  test("whatever is cut off or changed: what is read, or a fault with file and remedy", () => {
    const known = [STRACE, OLD, CHOSEN, PERF];
    fc.assert(
      fc.property(
        fc.constantFrom(...known),
        fc.nat(2000),
        fc.string({ maxLength: 3 }),
        fc.boolean(),
        (text, at, put, cut) => {
          const place = at % text.length;
          const message = fault(text.slice(0, place) + put + (cut ? "" : text.slice(place + put.length)));
          expect(message === "taken" || /^f(:\d+)?: .+\. .+\./.test(message)).toBe(true);
        },
      ),
      { seed: 1, numRuns: 400 },
    );
    // A summary of strace that was cut anywhere before its total is never taken.
    const end = STRACE.lastIndexOf("------");
    for (let at = 0; at < end; at++) expect(fault(STRACE.slice(0, at))).not.toBe("taken");
  });
});
