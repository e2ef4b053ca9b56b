/// <reference types="node" />
/**
 * numactl --hardware: read back what was printed, in every shape the tool prints it; then the rules that fill in the
 * rest.
 */
import { readFileSync } from "node:fs";
import { TextLines } from "@kreplica/inputs";
import { checkMachine, machineFromTools, parseNumactlHardware, preset, presets } from "@kreplica/machines";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

const fixture = (name: string): string => readFileSync(new URL(`../fixtures/machine/${name}`, import.meta.url), "utf8");
const parse = (text: string) => parseNumactlHardware(new TextLines("box.txt", text));
const haswell = preset("e5-2690v3-2s")!;

interface Drawn {
  nodes: { id: number; cpus: number[]; mebibytes: number }[];
  distance: number[][];
}

/** Machines as numactl may meet them: gaps in the ids, nodes without CPUs or without memory, 255. */
const drawn: fc.Arbitrary<Drawn> = fc
  .uniqueArray(fc.nat(63), { minLength: 1, maxLength: 6, size: "max" })
  .chain((ids) => {
    const sorted = [...ids].sort((a, b) => a - b);
    return fc
      .record({
        owners: fc.array(fc.nat(ids.length - 1), { minLength: 1, maxLength: 30, size: "max" }),
        mebibytes: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 999_999 })), {
          minLength: ids.length,
          maxLength: ids.length,
        }),
        far: fc.array(
          fc.array(fc.oneof(fc.integer({ min: 11, max: 254 }), fc.constant(255)), {
            minLength: ids.length,
            maxLength: ids.length,
          }),
          { minLength: ids.length, maxLength: ids.length },
        ),
      })
      .map(({ owners, mebibytes, far }) => ({
        nodes: sorted.map((id, i) => ({
          id,
          cpus: owners.flatMap((owner, cpu) => (owner === i ? [cpu * 3] : [])),
          mebibytes: mebibytes[i]!,
        })),
        distance: far.map((row, i) => row.map((value, j) => (i === j ? 10 : value))),
      }));
  });

/** As numactl prints it, with what varies between its versions and between terminals. */
function printed({ nodes, distance }: Drawn, pad: number, foldAt: number, noise: boolean, ending: string): string {
  const ids = nodes.map((node) => node.id);
  const fold = (words: number[]): string =>
    words.map((word, i) => (i > 0 && i % foldAt === 0 ? `\n      ${word}` : ` ${word}`)).join("");
  const cell = (value: number): string => ` ${String(value).padStart(pad)}`;
  return [
    ...(noise ? ["user@host:~$ numactl -H"] : []),
    `available: ${ids.length} nodes (${ids.join(",")})`,
    ...nodes.flatMap((node) => [
      `node ${node.id} cpus:${fold(node.cpus)}`,
      `node ${node.id} size: ${node.mebibytes} MB`,
      ...(noise ? [`node ${node.id} free: 0 MB`] : []),
    ]),
    "node distances:",
    `node ${ids.map(cell).join("")}${noise ? " " : ""}`,
    ...distance.map((row, i) => `${String(ids[i]).padStart(pad)}: ${row.map(cell).join("")}`),
    ...(noise ? ["user@host:~$ "] : []),
  ]
    .join("\n")
    .replaceAll("\n", ending);
}

test("what was printed is read back: gaps in the ids, empty nodes, any padding, folded lists, any line ending", () => {
  fc.assert(
    fc.property(
      drawn,
      fc.nat(3),
      fc.integer({ min: 2, max: 40 }),
      fc.boolean(),
      fc.constantFrom("\n", "\r\n"),
      (machine, pad, foldAt, noise, ending) => {
        const read = parse(printed(machine, pad, foldAt, noise, ending));
        expect(read.distance).toEqual(machine.distance);
        expect(read.nodes).toEqual(
          machine.nodes.map(({ id, cpus, mebibytes }) => ({ id, cpus, memoryBytes: mebibytes * 2 ** 20 })),
        );
      },
    ),
  );
});

describe("faults name the line and the field", () => {
  const lines = fixture("haswell-2s.numactl.txt").split("\n");
  const with_ = (index: number, text: string | undefined): string =>
    lines.flatMap((line, i) => (i !== index ? [line] : text === undefined ? [] : [text])).join("\n");
  test.each<[string, string, RegExp]>([
    ["size is no number", with_(3, "node 0 size: plenty"), /^box\.txt:4: node 0 size: "plenty" is not a size/],
    ["size missing", with_(3, undefined), /^box\.txt:3: node 0 size: missing/],
    ["size twice", with_(4, "node 0 size: 5 MB"), /^box\.txt:5: node 0 size: given twice/],
    ["CPUs are no numbers", with_(2, "node 0 cpus: 0 1 two"), /^box\.txt:3: node 0 cpus: not a list of CPU numbers/],
    ["CPU too high", with_(2, "node 0 cpus: 0 4096"), /^box\.txt:3: node 0 cpus/],
    ["node twice", with_(5, "node 0 cpus: 7"), /^box\.txt:6: node 0 cpus: the node is listed twice/],
    ["node id too high", with_(5, "node 252 cpus:"), /^box\.txt:6: node 252 cpus: node ids go from 0 to 63/],
    ["a node is missing", with_(5, undefined), /^box\.txt:2: available: node 1 has no line/],
    [
      "a node too many",
      with_(1, "available: 1 nodes (0)"),
      /^box\.txt:6: node 1 cpus: node 1 is not among the available/,
    ],
    ["counts differ", with_(1, "available: 3 nodes (0-1)"), /^box\.txt:2: available: 3 nodes, but 2 are named/],
    ["a second output", [...lines, ...lines].join("\n"), /^box\.txt:15: available: a second output/],
    ["distances missing", with_(8, undefined), /^box\.txt: node distances: the table is missing/],
    ["heading missing", with_(9, undefined), /^box\.txt:10: node distances: no heading/],
    ["columns of other nodes", with_(9, "node 0 2"), /^box\.txt:10: node distances: columns 0 2 are not the nodes 0 1/],
    ["row missing", with_(11, undefined), /node distances, row 1: missing/],
    ["row too short", with_(11, "  1:  21"), /^box\.txt:12: node distances, row 1: 1 figures for 2 nodes/],
    ["no distance", with_(11, "  1:  21  x"), /^box\.txt:12: node distances, row 1, column 1: "x" is not a distance/],
    ["below 10", with_(10, "  0:  10  9"), /^box\.txt:11: node distances, row 0, column 1: "9" is not/],
    ["above 255", with_(10, "  0:  10  256"), /^box\.txt:11: node distances, row 0, column 1/],
    ["not 10 to itself", with_(10, "  0:  11  21"), /^box\.txt:11: node distances, row 0, column 0/],
    ["10 to another", with_(10, "  0:  10  10"), /^box\.txt:11: node distances, row 0, column 1/],
    ["no NUMA", "No NUMA support available on this system.", /^box\.txt:1: numactl found no NUMA/],
    ["nothing", "available: 0 nodes ()", /^box\.txt:1: no line `node N cpus:`/],
  ])("%s", (_what, text, message) => {
    expect(() => parse(text)).toThrow(new RegExp(message, "m"));
  });

  test("all of them at once, from the first line to the last, and no more than twenty spelt out", () => {
    const wrong = lines
      .map(
        (line, i) =>
          ({
            2: "node 0 cpus: 0 x",
            3: "node 0 size: plenty",
            6: "node 1 size: none",
            10: "  0:  10  9",
            11: "  1:  21  11",
          })[i] ?? line,
      )
      .join("\n");
    let message = "";
    try {
      parse(wrong);
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message.split("\n").map((each) => each.slice(0, 34))).toEqual([
      expect.stringContaining("box.txt:3: node 0 cpus: not a"),
      expect.stringContaining('box.txt:4: node 0 size: "plenty"'),
      expect.stringContaining('box.txt:7: node 1 size: "none"'),
      expect.stringContaining("box.txt:11: node distances, row 0"),
      expect.stringContaining("box.txt:12: node distances, row 1"),
    ]);
    const many = Array.from({ length: 30 }, (_, id) => `node ${id} cpus: x`).join("\n");
    try {
      parse(`available: 30 nodes (0-29)\n${many}`);
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message.split("\n")).toHaveLength(21);
    // A size is missing of each, too; and there are no distances.
    expect(message.split("\n").at(-1)).toBe("and 41 more");
  });
});

describe("rows broken by a narrow terminal", () => {
  const box: Drawn = {
    nodes: [0, 1, 2].map((id) => ({ id, cpus: Array.from({ length: 40 }, (_, i) => id * 40 + i), mebibytes: 4096 })),
    distance: [
      [10, 21, 31],
      [21, 10, 31],
      [31, 31, 10],
    ],
  };
  const whole = printed(box, 3, 1000, false, "\n");

  test("between numbers are read, in the table of distances too", () => {
    const folded = whole.replace(/^node +0 +1 +2$/m, "node   0   1\n  2").replace(/^( *\d: +\d+ +\d+) +/gm, "$1\n ");
    expect(folded.split("\n").length).toBe(whole.split("\n").length + 4);
    expect(parse(folded).distance).toEqual(box.distance);
  });

  test("inside a number are refused where that is, at every width that does it", () => {
    let broken = 0;
    for (let width = 30; width < 110; width++) {
      const lines = whole
        .split("\n")
        .flatMap((line) => (/cpus:/.test(line) ? line.match(new RegExp(`.{1,${width}}`, "g"))! : [line]));
      const cut = lines.findIndex((line, i) => /^\d/.test(line) && /\d$/.test(lines[i - 1]!));
      if (cut < 0) {
        expect(parse(lines.join("\n")).nodes.map((node) => node.cpus)).toEqual(box.nodes.map((node) => node.cpus));
        continue;
      }
      broken++;
      const [, end] = /(\d+)$/.exec(lines[cut - 1]!)!;
      const [, begin] = /^(\d+)/.exec(lines[cut]!)!;
      expect(() => parse(lines.join("\n")), `${width}`).toThrow(
        `box.txt:${cut + 1}: node ${
          /^node (\d)/.exec(
            lines
              .slice(0, cut)
              .filter((line) => line.startsWith("node"))
              .at(-1)!,
          )![1]!
        } cpus: the list is broken inside a number: ${end!} at the end of the line before and ${begin!} here are ${end!}${begin!}. Join the lines`,
      );
    }
    expect(broken).toBeGreaterThan(20);
  });

  test("inside a number, where that gives another number: the list that goes on is suspected", () => {
    expect(() =>
      parse(
        "node 0 cpus: 0 1\n5 20\nnode 0 size: 9 MB\nnode 1 cpus: 1 3\nnode 1 size: 9 MB\nnode distances:\nnode 0 1\n0: 10 21\n1: 21 10\n",
      ),
    ).toThrow(
      /^box\.txt:4: node 1 cpus: CPU 1 is listed twice, here and in node 0; perhaps the list of node 0, which goes on in the next line, was broken inside a number\. Join the lines/,
    );
    expect(() =>
      parse(
        "node 0 cpus: 0\nnode 0 size: 9 MB\nnode 1 cpus: 1\nnode 1 size: 9 MB\nnode distances:\nnode 0 1\n0: 10 2\n1\n1: 21 10\n",
      ),
    ).toThrow(
      /^box\.txt:7: node distances, row 0: 3 figures for 2 nodes; perhaps the row, which goes on in the next line, was broken inside a number/,
    );
  });
});

test("a one-node machine needs no distances", () => {
  expect(
    parse(
      "available: 1 nodes (0)\nnode 0 cpus: 0 1\nnode 0 size: 512 MB\nnode 0 free: 1 MB\nNo distance information available.",
    ).distance,
  ).toEqual([[10]]);
});

test("distances are scaled along the base's own points, not in proportion", () => {
  const machine = machineFromTools(fixture("haswell-2s.numactl.txt"), "box.txt", "box", haswell);
  // (101.0 + 98.8) / 2 local and (132.0 + 141.2) / 2 remote.
  expect(machine.latencyNs).toEqual([
    [99.9, 136.6],
    [136.6, 99.9],
  ]);
  expect(machine.bandwidthMBs).toEqual([
    [57_936, 30_265],
    [30_265, 57_936],
  ]);
  expect(machine.cpus).toEqual(haswell.cpus);
  expect(machine.nodes[0]!.memoryBytes).toBe(64260 * 2 ** 20);
  expect(machine.provisional).toBe(true);
  expect(machine.sources.join()).toContain("line through e5-2690v3-2s's 10: 99.9 ns, 21: 136.6 ns");
  expect([machine.l3, machine.costs]).toEqual([haswell.l3, haswell.costs]);
});

test("a preset printed by numactl and read on itself has its own latencies, where each distance has one", () => {
  const oneEach = presets.filter(({ distance, latencyNs }) =>
    distance.every((row, i) =>
      row.every((there, j) =>
        distance.every((other, k) => other.every((same, l) => same !== there || latencyNs[k]![l] === latencyNs[i]![j])),
      ),
    ),
  );
  expect(oneEach.map((each) => each.name)).toEqual(
    expect.arrayContaining(["epyc-7713-2s", "xeon-8280-4s", "xeon-8260-8s", "tiny-2-node"]),
  );
  for (const base of oneEach) {
    const text = printed(
      {
        nodes: base.nodes.map((node) => ({
          id: node.id,
          mebibytes: node.memoryBytes / 2 ** 20,
          cpus: base.cpus.filter((cpu) => cpu.node === node.id).map((cpu) => cpu.id),
        })),
        distance: base.distance.map((row) => [...row]),
      },
      1,
      1000,
      false,
      "\n",
    );
    const read = machineFromTools(text, "box.txt", "box", base);
    expect(read.distance, base.name).toEqual(base.distance);
    expect(read.latencyNs, base.name).toEqual(base.latencyNs);
    expect(read.bandwidthMBs, base.name).toEqual(base.bandwidthMBs);
    expect(read.cpus, base.name).toEqual(base.cpus);
  }
});

test("farther is never nearer: latency rises, bandwidth falls with the distance, on every base", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...presets.filter((each) => each.name !== "xeon-8260-8s")),
      fc.integer({ min: 11, max: 253 }),
      (base, distance) => {
        const text = (far: number): string =>
          `node 0 cpus: 0\nnode 0 size: 512 MB\nnode 1 cpus: 1\nnode 1 size: 512 MB\nnode distances:\nnode 0 1\n0: 10 ${far}\n1: ${far} 10\n`;
        const near = machineFromTools(text(distance), "f", "m", base);
        const far = machineFromTools(text(distance + 1), "f", "m", base);
        expect(far.latencyNs[0]![1]).toBeGreaterThan(near.latencyNs[0]![1]!);
        expect(far.bandwidthMBs[0]![1]).toBeLessThanOrEqual(near.bandwidthMBs[0]![1]!);
        expect(far.bandwidthMBs[0]![1]).toBeGreaterThan(0);
      },
    ),
  );
});

test("sub-NUMA nodes share a socket, memory-only nodes have none, L3s are as large as the base's", () => {
  const machine = machineFromTools(fixture("genoa-cxl.numactl.txt"), "box.txt", "box", preset("epyc-7713-2s")!);
  expect(checkMachine(machine)).toEqual([]);
  const socketOf = (node: number) => [
    ...new Set(machine.cpus.filter((cpu) => cpu.node === node).map((cpu) => cpu.socket)),
  ];
  expect([0, 1, 2, 3, 4].map(socketOf)).toEqual([[0], [0], [1], [1], []]);
  // 12 cores a node in L3s of 8: two a node, one of them half full.
  expect(new Set(machine.cpus.map((cpu) => cpu.l3)).size).toBe(8);
  expect(machine.latencyNs[0]![4]).toBeGreaterThan(machine.latencyNs[0]![2]!);
  expect(machine.latencyNs[4]![0]).toBe(machine.latencyNs[0]![4]); // 255 back: nobody is there to ask
});

test("sparse ids, a memoryless node, interleaved CPU numbers", () => {
  const machine = machineFromTools(fixture("sparse.numactl.txt"), "box.txt", "box", haswell);
  expect(checkMachine(machine)).toEqual([]);
  expect(machine.nodes).toEqual([
    { id: 0, memoryBytes: 0 },
    { id: 2, memoryBytes: 32768 * 2 ** 20 },
    { id: 8, memoryBytes: 16382 * 2 ** 20 },
  ]);
  expect(machine.cpus.map((cpu) => cpu.node)).toEqual(Array.from({ length: 16 }, (_, id) => (id % 2 === 0 ? 0 : 2)));
  expect(new Set(machine.cpus.map((cpu) => cpu.core)).size).toBe(16);
});

test("two equal runs of CPUs are siblings only on a base with two threads a core", () => {
  const text =
    "node 0 cpus: 0 1 4 5\nnode 0 size: 512 MB\nnode 1 cpus: 2 3 6 7\nnode 1 size: 512 MB\nnode distances:\nnode 0 1\n0: 10 21\n1: 21 10\n";
  expect(machineFromTools(text, "f", "m", haswell).cpus.map((cpu) => cpu.core)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  expect(machineFromTools(text, "f", "m", preset("xeon-8260-8s")!).cpus.map((cpu) => cpu.core)).toEqual([
    0, 1, 4, 5, 2, 3, 6, 7,
  ]);
  // Not equal runs: every CPU a core.
  const uneven = text.replace("0 1 4 5", "0 1 4 8");
  expect(machineFromTools(uneven, "f", "m", haswell).cpus.map((cpu) => cpu.core)).toEqual([0, 1, 4, 5, 2, 4, 5, 3]);
});
