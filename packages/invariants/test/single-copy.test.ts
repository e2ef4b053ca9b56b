/** The checker on a kernel without copies, and with a row more: no replication is needed to be judged. */
import { frameAt } from "@kreplica/mm-core";
import { testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { expect, test } from "vitest";
import {
  BootWitness,
  checkInvariants,
  findingOf,
  type Invariant,
  KERNEL_INVARIANTS,
  type Subject,
} from "../src/index.js";

const TEXT = 0xffff_ffff_8100_0000n;

function boot(): TestKernel & { readonly witness: BootWitness } {
  const kernel = testKernel({ pti: true });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  return { ...kernel, witness };
}

test("a single copy keeps all it reaches, and what is about copies is not reached", () => {
  const report = checkInvariants({ ...boot(), reached: "running" });
  expect(report.violated).toEqual([]);
  expect([...report.checked, ...report.notReached].sort()).toEqual(KERNEL_INVARIANTS.map(({ id }) => id).sort());
  expect(report.checked).toEqual(expect.arrayContaining(["A1", "A6", "A11", "B11", "C1", "C3", "G1", "H5", "I3"]));
  expect(report.notReached).toEqual(expect.arrayContaining(["A2", "A3", "B1", "B6", "G10", "H1"]));
});

test("text that may be written breaks C1, and C1 alone when that is all that is asked", () => {
  const kernel = boot();
  kernel.tables.edit((editor) => editor.protect({ start: TEXT, pages: 1 }, { writable: true }));
  expect(checkInvariants({ ...kernel, reached: "running" }).violated.map(({ id }) => id)).toContain("C1");
  expect(checkInvariants({ ...kernel, reached: "running" }, ["C1"])).toMatchObject({
    checked: ["C1"],
    violated: [{ id: "C1" }],
    notReached: [],
  });
});

test("a row more is checked, reported and named like ours; rows about something else are named alone", () => {
  const mine: Invariant<Subject> = {
    id: "A50",
    when: "always",
    where: ["state"],
    sentence: "the image lies on node 1",
    check({ kernel }, verdict) {
      if (kernel.view.master !== 1) verdict.fail(`it lies on node ${kernel.view.master}`);
    },
  };
  const foreign: Invariant<string> = {
    id: "E50",
    when: "always",
    where: ["areas"],
    sentence: "a word is long",
    check: () => {
      throw new Error("not a kernel's");
    },
  };
  const report = checkInvariants({ ...boot(), reached: "running" }, undefined, {
    rows: [...KERNEL_INVARIANTS, mine],
    others: [foreign],
  });
  expect(report.violated).toEqual([findingOf(mine, "it lies on node 0")]);
  expect(report.checked.filter((id) => id.startsWith("A")).at(-1)).toBe("A50");
  expect(report.notReached).toContain("E50");
});

test("P15: fetched instructions of the kernel's text are what it holds, but for those of a patch under way", () => {
  const kernel = boot();
  const cpu = [...kernel.cpus.online][0]!;
  const p15 = (more: object = {}) => checkInvariants({ ...kernel, reached: "running", ...more }, ["P15"]);
  expect(p15().notReached).toEqual(["P15"]);
  const { rootFrame } = kernel.machine.cpu(cpu);
  const frame = frameAt(kernel.entries.memory, rootFrame, kernel.layout.levels, TEXT)!;
  const bytes = new Uint8Array(16);
  kernel.machine.memory.readBytes(BigInt(frame) << 12n, bytes);
  Object.assign(kernel.machine.cpu(cpu), { fetched: { save: () => [{ address: TEXT, frame, bytes }] } });
  expect(p15()).toEqual({ checked: ["P15"], notReached: [], violated: [] });
  bytes[3]! ^= 0xff;
  expect(p15().violated.map(({ id }) => id)).toEqual(["P15"]);
  expect(p15({ patchedNow: [{ start: TEXT + 3n, end: TEXT + 4n }] }).violated).toEqual([]);
  expect(p15({ patchedNow: [{ start: TEXT + 4n, end: TEXT + 9n }] }).violated).toHaveLength(1);
});
