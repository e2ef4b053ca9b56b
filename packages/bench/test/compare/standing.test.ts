/** Whom the one CPU stands for: relations and distances by hand, and the sentence on the screen. */
import { preset } from "@kreplica/machines";
import { standingOf } from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";

const own = { nearest: (node: number) => node };

describe("nodes of a machine with sub-NUMA clusters, seen from the image's", () => {
  const spec = preset("xeon-8260-8s")!;
  const { own: here, nodes } = standingOf(spec, { cpu: 12, masterNode: 0, dataNode: 1 }, own);

  test("the default CPU's is in the same socket, at that socket's latency; the others are told apart", () => {
    expect(here).toEqual({
      node: 1,
      relation: "same socket",
      imageNs: spec.latencyNs[1]![0],
      copyNs: spec.latencyNs[1]![1],
      copyOn: 1,
      cpu: 12,
    });
    expect(nodes.map(({ relation }) => relation)).toEqual([
      "same node",
      "same socket",
      ...Array.from({ length: 14 }, () => "other socket"),
    ]);
    expect(Math.max(...nodes.map(({ imageNs }) => imageNs))).toBe(200);
    // --cpu with each shows that node.
    for (const { node, cpu } of nodes) expect(spec.cpus.find((each) => each.id === cpu)!.node).toBe(node);
  });
});

test("a node without a copy is said to use another's", () => {
  const spec = preset("xeon-8280-4s")!;
  const { view } = boot({ spec, policy: "every-nth" });
  const { own: here } = standingOf(spec, { cpu: 28, masterNode: 0, dataNode: 1 }, view);
  expect(here).toMatchObject({ node: 1, relation: "other socket", copyOn: view.nearest(1) });
  expect(here.copyOn).not.toBe(1);
});
