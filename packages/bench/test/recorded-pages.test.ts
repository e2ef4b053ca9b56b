/** Pages of a recording get a place in the model: same frame, same place; every address of it leads there. */
import { e52690v3, recordedGuest } from "@kreplica/machines";
import { describe, expect, test } from "vitest";
import { boot } from "../src/boot.js";

const kernel = (options = {}) => boot({ spec: e52690v3, policy: "per-node", ...options });
const VMALLOC = 0xffff_c900_0000_d000n;
const DIRECT = 0xffff_8880_0000_0000n;

describe.each([
  ["as recorded", {}],
  ["KASLR", { kaslr: { text: true, memory: true }, seed: 3 }],
  ["KPTI, image on node 1", { pti: true, masterNode: 1 }],
  ["nodes swapped", { recordedNodes: [1, 0] as const }],
  ["one node for both", { recordedNodes: [1, 1] as const }],
])("%s", (_name, options) => {
  test("a vmalloc page and its direct-map view are one frame, on the node that stands for the recorded one", () => {
    const { recorded, machine, tables } = kernel(options);
    const frames = new Set<number>();
    for (const frame of [0x1f402, 0x20009, 0x3dc8, 0x3f2e1]) {
      const stack = recorded.map(VMALLOC + BigInt(frames.size) * 0x2000n + 8n, frame);
      const view = recorded.map(DIRECT + (BigInt(frame) << 12n) + 8n, frame);
      expect(stack & 4095n).toBe(8n);
      const leaf = tables.lookup(0, stack)!;
      expect(leaf.frame).toBe(recorded.frame(frame));
      const direct = tables.lookup(0, view)!;
      const within = direct.level === 1 ? 0 : Number((view >> 12n) & (direct.level === 2 ? 511n : 262143n));
      expect(direct.frame + within).toBe(leaf.frame);
      expect(machine.memory.nodeOf(leaf.frame)).toBe(recorded.node(frame));
      frames.add(leaf.frame);
    }
    expect(frames.size).toBe(4);
  });

  test("the image is addressed where it lies, without a mapping of its own", () => {
    const { recorded, tables, layout, view } = kernel(options);
    const before = tables.stores.total;
    const moved = recorded.map(0xffff_ffff_8100_1234n, 0x1001);
    expect(moved).toBe(0xffff_ffff_8100_1234n + layout.imageOffset);
    expect(tables.stores.total).toBe(before);
    expect(tables.lookup(view.master, moved)!.frame).toBe(recorded.frame(0x1000));
  });

  test("user pages are in every holder's PGD, and follow when the recording's frame changes", () => {
    const { recorded, view, machine, spaces } = kernel(options);
    const address = recorded.map(0x7fff_1234_5678n, 0x5000);
    expect(recorded.userSpace.lookup(address)!.frame).toBe(recorded.frame(0x5000));
    recorded.map(0x7fff_1234_5678n, 0x25000);
    expect(recorded.userSpace.lookup(address)!.frame).toBe(recorded.frame(0x25000));
    const slots = view.holders.map((node) => machine.memory.read32(recorded.userSpace.pgd(node), 2 * 255));
    expect(new Set(slots).size).toBe(1);
    expect(slots[0]! & 1).toBe(1);
    expect(spaces.all.size).toBe(1);
    for (const cpuId of [0, 12]) {
      const cpu = machine.cpu(cpuId);
      recorded.userSpace.load(cpuId);
      expect(cpu.load(0x1234_5678, 0x7fff)).toBe(0);
      expect(cpu.lastFrame).toBe(recorded.frame(0x25000));
    }
  });
});

test("page descriptors move with their frames", () => {
  const { recorded, layout } = kernel({ recordedNodes: [1, 0] });
  const moved = recorded.map(0xffff_ea00_0000_0000n + 0x5000n * 64n + 24n, 0x1f600);
  expect(moved).toBe(layout.vmemmapStart + BigInt(recorded.frame(0x5000)) * 64n + 24n);
});

test("no frame of the model's own is one of the recording's", () => {
  const { recorded, allocator } = kernel();
  for (let frame = 0; frame < 0x40000; frame += 13) {
    if (frame >= 0x1000 && frame < 0x3830) continue;
    expect(allocator.claim(recorded.frame(frame), "data")).toBe(false);
  }
});

test("on the recorded guest itself frames are what they were", () => {
  const { recorded } = boot({ spec: recordedGuest, policy: "single-copy" });
  for (const frame of [0, 0x1000, 0x1f402, 0x20009, 0x3ffff, 0xfee00]) expect(recorded.frame(frame)).toBe(frame);
});

test("modules and devices of the recording are mapped for every node", () => {
  const { recorded, tables } = kernel();
  const module = recorded.map(0xffff_ffff_c040_1000n, 0x4f0b);
  for (const node of [0, 1])
    expect(tables.lookup(node, module)).toMatchObject({ frame: recorded.frame(0x4f0b), executable: true });
  const apic = recorded.map(0xffff_ffff_ff5f_d000n, 0xfee00);
  for (const node of [0, 1]) expect(tables.lookup(node, apic)!.frame).toBe(0xfee00);
});

test("tails of the recorded image, which its kernel freed, are writable and near in every kernel, at one place", () => {
  const places = (["single-copy", "per-node"] as const).map((policy) => {
    const { recorded, tables, machine, layout, allocator } = boot({ spec: e52690v3, policy });
    const descriptor = recorded.map(0xffff_ea00_0000_0000n + 0x29c0n * 64n + 24n, 0x1f600);
    expect(descriptor).toBe(layout.vmemmapStart + BigInt(recorded.frame(0x29c0)) * 64n + 24n);
    return [0x1e02, 0x1fff, 0x2827, 0x29f1].map((frame) => {
      const moved = recorded.map(DIRECT + (BigInt(frame) << 12n) + 8n, frame);
      expect(recorded.denies(moved, "store")).toBeUndefined();
      expect(tables.lookup(0, moved)!.writable).toBe(true);
      const place = recorded.frame(frame);
      expect(place).not.toBe(frame);
      expect(machine.memory.nodeOf(place)).toBe(recorded.node(frame));
      expect(allocator.claim(place, "data")).toBe(false);
      return [moved, place];
    });
  });
  expect(places[0]).toEqual(places[1]);
  expect(new Set(places[0]!.flat()).size).toBe(8);
  // What it kept lies where the booted kernel has it.
  const { recorded } = kernel();
  for (const frame of [0x1e01, 0x2826]) expect(recorded.frame(frame)).toBe(frame);
});
