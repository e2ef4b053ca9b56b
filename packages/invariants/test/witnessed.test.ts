/** What a witness saw of a boot, step by step, changed in one thing. */
import { describe, expect, test } from "vitest";
import { checkInvariants, findings, invariantOf, type StepSeen, Subject } from "../src/index.js";
import { R1, said, sound, view, witness } from "./planted.js";

describe("what was seen while booting", () => {
  const at = (step: string) => witness.steps.findIndex((each) => each.step === step);
  test.each<readonly [id: string, step: string, seen: Partial<StepSeen>, says: string]>([
    [
      "H1",
      "mm-core-init",
      { ownText: true },
      "text was some node's own at mm-core-init, before the step that replicates it",
    ],
    [
      "H1",
      "load-image",
      { ownText: true },
      "text was some node's own at load-image, before the step that replicates it",
    ],
    ["H1", "numa-replicate-kernel", { ownText: false }, "text was not every node's own at numa-replicate-kernel"],
    ["H1", "running", { ownText: false }, "text was not every node's own at running"],
    ["H1", "initcalls", { copyFrames: 7 }, "7 frames were taken for copies at initcalls, 1029 when room was reserved"],
    [
      "H2",
      "mark-rodata-ro",
      { ownRodata: true },
      "rodata was some node's own at mark-rodata-ro, while it could still be written",
    ],
    ["H2", "numa-replicate-rodata", { ownRodata: false }, "rodata was not every node's own at numa-replicate-rodata"],
    [
      "H3",
      "numa-replicate-kernel",
      { sameRodata: false },
      "at numa-replicate-kernel nodes mapped different frames for rodata: what was written then is not seen everywhere",
    ],
    ["H4", "mm-core-init", { holders: [0, 1] }, "nodes 0, 1 held copies at mm-core-init, before there were any"],
    ["H4", "running", { holders: [0] }, "there were no copies any more at running"],
    ["H4", "smp-init", { equalText: false }, "text was given out at smp-init before all copies held it"],
    ["I4", "numa-replicate-kernel", { holders: [1] }, "nodes 1 held copies when room was reserved, now 0, 1"],
  ])("%s: %s %o", (id, step, seen, says) => {
    const was = witness.steps[at(step)]!;
    witness.steps[at(step)] = { ...was, ...seen };
    expect(said(id)).toEqual([says]);
    witness.steps[at(step)] = was;
    expect(said(id)).toEqual([]);
    // What belongs to other steps is nothing wrong.
    expect(said("H3")).toEqual([]);
  });

  test("H2: extable is sorted before rodata is copied, which is read-only by then, and no user is there yet", () => {
    for (const [earlier, later] of [
      ["sort-extable", "numa-replicate-rodata"],
      ["mark-rodata-ro", "numa-replicate-rodata"],
      ["numa-replicate-rodata", "running"],
    ] as const) {
      const steps = [...witness.steps];
      const [moved] = steps.splice(at(earlier), 1);
      const swapped = Object.assign(Object.create(witness) as typeof witness, { steps: [...steps, moved!] });
      const found = findings([invariantOf("H2")], new Subject({ ...sound, witness: swapped }));
      expect(found.map(({ detail }) => detail)).toContain(`${earlier} came after ${later}`);
    }
  });

  test("copies that come later are there at no step; without them nothing more is asked of text", () => {
    const later = { view: view({ copyHolders: [0], copies: { text: false, rodata: true } }) };
    const steps = witness.steps.map((each) => ({ ...each, ownText: false, copyFrames: 0 }));
    const seen = (changed: Partial<StepSeen>) =>
      said("H1", {
        ...later,
        witness: Object.assign(Object.create(witness) as typeof witness, {
          steps: steps.map((each) => (each.step === "smp-init" ? { ...each, ...changed } : each)),
        }),
      });
    expect(seen({})).toEqual([]);
    expect(seen({ copyFrames: 1 })).toEqual(["copies that come later were there at smp-init"]);
    expect(seen({ ownText: true })).toEqual(["copies that come later were there at smp-init"]);
  });

  test("B7, B9, B10: a root given out early, tables too many or too few, a change that the booting CPU saw", () => {
    witness.earlyRoots.push({ step: "trap-init", node: 1, root: R1 });
    expect(said("B7")).toEqual([`at trap-init, node 1 was given root ${R1} and not the boot table`]);
    witness.earlyRoots.pop();
    expect(said("B7")).toEqual([]);
    witness.tablesAfterClone.set(1, 3);
    expect(said("B9")).toEqual(["node 1 had 3 private tables to its window after the clone, not 4"]);
    witness.tablesAfterClone.set(1, 4);
    witness.changeByReplication.push("page 7");
    expect(said("B10")).toEqual(["page 7"]);
    witness.changeByReplication.pop();
    expect([said("B9"), said("B10")]).toEqual([[], []]);
  });

  test("what only a witness knows is not reached without one", () => {
    const kernel = { ...sound };
    delete (kernel as { witness?: unknown }).witness;
    for (const id of ["B7", "B9", "B10", "H1", "H2", "H3", "H4", "I4"])
      expect(checkInvariants(kernel, [id]).notReached, id).toEqual([id]);
    expect(checkInvariants(kernel, ["A5"])).toMatchObject({ checked: ["A5"], violated: [] });
  });
});
