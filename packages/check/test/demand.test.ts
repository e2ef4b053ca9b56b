/** Copies on demand under the checker: they come and go in runs that hold, and what breaks them is seen. */
import { DemandCopies, type Kernel, kernelFrom, smallImage, smallMachine } from "@kreplica/kernel";
import { imageAddress } from "@kreplica/mm-core";
import { TextPoke } from "@kreplica/text-patch";
import { describe, expect, test } from "vitest";
import { campaign, failureOf } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES, familiesOn, repertoire } from "../src/families.js";
import { demandFamily, type DemandOperation } from "../src/families/demand.js";
import { patchingFamily } from "../src/families/patching.js";
import { processFamily } from "../src/families/processes.js";
import { userPageFamily } from "../src/families/user-pages.js";
import { refusalFamily } from "../src/families/refusal.js";

const kernel = (choices: Partial<Kernel["choices"]> = {}): Kernel =>
  kernelFrom({ spec: smallMachine(3), image: smallImage(), policy: "on-demand:1000000,500000", ...choices });
const families = [processFamily, userPageFamily, patchingFamily, refusalFamily, demandFamily];

test("drawn where copies come on demand, and nowhere else; read everywhere", () => {
  expect(familiesOn(kernel().policy)).toContain(demandFamily);
  expect(familiesOn(kernel({ policy: "per-node" }).policy)).toBe(FAMILIES);
  expect(repertoire.faults({ op: "wait-for-text", cpu: 1, kilocycles: 3 } as DemandOperation)).toEqual([]);
  expect(
    failureOf(kernel({ policy: "per-node" }), [{ op: "want-memory", node: 1 } as DemandOperation]),
  ).toBeUndefined();
});

describe.each([false, true])("KPTI %s", (pti) => {
  test("runs among patches, processes and refusals hold, and copies come and go in them", () => {
    const seen: string[] = [];
    const { violations } = campaign({
      runs: 12,
      steps: 80,
      seed: 3,
      kernels: [
        kernel({
          pti,
          before: ({ allocator, machine }) => {
            const { free, allocate } = allocator;
            allocator.allocate = (node, order, gfp) => {
              if (gfp.purpose === "text") seen.push("copied");
              return allocate.call(allocator, node, order, gfp);
            };
            allocator.free = (frame, order) => {
              if (allocator.purposeOf(frame) === "text") seen.push(`given back on ${machine.memory.nodeOf(frame)}`);
              free.call(allocator, frame, order);
            };
          },
        }),
      ],
      families,
    });
    expect(violations).toEqual([]);
    expect(new Set(seen)).toEqual(new Set(["copied", "given back on 1", "given back on 2"]));
  });
});

test("in the middle of a patch copies neither come nor go; behind it a copy holds what was written", () => {
  const system = new CheckedSystem(kernel(), { families: [patchingFamily, demandFamily] });
  const { assembly, image, layout, machine, view } = system.parts;
  const [poke, demand] = [assembly.get(TextPoke), assembly.get(DemandCopies)];
  const address = imageAddress(layout, image.stext) + 0x100n;
  const bytes = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);
  expect(demand.counted(2, 1e6)).toBe("copied");
  let steps = 0;
  for (const _ of poke.batchSteps([{ address, bytes }])) {
    expect(demand.counted(1, 1e6)).toBe("refused");
    expect(demand.giveBack(2)).toBe(false);
    steps++;
  }
  expect(steps).toBeGreaterThan(3);
  expect(demand.counted(1, 0)).toBe("copied");
  for (const node of [0, 1, 2]) {
    const found = new Uint8Array(bytes.length);
    machine.memory.readBytes((BigInt(view.replicaFrame(address, node)!) << 12n) + (address & 4095n), found);
    expect(found).toEqual(bytes);
  }
  system.checkRules(["A1", "A2", "A3"]);
});
