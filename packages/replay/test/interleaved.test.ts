/** Several CPUs in turn: by their cycles, each piece by piece; and lists of frames that each has for itself. */
import { assemble, bindValue, plugin } from "@kreplica/di";
import { type CpuId, type Frame, Machine, type NodeId } from "@kreplica/hw-x86";
import { PageAllocator } from "@kreplica/mm-core";
import { expect, test } from "vitest";
import type { CycleClock } from "../src/replay/cycle-clock.js";
import { FrameLists } from "../src/replay/frame-lists.js";
import { interleave, RunningCpu } from "../src/replay/interleaved.js";
import type { Program } from "../src/replay/program.js";
import type { Piece, Replayer, Run, Workload } from "../src/replay/replayer.js";

/** A CPU whose operations take so many cycles each, with a workload of two pieces. */
function cpu(name: string, each: number, sizes: readonly [number, number], told: string[]): RunningCpu {
  let runs = 0;
  const replayer = {
    *runInPieces(): Generator<Piece, Run, undefined> {
      for (const to of sizes) yield { program: {} as Program, from: 0, to };
      return {} as Run;
    },
    execute: (_program: Program, from: number, to: number) => told.push(`${name} ${from}-${to}`),
  };
  const clock = { restart: () => undefined, since: (operations: number) => operations * each };
  return new RunningCpu(
    replayer as unknown as Replayer,
    {} as Workload,
    clock as unknown as CycleClock,
    () => void told.push(`${name} ends ${++runs}`),
  );
}

test("whoever is behind goes on, of two alike the first; a run is its pieces, and is begun again", () => {
  const told: string[] = [];
  const [fast, slow] = [cpu("fast", 1, [40, 8], told), cpu("slow", 3, [64, 64], told)];
  const turns: string[] = [];
  interleave(
    [fast, slow],
    () => told.filter((each) => each.startsWith("fast ends")).length === 3,
    (each) => turns.push(each === fast ? "fast" : "slow"),
  );
  // Fast at 32, slow at 96; fast goes on to 96 and is the first of two alike.
  expect(told.slice(0, 8)).toEqual([
    "fast 0-32",
    "slow 0-32",
    "fast 32-40",
    "fast 0-8",
    "fast ends 1",
    "fast 0-32",
    "fast 32-40",
    "fast 0-8",
  ]);
  expect(turns.slice(0, 3)).toEqual(["fast", "slow", "fast"]);
  expect(fast.now).toBeGreaterThanOrEqual(96);
  expect(slow.now).toBeLessThanOrEqual(fast.now + 96);
});

test("of two alike the first goes on, though the other is at it", () => {
  const told: string[] = [];
  const [slow, fast] = [cpu("slow", 3, [64, 64], told), cpu("fast", 1, [40, 8], told)];
  interleave([slow, fast], () => slow.now > 96);
  expect([slow.now, fast.now]).toEqual([192, 96]);
});

test("a CPU's tables come back to it, cleared where that was asked for, and to nobody else; all else goes through", () => {
  let next = 100;
  const calls: string[] = [];
  const purposes = new Map<Frame, string>();
  const allocator = {
    allocate: (node: NodeId, order: number, { purpose }: { purpose: string }): Frame => {
      calls.push(`allocate ${node} ${order}`);
      purposes.set(next, purpose);
      return next++;
    },
    free: (frame: Frame) => void calls.push(`free ${frame}`),
    purposeOf: (frame: Frame) => purposes.get(frame),
  } as unknown as PageAllocator;
  const cleared: Frame[] = [];
  const machine = { memory: { nodeOf: () => 1, clearFrame: (frame: Frame) => cleared.push(frame) } };
  const lists = new FrameLists();
  assemble([
    plugin("kernel", [bindValue(PageAllocator, allocator), bindValue(Machine, machine as unknown as Machine)]),
    lists.plugin,
  ]).get(PageAllocator);
  const table = { purpose: "page-table", zero: true } as const;
  const free = (of: CpuId | undefined, frame: Frame, order: number): void => {
    lists.current = of;
    allocator.free(frame, order);
  };
  const take = (of: CpuId | undefined, node: NodeId, order: number, gfp: Parameters<PageAllocator["allocate"]>[2]) => {
    lists.current = of;
    return allocator.allocate(node, order, gfp);
  };
  const [a, b, c] = [take(7, 1, 1, table), take(7, 1, 1, table), take(7, 1, 0, { purpose: "user" })];
  free(7, a, 1);
  free(7, b, 1);
  free(7, c, 0);
  expect(calls).toEqual(["allocate 1 1", "allocate 1 1", "allocate 1 0", `free ${c}`]);
  expect(take(8, 1, 1, table)).toBe(103);
  expect(take(7, 0, 1, table)).toBe(104);
  expect(take(7, 1, 0, table)).toBe(105);
  expect(cleared).toEqual([]);
  expect(take(7, 1, 1, table)).toBe(b);
  expect(cleared).toEqual([b, b + 1]);
  expect(take(7, 1, 1, { purpose: "page-table" })).toBe(a);
  expect(cleared).toHaveLength(2);
  expect(take(7, 1, 1, table)).toBe(106);
  // Larger blocks, and whoever is nobody, have no list.
  free(7, take(7, 1, 4, table), 4);
  free(undefined, a, 1);
  expect(calls.slice(-2)).toEqual(["free 107", `free ${a}`]);
});
