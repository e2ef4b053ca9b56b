/** The comparison's text at its widest: long names, nine digits, every verdict, work in each test. */
import { policyOf } from "@kreplica/kernel";
import { preset } from "@kreplica/machines";
import { type CompareResult, type Comparison, type KernelFigures, type Reported, standingOf } from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { compareText } from "../../src/report/compare.js";
import { screenFor } from "../../src/report/terminal.js";
import { figures, levels, result } from "./fixture-result.js";

const screen = screenFor({}, { COLUMNS: "100" });
const widest = (text: string): number => Math.max(...text.split("\n").map((line) => line.length));

describe("no line is longer than 100 columns", () => {
  test.each(["per-node", "single-copy", "home-node"])("for policy %s, another L3 beside memory or not", (name) => {
    const policy = policyOf(name);
    for (const other of [0, 4_000_000])
      expect(widest(compareText(result({ policy }, true, other), screen))).toBeLessThanOrEqual(100);
  });
});

test("what memory costs is told cause by cause, and what no cause explains is told too", () => {
  const cost = {
    lessFree: 31_358_976,
    copies: 27_262_976,
    tables: 81_920,
    inImage: 0,
    tails: 4_009_984,
    splits: 4096,
    spare: 0,
    unexplained: 0,
  };
  const memory = { perNode: [], extraBytes: 27_344_896, closedForm: 27_344_896 };
  const text = compareText(result({ memory, memoryCost: cost }), screen);
  for (const part of [
    "31,358,976 bytes less",
    "27,262,976  copies",
    "81,920  tables of each",
    "4,009,984  tails",
    "4,096  tables that split",
    "Closed form (I3): 27,344,896 bytes, equal.",
  ])
    expect(text.replace(/\n {2}(?=equal)/, " ")).toContain(part);
  expect(text).not.toContain("in none of these");
  expect(
    compareText(
      result({ memory: { ...memory, closedForm: 0 }, memoryCost: { ...cost, spare: 12_288, unexplained: 8192 } }),
      screen,
    ),
  ).toMatch(/12,288 {2}set aside[^]*8,192 {2}in none of these[^]*0 bytes, not\s+equal/);
});

test("the cost of replication stands per iteration and as a share, and what was left out is said", () => {
  const text = compareText(result(), screen);
  const row = text.split("\n").filter((line) => line.includes("14,353"));
  expect(row.map((line) => line.trim().split(/\s+/)[0])).toEqual(["fork-1", "kill", "mount"]);
  expect(row[0]).toMatch(/fork-1 +1 +- +482 +60 +193 +714 +14,353 +2\.1 % +14,353 +2\.1 %/);
  // 1024 forks: a thousandth of each.
  expect(text).toMatch(/fork-1024 +0 +- +0\.47 +0\.06 +0\.19 +0\.7 +2,276 +1\.3 % +2,276 +1\.3 %/);
  expect(text).toContain("repl");
  const idle = compareText(result({}, false), screen);
  expect(idle).toContain("None: in no test");
  expect(idle).not.toContain(" repl ");
  expect(compareText(result({ job: { ...result().job, work: false } }, false), screen)).toContain(
    "Left out: --no-work.",
  );
});

test("what was reported is judged only where near text could gain anything", () => {
  const verdicts = /(above|below|in) (bound|range)/;
  expect(compareText(result(), screen)).toMatch(
    /42\.7 {2}above bound[^]*on this machine not by the latency of text alone: fork-1 cold/,
  );
  for (const given of [
    { policy: policyOf("single-copy") },
    { tests: result().tests.map((each) => ({ ...each, bound: 0 })) },
  ]) {
    const gains = compareText(result(given), screen).split("modelled: this machine's")[0]!;
    expect(gains).toContain("42.7");
    expect(gains).not.toMatch(verdicts);
    expect(compareText(result(given), screen)).not.toContain("Reported above");
  }
});

test("hot, what was reported above all that L2 does not answer is out of reach of any near copy; cold it is not asked", () => {
  const told = (over: number): string =>
    compareText(
      result({
        tests: result().tests.map((each) => ({
          ...each,
          bound: 100,
          reported: 10,
          boundBeyondL2: each.test.name === "kill" ? 10 - over : 100,
        })),
      }),
      screen,
    ).replace(/\s+/g, " ");
  const sentence = /Out of reach of any near copy, because reported above the bound past L2: ([^.]*)\./;
  expect(sentence.exec(told(0.1))?.[1]).toBe("kill hot");
  expect(told(0.1).match(/ out of reach/g)).toHaveLength(1);
  expect(told(0)).not.toMatch(sentence);
  expect(told(0)).not.toContain("out of reach");
});

test("a recording of another length says so, has figures per recorded call, and nothing reported beside it", () => {
  const shorter = (of: Partial<Comparison>): CompareResult =>
    result({
      tests: result().tests.map((each) => (each.test.key === "forkN" ? { ...each, reported: undefined, ...of } : each)),
    });
  const text = compareText(shorter({ iterations: 16 }), screen);
  expect(text).toContain("fork-1024*");
  expect(text.replace(/\s+/g, " ")).toContain("fork-1024, 16 of 1024 calls");
  // 2,330,790 cycles of replication, in 16 calls.
  expect(text).toMatch(/fork-1024\*.* 145,674 /);
  expect(
    text.split("\n").filter((line) => line.includes("fork-1024*") && /(above|below|in) (bound|range)/.test(line)),
  ).toEqual([]);
  expect(widest(text)).toBeLessThanOrEqual(100);
  const unknown = compareText(shorter({ iterations: 1, counted: false }), screen);
  expect(unknown).toContain("fork-1024*");
  expect(unknown.replace(/\s+/g, " ")).toContain("no call of which was found");
});

describe("whom the CPU stands for, whose figures stand beside, and what is left out", () => {
  const flat = (given: Partial<CompareResult>): string => compareText(result(given), screen).replace(/\s+/g, " ");
  const xeon = preset("xeon-8260-8s")!;
  const where = { cpu: 12, masterNode: 0, dataNode: 1 };

  test("the node of the CPU, how far it is, which nodes there are and the CPUs that show them", () => {
    const text = flat({
      job: { ...result().job, spec: xeon, where },
      standing: standingOf(xeon, where, { nearest: (node) => node }),
    });
    expect(text).toContain(
      "stand for the CPUs of node 1, in the image's socket, 81.8 ns from it, 76.8 ns from its own copy",
    );
    expect(text).toMatch(
      /the image's own, 76\.8 ns: node 0 \(--cpu 0\); other socket, 133\.8 to 200 ns: node \d+ \(--cpu \d+\).*and 10 more/,
    );
    const without = flat({
      policy: policyOf("every-nth"),
      job: { ...result().job, spec: xeon, where },
      standing: standingOf(xeon, where, { nearest: (node) => node - (node % 2) }),
    });
    expect(without).toContain("it has no copy under this policy and uses node 0's, 81.8 ns away");
  });

  test("beside another machine stands nobody's figure and no verdict", () => {
    const text = flat({
      job: { ...result().job, spec: xeon },
      reported: undefined,
      tests: result().tests.map((each) => ({ ...each, reported: undefined })),
    });
    expect(text).toContain(
      "the series' authors' are of e5-2690v3-2s alone (a machine's name decides); --reported FILE gives those of xeon-8260-8s",
    );
    expect(text).not.toMatch(/(above|below|in) (bound|range)|reported is/);
  });

  test("the verdict is the reported figure's, by its column's head; a file's source and what of it was not compared are told", () => {
    const own: Reported = { source: "by me (mine.csv)", file: "mine.csv", tests: ["fork-1", "lmbench"], of: () => 1 };
    const text = compareText(result({ reported: own }), screen);
    expect(text).toMatch(/re- *\n.*ported +reported *\n.*% +is *\n/);
    expect(text.replace(/\s+/g, " ")).toMatch(
      /reported: by me \(mine\.csv\)\..*reported is: the reported figure.*not compared: lmbench\./,
    );
  });

  test("a policy that makes PGDs later, one that runs far text, and changes of text", () => {
    expect(flat({ policy: policyOf("lazy-pgd"), switchStores: 482 })).toMatch(
      /too high by it: a process' first switch to each further node, which makes its PGD there and stores 482 entries/,
    );
    expect(
      compareText(result({ policy: policyOf("lazy-pgd"), switchStores: 482 }, false), screen).replace(/\s+/g, " "),
    ).toContain("None of what was recorded: in no test");
    expect(flat({ policy: policyOf("home-node") })).toContain("runs that node's text from afar");
    expect(flat({})).not.toContain("too high by it");
    expect(flat({ tests: result().tests.map((each) => ({ ...each, pokes: each.test.id === 1 ? 78 : 0 })) })).toMatch(
      /fork-1 changes kernel text 78 times, and changing every copy is not modelled here; `kreplica patch`/,
    );
  });

  test("cold and hot have the same columns, with another L3 beside memory or not", () => {
    for (const other of [0, 4_000_000]) {
      // Another L3 in one of the two only.
      const tests = result({}, true, other).tests.map((each) =>
        each.cache === "hot" ? { ...each, singleCopy: figures(1000, 0, 0), perNode: figures(1000, 0, 0) } : each,
      );
      const heads = compareText(result({ tests }), screen)
        .split("\n")
        .flatMap((line, i, all) => (line.startsWith("Why, ") ? [`${all[i + 1]!.trim().replace(/\s+/g, " ")}`] : []));
      expect(heads).toHaveLength(2);
      expect(heads[1]).toBe(heads[0]);
      expect(heads[0]!.includes("lines")).toBe(other === 0);
    }
  });

  test("a bound stands where text's place can matter; a loss of more than all is told in times", () => {
    const cheap = figures(1_000_000, 0, 0);
    const near = {
      ...cheap,
      account: {
        ...cheap.account,
        text: { ...levels(10), local: 0, remote: 0 },
        rodata: { ...levels(10), local: 0, remote: 0 },
        walks: { l1: 0, ...levels(10), local: 0, remote: 0 },
      },
    };
    const rows = (of: KernelFigures): string =>
      compareText(
        result({
          tests: result().tests.map((each) => ({
            ...each,
            singleCopy: of,
            gain: { percent: -14_080.1, low: -20_000, high: -614.6 },
          })),
        }),
        screen,
      )
        .split("\n")
        .filter((line) => / fork-1 /.test(line))
        .slice(0, 2)
        .join("\n");
    expect(rows(near)).toMatch(/x142 +x201 \.\. x7\.1 +19\.4 +29\.1 +12\.3 [^]*19\.4 +- +12\.3 /);
    expect(rows(cheap)).not.toMatch(/19\.4 +- /);
  });

  test("alignment is told apart, and where it was not measured", () => {
    expect(flat({})).toMatch(
      /no part of these gains; by itself it gains one copy, in percent: fork-1 cold 0\.4, fork-1 hot 0\.4.*; not measured in fork-1024.*\(--alignment\)/,
    );
  });
});
