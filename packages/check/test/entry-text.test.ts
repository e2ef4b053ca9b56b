/**
 * The family of the entry text: with joins that forget user halves, as they were, B11 speaks at once; as it is, nothing
 * does.
 */
import { bind, inject, injectable, plugin, token, type Plugin } from "@kreplica/di";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { KernelLayout } from "@kreplica/mm-core";
import { SetMemory } from "@kreplica/set-memory";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import type { CheckFailure } from "../src/check-failure.js";
import { entryTextFamily, type EntryTextOperation } from "../src/families/entry-text.js";
import { processFamily } from "../src/families/processes.js";

const kernel = (policy: string, pcid = true, plugins: readonly Plugin[] = []) => ({
  spec: smallMachine(2),
  policy,
  image: smallImage(),
  pti: true,
  pcid,
  plugins,
});

/** M3: only kernel halves are joined. */
@injectable()
class KernelHalvesOnly {
  constructor(@inject(SetMemory) setMemory: SetMemory, @inject(KernelLayout) layout: KernelLayout) {
    const join = setMemory.join.bind(setMemory);
    const pti = layout.pti;
    setMemory.join = (range) => {
      (layout as { pti: boolean }).pti = false;
      try {
        return join(range);
      } finally {
        (layout as { pti: boolean }).pti = pti;
      }
    };
  }
}
const m3 = plugin("M3", [bind(token<KernelHalvesOnly>("test/M3"), KernelHalvesOnly)]);
const steps: EntryTextOperation[] = [
  { op: "entrysplit", page: 0 },
  { op: "entryfetch", cpu: 0, half: "kernel" },
  { op: "entryjoin" },
  { op: "entryfetch", cpu: 2, half: "kernel" },
];
const outcome = (options: ReturnType<typeof kernel>): string => {
  try {
    new CheckedSystem(options, { families: [processFamily, entryTextFamily] }).run(steps);
  } catch (error) {
    return (error as CheckFailure).message;
  }
  return "nothing";
};

describe.each(["single-copy", "per-node", "lazy-pgd"])("%s", (policy) => {
  test.each([true, false])("pcid=%s: a join of kernel halves alone is caught in one step", (pcid) => {
    expect(outcome(kernel(policy, pcid))).toBe("nothing");
    expect(outcome(kernel(policy, pcid, [m3]))).toMatch(
      /^B11: the user half of (the boot table|node 0), slot [\d/]+, leads to frame \d+ as a table of level 1, which is free/,
    );
  });
});

test("a campaign draws it, and finds nothing in the kernel as it is", () => {
  const run = (plugins: readonly Plugin[]) =>
    campaign({
      runs: 6,
      steps: 40,
      seed: 5,
      comparison: "off",
      families: [entryTextFamily],
      kernels: [kernel("per-node", true, plugins)],
    });
  expect(run([]).violations).toEqual([]);
  const [found] = run([m3]).violations;
  expect(found?.invariant).toBe("B11");
  // What is split is joined when the run is undone.
  expect(found!.operations.map(({ op }) => op)).toEqual(["entrysplit"]);
});
