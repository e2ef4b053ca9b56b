/** What each policy costs, counted on booted kernels, against arithmetic. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { POLICIES } from "@kreplica/kernel";
import { tiny2Node } from "@kreplica/machines";
import { policyCosts } from "@kreplica/replay";
import { describe, expect, test } from "vitest";
import { kernelFrom } from "../src/boot.js";

const square = (size: number, near: number, far: number): number[][] =>
  Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => (i === j ? near : far)));
const machine = (nodes: number): MachineSpec => ({
  ...tiny2Node,
  name: `${nodes}-nodes`,
  virtualBits: 57,
  nodes: Array.from({ length: nodes }, (_, id) => ({ id, memoryBytes: 2 ** 29 })),
  cpus: Array.from({ length: nodes }, (_, id) => ({
    ...tiny2Node.cpus[0]!,
    id,
    core: id,
    socket: id,
    l3: id,
    node: id,
  })),
  latencyNs: square(nodes, 100, 200),
  bandwidthMBs: square(nodes, 10_000, 5_000),
  distance: square(nodes, 10, 20),
});
const names = Object.keys(POLICIES);
/** Slots 273 to 511 are the kernel's. */
const KERNEL_SLOTS = 239;
/**
 * Order 1 in a kernel built with KPTI, booted with it or without.
 * @source PGD_ALLOCATION_ORDER; the port of the series run with pti=off
 */
const PGD_BYTES = 8192;
const NO_COST = { lessFree: 0, copies: 0, tables: 0, inImage: 0, tails: 0, splits: 0, spare: 0, unexplained: 0 };
/**
 * 510 pages behind text and 473 behind rodata; cutting them off takes a table each in the image's window and in the
 * direct map.
 */
const TAILS = (510 + 473 - 4) * 4096;
const NOTHING = { fork: 0, exec: 0, exit: 0, slot: 0, slotGone: 0, switches: 0 };

describe.each([
  [2, 4, true],
  [3, 4, false],
  [4, 5, true],
] as const)("on %i nodes, %i levels, KPTI %j", (nodes, levels, pti) => {
  const costs = policyCosts(kernelFrom({ spec: machine(nodes), levels, pti }), names);
  const of = (name: string) => costs.find(({ policy }) => policy === name)!;
  const halves = pti ? 2 : 1;
  const eager = (holders: number) => {
    const per = (holders - 1) * halves;
    return {
      fork: per * (KERNEL_SLOTS + 2),
      exec: per * (KERNEL_SLOTS + 2),
      exit: per * 2,
      slot: per,
      slotGone: per,
      switches: 0,
    };
  };

  test("after boot all agree with the closed form, and with what is free less, cause by cause", () => {
    for (const { bootBytes, closedForm, memory } of costs) {
      expect(bootBytes).toBe(closedForm);
      expect([memory.copies + memory.tables, memory.unexplained]).toEqual([bootBytes, 0]);
    }
    expect(of("single-copy").memory.lessFree).toBe(0);
    expect(of("single-copy").bootBytes).toBe(0);
    // Copies of what patch 06 fills to 16 and 10 MiB; tables come on top.
    const tables = (name: string, mib: number): number =>
      of(name).bootBytes - (of(name).holders.length - 1) * mib * 2 ** 20;
    expect(tables("per-node", 26)).toBe(tables("text-only", 16));
    expect(tables("per-node", 26)).toBeGreaterThan(0);
  });

  test.each(["per-node", "rfc-v1", "text-only", "every-nth", "per-socket"])(
    "%s stores every further PGD's slots in fork and exec, and a new slot in each",
    (name) => {
      const { holders, stores, processBytes, everywhereBytes } = of(name);
      expect(stores).toEqual(eager(holders.length));
      expect(processBytes).toBe((holders.length - 1) * PGD_BYTES);
      expect(everywhereBytes).toBe(processBytes);
    },
  );

  test("which nodes hold a copy: all, every second, one for each group within a distance", () => {
    expect(of("per-node").holders).toHaveLength(nodes);
    expect(of("every-nth").holders).toHaveLength(nodes === 2 ? 1 : 2);
    expect(of("per-socket").holders).toHaveLength(nodes);
  });

  test("lazy-pgd pays at the first switch to a node, and nothing before", () => {
    const per = (nodes - 1) * halves;
    expect(of("lazy-pgd")).toMatchObject({
      processBytes: 0,
      everywhereBytes: (nodes - 1) * PGD_BYTES,
      stores: { ...NOTHING, switches: per * (KERNEL_SLOTS + 2) },
    });
  });

  test("home-node pays nothing for a process, wherever it runs", () => {
    expect(of("home-node")).toMatchObject({ processBytes: 0, everywhereBytes: 0, stores: NOTHING });
  });
});

test("on one node every policy costs nothing but the tails that patch 06 keeps: no frame, no byte of a process, no store", () => {
  for (const pti of [true, false])
    for (const cost of policyCosts(kernelFrom({ spec: machine(1), levels: 4, pti }), names)) {
      expect(cost).toEqual({
        policy: cost.policy,
        holders: [0],
        bootBytes: 0,
        closedForm: 0,
        memory: cost.policy === "single-copy" ? NO_COST : { ...NO_COST, lessFree: TAILS, tails: TAILS },
        processBytes: 0,
        everywhereBytes: 0,
        stores: NOTHING,
      });
    }
});
