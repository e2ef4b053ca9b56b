/** A small map: two states of one kind of cache, two distances by two sizes; and a small explanation. */
import type { DrawnMap, Explanation } from "../src/index.js";

const CELLS = [
  [1, 1024, 0.04],
  [1, 2048, -3],
  [2, 1024, 5],
  [2, 2048, 7],
] as const;

/** The document. */
export const smallMap: DrawnMap = {
  policy: "per-node",
  test: "kill",
  cells: (["cold", "hot"] as const).flatMap((cache) =>
    CELLS.map(([farOverNear, l2Bytes, gain]) => ({
      cache,
      inclusion: "inclusive",
      farOverNear,
      l2Bytes,
      gainPercent: cache === "cold" ? gain : -gain,
    })),
  ),
  processors: [
    { name: "mine & yours", l2Bytes: 1100, farOverNear: 1.9, inclusion: "inclusive" },
    { name: "other", l2Bytes: 900, farOverNear: 2.1, inclusion: "inclusive" },
    { name: "third", l2Bytes: 5000, farOverNear: 0, inclusion: "inclusive" },
  ],
  sentences: ["cold, L3 inclusive: 2 of 4 places gain.", "All <modelled>."],
};

const causes = [
  { cause: "load on the link", value: 0.834, nearest: null, plausible: false },
  { cause: "inclusion", value: "victim", nearest: null, plausible: false },
  { cause: "far/near ratio", value: 1.537, nearest: null, plausible: true },
  { cause: "L2 size", value: 524_288, nearest: null, plausible: false },
  { cause: "layout", value: null, nearest: { percent: 21.23 }, plausible: null },
  { cause: "single-shot noise", value: 4479.6, nearest: null, plausible: true },
  { cause: "run-ahead", value: null, nearest: null, plausible: null },
];

/** The document. */
export const smallExplanation: Explanation = {
  source: "by <somebody>",
  figures: [
    {
      test: "kill",
      cache: "cold",
      reportedPercent: 26.1,
      modelledPercent: 22.14,
      within: true,
      outOfReach: false,
      causes,
      smallest: "far/near ratio",
    },
    {
      test: "mount",
      cache: "hot",
      reportedPercent: 8.7,
      modelledPercent: 0.04,
      within: false,
      outOfReach: true,
      causes,
      smallest: null,
    },
  ],
  sensitivity: [
    {
      parameter: "latency of L2 and L3",
      range: "0.5 to 1.5 times",
      cold: { low: 22.13, high: 62.94 },
      hot: { low: -0.24, high: -0.16 },
    },
  ],
  sentences: ["1 of 2 <reported> gains lie within the modelled gain's limits."],
};
