/** Boots with one defect of the series laid over: each is caught by the invariant named for it, or stops the boot. */
import { describe, expect, test } from "vitest";
import type { AddressSpaces } from "@kreplica/mm-core/api";
import { testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import { BootWitness, checkInvariants } from "@kreplica/invariants";
import { numaReplication } from "@kreplica/numa-replication";
import { plugin } from "@kreplica/di";
import { defectOf } from "../src/index.js";

const noSpaces = { all: new Set<never>(), create: () => undefined } as unknown as AddressSpaces;
const nodes = (count: number) => Array.from({ length: count }, (_, id) => ({ id, memoryMiB: 64, cpus: 2 }));

function boot(defect: string, options: TestKernelOptions): TestKernel & { report: ReturnType<typeof checkInvariants> } {
  const kernel = testKernel({
    ...options,
    view: numaReplication,
    plugins: [plugin(defect, defectOf(defect)!.overlays)],
  });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  return { ...kernel, report: checkInvariants({ ...kernel, spaces: noSpaces, reached: kernel.boot.reached, witness }) };
}

describe("one at a time", () => {
  test.each<[string, string, TestKernelOptions]>([
    ["D4", "C2", {}],
    ["D4", "C4", {}],
    ["D9", "C3", {}],
    ["copied-source", "A3", {}],
    ["copied-source", "A2", {}],
    [
      "D14",
      "A2",
      {
        nodes: [
          { id: 0, memoryMiB: 64, cpus: 1 },
          { id: 1, memoryMiB: 8, cpus: 1 },
          { id: 2, memoryMiB: 64, cpus: 1 },
        ],
      },
    ],
    ["D15", "G11", { pti: true }],
    ["D15", "G11", { pti: true, pcid: false, master: 1 }],
  ])("%s is caught by %s", (defect, id, options) => {
    const { report } = boot(defect, { nodes: nodes(2), ...options });
    expect(report.violated.map((each) => each.id)).toContain(id);
    expect(report.violated.find((each) => each.id === id)?.detail).toMatch(/node|boot table/);
  });

  test("N2 says what the series' call reaches, and what of the corrected step it takes back", () => {
    const did = (count: number): string | undefined =>
      boot("N2", { nodes: nodes(count) }).boot.timeline.find(({ step }) => step === "init-irq")?.did;
    expect(did(2)).toBe(
      "idt_table read-only on every root; then writable again on all but node 0's, which alone the series' call reaches (N2)",
    );
    expect(did(1)).toBe("idt_table read-only on every root");
  });

  test("D1 stops the boot on a CPU off logical node 0, wherever the image is", () => {
    for (const master of [0, 1]) {
      expect(() => boot("D1", { nodes: nodes(2), master, bootCpu: 2 })).toThrow(/boot table/);
      expect(boot("D1", { nodes: nodes(2), master, bootCpu: 0 }).boot.reached).toBe("running");
    }
    expect(boot("D1", { nodes: nodes(2), bootCpu: 0 }).report.violated.map((each) => each.id)).toContain("B7");
  });
});
