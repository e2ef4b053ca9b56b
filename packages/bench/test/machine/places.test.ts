/**
 * Sockets and cores: guessed from distances and CPU numbers, and then said to be a guess; or read from a copy of sysfs,
 * and then not.
 */
import { machineDocument, preset, presets, socketGroups } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { machineFromText } from "../../src/inputs/machine/load.js";
import { machineText } from "../../src/report/machine.js";
import { screenFor } from "../../src/report/terminal.js";

const haswell = preset("e5-2690v3-2s")!;
const screen = screenFor({}, {});
/** As numactl prints it, four CPUs a node. */
const numactl = (
  distance: readonly (readonly number[])[],
  cpus = (id: number): string => `${4 * id} ${4 * id + 1} ${4 * id + 2} ${4 * id + 3}`,
): string =>
  [
    ...distance.flatMap((_, id) => [`node ${id} cpus: ${cpus(id)}`, `node ${id} size: 8192 MB`]),
    "node distances:",
    `node ${distance.map((_, id) => id).join(" ")}`,
    ...distance.map((row, id) => `${id}: ${row.join(" ")}`),
  ].join("\n");
const socketsOf = (text: string): number[] => {
  const { nodes, cpus } = machineFromText(text, "box.txt", haswell);
  return nodes.map(({ id }) => cpus.find((cpu) => cpu.node === id)?.socket ?? -1);
};
/** Blocks of nodes: within a block one distance, between blocks another. */
const blocks = (count: number, size: number, within: number, between: number): number[][] =>
  Array.from({ length: count * size }, (_, i) =>
    Array.from({ length: count * size }, (_unused, j) =>
      i === j ? 10 : Math.floor(i / size) === Math.floor(j / size) ? within : between,
    ),
  );

describe("sockets from distances", () => {
  test("three clusters a socket, the way back another distance: two sockets, not one a node", () => {
    // Numbers as of a Xeon 6 with SNC3, permuted.
    expect(
      socketsOf(
        numactl([
          [10, 17, 15, 26, 23, 28],
          [17, 10, 15, 21, 23, 26],
          [15, 15, 10, 23, 26, 21],
          [26, 21, 23, 10, 15, 17],
          [23, 26, 28, 15, 10, 15],
          [28, 23, 21, 17, 15, 10],
        ]),
      ),
    ).toEqual([0, 0, 0, 1, 1, 1]);
  });

  test.each<[string, number[][], number[]]>([
    ["halves at 11", blocks(2, 2, 11, 21), [0, 0, 1, 1]],
    ["quarters at 12, others at 32", blocks(2, 4, 12, 32), [0, 0, 0, 0, 1, 1, 1, 1]],
    ["dies at 16, others at 32", blocks(2, 4, 16, 32), [0, 0, 0, 0, 1, 1, 1, 1]],
    ["all at 16, nothing to tell them by", blocks(1, 4, 16, 16), [0, 1, 2, 3]],
    ["two at 17", blocks(1, 2, 17, 17), [0, 1]],
    [
      "a ring of four",
      [
        [10, 16, 24, 16],
        [16, 10, 16, 24],
        [24, 16, 10, 16],
        [16, 24, 16, 10],
      ],
      [0, 1, 2, 3],
    ],
    ["a full mesh at 21", blocks(4, 1, 10, 21), [0, 1, 2, 3]],
    [
      "groups of unequal size",
      [
        [10, 15, 15, 25],
        [15, 10, 15, 25],
        [15, 15, 10, 25],
        [25, 25, 25, 10],
      ],
      [0, 1, 2, 3],
    ],
    [
      "near one way only",
      [
        [10, 15, 28, 28],
        [25, 10, 28, 28],
        [28, 28, 10, 15],
        [28, 28, 25, 10],
      ],
      [0, 1, 2, 3],
    ],
  ])("%s", (_what, distance, expected) => {
    expect(socketsOf(numactl(distance))).toEqual(expected);
  });

  test("distances made from latencies say less: four fully meshed sockets, two by two a bit nearer, stay four", () => {
    const distance = blocks(2, 2, 14, 21);
    expect(
      socketGroups(
        distance.map(() => ({ cpus: [1] })),
        distance,
        false,
      ).group,
    ).toEqual([0, 1, 2, 3]);
    expect(
      socketGroups(
        distance.map(() => ({ cpus: [1] })),
        distance,
        true,
      ).group,
    ).toEqual([0, 0, 2, 2]);
  });
});

test("a guess is said to be one, with its rule, beside the numbers; a preset's places are none", () => {
  const machine = machineFromText(numactl(blocks(2, 2, 15, 28)), "box.txt", haswell);
  expect(machine.assumedTopology).toBe(
    "sockets, from distances: nodes below distance 20 from each other, both ways, are one; cores, from CPU numbers: two equally long runs of CPUs are threads of the same cores, all else is a core each",
  );
  const text = machineText(machine, screen);
  expect(text).toContain("2 sockets ~, 16 cores ~, 16 CPUs");
  expect(text.replace(/\s+/g, " ")).toContain("~ a guess: sockets, from distances: nodes below distance 20");
  expect(machineText(machineFromText("node 0 cpus: 0\nnode 0 size: 9000 MB\n", "f", haswell), screen)).toContain(
    "1 socket ~",
  );
  for (const each of presets) expect(machineText(each, screen), each.name).not.toContain("a guess");
  // It survives being written to JSON.
  expect(machineFromText(JSON.stringify(machineDocument(machine)), "m.json", haswell).assumedTopology).toBe(
    machine.assumedTopology,
  );
});

test("MLC alone: its sockets are a guess, its cores the base's", () => {
  const machine = machineFromText(
    "Measuring idle latencies (in ns)...\n Numa node\nNuma node 0 1\n 0 106.9 106.9\n 1 107.2 107.2\n",
    "mlc.txt",
    haswell,
  );
  expect(machine.assumedTopology).toBe(
    "sockets, from distances: nodes within distance 12 of each other, either way, are one",
  );
});

describe("a paste that begins with the shell's prompt", () => {
  const text = numactl(blocks(2, 2, 11, 21));
  test.each([
    "[root@box ~]# numactl -H",
    "[user@box dir]$ numactl --hardware",
    "[box]% numactl -H",
    "  [root@box ~]# numactl -H",
    "{box} # numactl -H",
    "root@box:~# numactl -H",
    "$ numactl -H",
    "[me@box]> ssh other numactl -H",
  ])("%s", (prompt) => {
    expect(machineFromText(`${prompt}\n${text}\n[root@box ~]# `, "box.txt", haswell)).toEqual(
      machineFromText(text, "box.txt", haswell),
    );
    const mlc =
      "Intel(R) Memory Latency Checker - v3.9\nMeasuring idle latencies (in ns)...\n Numa node\nNuma node 0 1\n 0 80 130\n 1 131 81\n";
    expect(machineFromText(`${prompt}\n${mlc}[root@box ~]#`, "box.txt", haswell)).toEqual(
      machineFromText(mlc, "box.txt", haswell),
    );
  });

  test("JSON stays JSON, wrong as it may be", () => {
    expect(() => machineFromText('{ "base": "tiny-2-node", # mine\n}', "m.json", haswell)).toThrow(
      /m\.json:1: a field's name expected/,
    );
    expect(() => machineFromText('["numactl # 1"]', "m.json", haswell)).toThrow(/not an object/);
    expect(() => machineFromText("[1, 2\n# node 0 cpus: 1\n", "m.json", haswell)).toThrow(
      /m\.json:2: "," or "\]" expected/,
    );
  });

  test("a prompt and nothing known behind it", () => {
    expect(() => machineFromText("[root@box ~]# uname -m\nx86_64\n", "box.txt", haswell)).toThrow(
      /not a machine in any known format/,
    );
  });
});
