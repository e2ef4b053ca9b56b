/// <reference types="node" />
/**
 * Situations of public kernel bug reports: what check found, or would have had to find, holds; and is drawn where the
 * fault is put back.
 */
import { readFileSync } from "node:fs";
import { injectable, inject, bind, plugin, token } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { AddressSpaces, type PcidSwitch, ReplicaView, SwitchMm } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { campaign, failureOf } from "../src/campaign.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { borrowedTablesFamily } from "../src/families/borrowed-tables.js";
import type { Operation } from "../src/operation.js";

/** M1 as it was: whatever a lazy CPU missed, it counts as having had all but the last flush. */
@injectable()
class CountsAsFresh {
  constructor(@inject(SwitchMm) switcher: SwitchMm) {
    const { cpus, generations } = switcher as unknown as {
      cpus: Map<number, { space: object | undefined; slot: number; generations: Float64Array }>;
      generations: WeakMap<object, number>;
    };
    const flush = switcher.flush.bind(switcher) as PcidSwitch["flush"];
    switcher.flush = (space, range, freedTables, from) => {
      if (freedTables)
        for (const tlb of cpus.values())
          if (tlb.space === space) tlb.generations[tlb.slot] = generations.get(space) ?? 1;
      flush(space, range, freedTables, from);
    };
  }
}
const countsAsFresh = plugin("counts-as-fresh", [bind(token<CountsAsFresh>("test/CountsAsFresh"), CountsAsFresh)]);

describe.each([
  ["single-copy", false],
  ["single-copy", true],
  ["per-node", false],
  ["per-node", true],
  ["lazy-pgd", true],
] as const)("%s, KPTI %s", (policy, pti) => {
  const kernel = { spec: smallMachine(2), policy, pti, image: smallImage() };
  const { operations } = JSON.parse(readFileSync(new URL("lazy-tlb.counterexample.json", import.meta.url), "utf8")) as {
    operations: Operation[];
  };

  test("M1: a CPU that missed a flush while it was lazy reads no page that is gone", () => {
    expect(failureOf(kernel, operations)).toBeUndefined();
    expect(failureOf({ ...kernel, plugins: [countsAsFresh] }, operations)?.invariant).toBe("G12");
  });
});

test("M1 is drawn: with the fault put back a short campaign meets it", () => {
  const { violations } = campaign({
    runs: 60,
    steps: 200,
    seed: 3,
    kernels: [{ spec: smallMachine(2), policy: "per-node", image: smallImage(), plugins: [countsAsFresh] }],
    families: CORE_FAMILIES,
  });
  expect(violations.map(({ invariant }) => invariant)).toHaveLength(1);
  expect(violations[0]!.invariant).toBe("G12");
});

/** M2 as it was: whoever borrows CR3 remembers what was there, and tells nobody. */
@injectable()
class BehindItsBack {
  constructor(@inject(SwitchMm) switcher: SwitchMm, @inject(Machine) machine: Machine) {
    const left = new Map<number, { readonly cr3: bigint; readonly privilege: 0 | 3 }>();
    switcher.enterTemporary = (cpu, tables) => {
      const core = machine.cpu(cpu);
      left.set(cpu, { cr3: core.cr3, privilege: core.privilege });
      core.privilege = 0;
      core.writeCr3(BigInt(tables.root(machine.nodeOfCpu(cpu))) << 12n);
    };
    switcher.leaveTemporary = (cpu) => {
      const { cr3, privilege } = left.get(cpu)!;
      machine.cpu(cpu).writeCr3(cr3);
      machine.cpu(cpu).privilege = privilege;
    };
  }
}
const behindItsBack = plugin("behind-its-back", [bind(token<BehindItsBack>("test/BehindItsBack"), BehindItsBack)]);

/** M7 as it was: a kernel with one holder takes PGDs from the master node. */
@injectable()
class OnTheMaster {
  constructor(@inject(AddressSpaces) spaces: AddressSpaces, @inject(ReplicaView) view: ReplicaView) {
    const create = spaces.create.bind(spaces);
    spaces.create = (node, parent) => create(view.holders.length === 1 ? view.master : node, parent);
  }
}
const onTheMaster = plugin("on-the-master", [bind(token<OnTheMaster>("test/OnTheMaster"), OnTheMaster)]);

describe("M2", () => {
  const families = [...CORE_FAMILIES, borrowedTablesFamily];
  const kernel = { spec: smallMachine(2), policy: "per-node", image: smallImage() };
  const seen = (
    list: readonly (Record<string, unknown> & { readonly op: string })[],
    pti: boolean,
    plugins = [behindItsBack],
  ): string | undefined =>
    failureOf({ ...kernel, pti, plugins }, list as readonly Operation[], "end", families)?.message;
  const mapped = [
    { op: "spawn", cpu: 0 },
    { op: "mmap", p: 0, cpu: 0, page: 0, pages: 1024, writable: true, large: false, locked: false, policy: 0 },
    { op: "touch", cpu: 0, page: 0, kind: "write", value: 7 },
    { op: "run", p: 0, cpu: 2 },
  ];
  const munmap = { op: "munmap", p: 0, cpu: 0, page: 0, pages: 1024 };

  test.each([false, true])(
    "a long flush in mid-call, and the end of the process below, KPTI %s: harmless as it is, seen as it was",
    (pti) => {
      const flushed = [...mapped, { op: "firmware", cpu: 2, lazy: false, during: munmap }];
      const ended = [...mapped, { op: "firmware", cpu: 2, lazy: true, during: { op: "exit", p: 0 } }];
      const poked = [...mapped, { op: "poke", cpu: 2, lazy: false, store: 2, during: munmap }];
      for (const list of [flushed, ended, poked]) expect(seen(list, pti, [])).toBeUndefined();
      expect(seen(flushed, pti)).toMatch(
        /^G1: CPU 2 is in a call of the firmware and runs on root \d+, not on EFI's, \d+/,
      );
      expect(seen(ended, pti)).toMatch(/^G1: /);
      expect(seen(poked, pti)).toBeDefined();
    },
  );

  test.each(process.env["KREPLICA_PROOF"] === "1" ? [1, 2, 3] : [1])("is drawn from seed %i", (seed) => {
    const run = (plugins: readonly (typeof behindItsBack)[]) =>
      campaign({ runs: 8, steps: 200, seed, comparison: "off", kernels: [{ ...kernel, plugins }], families });
    expect(run([]).violations).toEqual([]);
    const { violations } = run([behindItsBack]);
    expect(violations.map(({ invariant }) => invariant)).toEqual([expect.stringMatching(/^(G1|G6|F6)$/)]);
    expect(violations[0]!.operations.length).toBeLessThanOrEqual(6);
  });
});

test.each([
  ["single-copy", 2],
  ["single-copy", 3],
  ["per-node", 2],
] as const)(
  "M7: %s, %i nodes: a PGD on the master node is drawn, the single copy beside it looked at too",
  (policy, nodes) => {
    const run = (plugins: readonly (typeof onTheMaster)[]) =>
      campaign({
        runs: 4,
        steps: 100,
        seed: 1,
        kernels: [{ spec: smallMachine(nodes), policy, image: smallImage(), plugins }],
        families: CORE_FAMILIES,
      });
    expect(run([]).violations).toEqual([]);
    const { violations } = run([onTheMaster]);
    expect(violations.map(({ invariant }) => invariant)).toEqual([policy === "single-copy" ? "F6" : "F8"]);
    expect(violations[0]!.operations.length).toBeLessThanOrEqual(2);
    expect(violations[0]!.detail).toMatch(/CPU \d of node [12] made a process, whose PGD lies on node 0/);
  },
);
