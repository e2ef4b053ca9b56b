/**
 * The picture of a machine's topology: every box once, inside the one around it; well-formed; nothing foreign in it.
 */
import { expect, test } from "vitest";
import type { DrawnMachine } from "../src/index.js";
import { topologyPicture } from "../src/index.js";

const cpu = (id: number, core: number, l3: number, node: number, socket: number) => ({ id, core, l3, node, socket });
const machine: DrawnMachine = {
  name: "box<1>",
  description: 'two sockets & "more"',
  nodes: [
    { id: 0, memoryBytes: 2 ** 32 },
    { id: 1, memoryBytes: 0 },
    { id: 3, memoryBytes: 2 ** 33 },
  ],
  cpus: [cpu(0, 0, 0, 0, 0), cpu(4, 0, 0, 0, 0), cpu(1, 1, 0, 0, 0), cpu(2, 2, 1, 1, 1), cpu(3, 3, 2, 1, 1)],
  l2: { bytes: 2 ** 18 },
  l3: { bytes: 2 ** 24 },
  latencyNs: [
    [90, 140, 300],
    [140, 90, 300],
    [300, 300, 200],
  ],
};

/** Rectangles by their class. */
const boxes = (svg: string, kind: string): { x: number; y: number; right: number; below: number }[] =>
  [
    ...svg.matchAll(
      new RegExp(`<rect class="${kind}" x="([\\d.]+)" y="([\\d.]+)" width="([\\d.]+)" height="([\\d.]+)"`, "g"),
    ),
  ].map(([, x, y, width, height]) => ({
    x: Number(x),
    y: Number(y),
    right: Number(x) + Number(width),
    below: Number(y) + Number(height),
  }));

test("boxes: how many, each inside one of the next larger kind, none over another of its kind", () => {
  const svg = topologyPicture(machine);
  const kinds = ["core", "l3", "node", "socket", "machine"] as const;
  expect(kinds.map((kind) => boxes(svg, kind).length)).toEqual([4, 3, 2, 2, 1]);
  expect(boxes(svg, "memory")).toHaveLength(1);
  for (const [i, kind] of kinds.slice(0, -1).entries())
    for (const inner of boxes(svg, kind))
      expect(
        boxes(svg, kinds[i + 1]!).filter(
          (outer) =>
            outer.x <= inner.x && outer.y <= inner.y && outer.right >= inner.right && outer.below >= inner.below,
        ),
      ).toHaveLength(1);
  for (const kind of kinds)
    for (const [i, one] of boxes(svg, kind).entries())
      for (const other of boxes(svg, kind).slice(i + 1))
        expect(one.right <= other.x || other.right <= one.x || one.below <= other.y || other.below <= one.y).toBe(true);
});

test("texts: memory, CPUs, what has none; letters that mean something are written out", () => {
  const svg = topologyPicture(machine);
  expect(svg).toContain("box&lt;1&gt;: two sockets &amp; &quot;more&quot;");
  for (const text of [
    "node 0: 4 GiB, 90.0 ns",
    "node 1: no memory",
    "node 3: 8 GiB",
    "0, 4",
    "L3 1: 16 MiB, L2 256 KiB a core",
  ])
    expect(svg).toContain(`>${text}<`);
  expect(svg).not.toMatch(/<script|href|url\(|on\w+=/);
  expect(svg.match(/<g>/g)!.length).toBe(svg.match(/<\/g>/g)!.length);
});
