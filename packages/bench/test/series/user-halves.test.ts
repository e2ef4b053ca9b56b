/**
 * D15 as a port of the series to 6.1 showed it: under KPTI the user tables of both nodes map logical node 0's frames of
 * entry text, and a CPU of node 1 goes on with them in the kernel, because the translation is global.
 * Source: the port run under QEMU, tables read out after boot.
 */
import { campaign, CORE_FAMILIES, withDefect } from "@kreplica/check";
import { type Booted, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { Processes, userImageRange } from "@kreplica/mm-core";
import { defectOf } from "@kreplica/series-as-posted";
import { boot } from "../../src/boot.js";

/** Node that a CPU of node 1 fetches the entry text from, on its way into the kernel and then in it. */
function fetchedFrom(kernel: Booted): { readonly entering: number; readonly inside: number } {
  const processes = kernel.assembly.get(Processes);
  const cpu = kernel.machine.cpuIds.find((id) => kernel.machine.nodeOfCpu(id) === 1)!;
  const core = kernel.machine.cpu(cpu);
  processes.run(processes.spawn(cpu)!, cpu);
  kernel.switcher.enterUser(cpu);
  const { start } = userImageRange(kernel.layout, kernel.image, true);
  const fetch = (): number => {
    expect(core.fetch(Number(BigInt.asIntN(32, start)), Number(BigInt.asIntN(32, start >> 32n)))).toBe(0);
    return kernel.machine.memory.nodeOf(core.lastFrame);
  };
  // The first instructions of an entry run in the kernel's privilege on the user's root.
  core.privilege = 0;
  const entering = fetch();
  kernel.switcher.enterKernel(cpu);
  return { entering, inside: fetch() };
}

const small = { spec: smallMachine(2), image: smallImage("patch-06"), pti: true } as const;

describe.each([0, 1])("image on node %i", (masterNode) => {
  test.each([true, false])("rfc-v1, PCIDs %j: node 0's frames for all", (pcid) => {
    const kernel = boot({ ...small, policy: "rfc-v1", masterNode, pcid });
    expect(fetchedFrom(kernel)).toEqual({ entering: 0, inside: 0 });
    expect(kernel.checkInvariants().violated.map(({ id }) => id)).toContain("G11");
  });
  test("the corrected series: each node's own", () => {
    const kernel = boot({ ...small, policy: "per-node", masterNode });
    expect(fetchedFrom(kernel)).toEqual({ entering: 1, inside: 1 });
    expect(kernel.checkInvariants().violated).toEqual([]);
  });
});

test("check --defect D15 finds it by C8, as the halves differ, and nothing where there is no KPTI", () => {
  const found = (pti: boolean) =>
    campaign({
      families: CORE_FAMILIES,
      runs: 4,
      steps: 20,
      seed: 3,
      kernels: [withDefect({ ...small, pti, policy: "per-node" }, defectOf("D15")!)],
    }).violations.map((each) => each.invariant);
  expect(found(true)).toEqual(["C8"]);
  expect(found(false)).toEqual([]);
});
