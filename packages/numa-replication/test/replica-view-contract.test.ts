/**
 * The contract of ReplicaView on every policy of ours and on a single copy, and on views that each break one promise.
 */
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { BuildContext, imageAddress, ReplicaView, TableMemory } from "@kreplica/mm-core/api";
import { singleCopy } from "@kreplica/mm-core";
import { replicaViewContract, testKernel, type TestKernel } from "@kreplica/mm-core/testing";
import { describe, expect, test } from "vitest";
import { everyNth, hotSubset, numaReplication, perSocket, PER_NODE, replicationBy, TEXT_ONLY } from "../src/index.js";

const NODES = [
  { id: 0, memoryMiB: 64, cpus: 1, socket: 0 },
  { id: 1, memoryMiB: 64, cpus: 1, socket: 0 },
  { id: 4, memoryMiB: 0, cpus: 1, socket: 1 },
  { id: 5, memoryMiB: 64, cpus: 2, socket: 1 },
];
const kernel = (view: Plugin, pti = false, ...plugins: readonly Plugin[]): TestKernel =>
  testKernel({ nodes: NODES, alignment: "patch-06", view, pti, plugins });

describe.each([
  ["single-copy", singleCopy],
  ...[PER_NODE, TEXT_ONLY, everyNth(2), perSocket(), hotSubset([{ first: 1, pages: 2 }])].map(
    (policy) => [policy.name, replicationBy(policy)] as const,
  ),
] as const)("%s", (_name, view) => {
  test.each([false, true])("keeps it, KPTI %s", (pti) => {
    replicaViewContract((plugins) => kernel(view, pti, ...plugins));
  });
});

describe("is not kept by a view", () => {
  type Wrong = (right: ReplicaView, context: BuildContext, entries: TableMemory) => Partial<ReplicaView>;
  const last = (right: ReplicaView): number => right.holders[right.holders.length - 1]!;
  const wrong: Record<string, [broken: string, Wrong]> = {
    "whose holders go down": [
      "holders ascend",
      (right) => ({
        get holders() {
          return [...right.holders].reverse();
        },
      }),
    ],
    "with a holder that has no memory": [
      "holders ascend",
      (right) => ({
        get holders() {
          return right.holders.length > 1 ? [0, 1, 4, 5] : [0];
        },
      }),
    ],
    "whose master holds nothing": [
      "the master is a holder",
      (right) => ({
        get holders() {
          return right.holders.length > 1 ? right.holders.slice(1) : right.holders;
        },
      }),
    ],
    "that replicates before there are tables": ["until something is replicated", () => ({ holders: [0, 1, 5] })],
    "that always says it copies": ["one holder copies nothing", () => ({ copies: { text: true, rodata: true } })],
    "that sends CPUs to a node without copies": [
      "each node's nearest is a holder",
      () => ({ nearest: (node) => node }),
    ],
    "that sends all to the master": ["a holder's nearest is itself", (right) => ({ nearest: () => right.master })],
    "that does not adopt its roots": [
      "roots that a single copy would not have are adopted",
      (right, _context, entries) => ({
        get roots() {
          for (const { root } of right.roots) entries.disown(root);
          return right.roots;
        },
      }),
    ],
    "that forgets the boot table": [
      "the boot table is the first root",
      (right) => ({
        get roots() {
          return right.holders.length > 1 ? right.roots.slice(1) : right.roots;
        },
      }),
    ],
    "whose CPUs load a table that no change reaches": [
      "what a node's CPUs load",
      (right) => ({
        get roots() {
          return right.roots.slice(0, Math.max(1, right.roots.length - 1));
        },
      }),
    ],
    "that sets up no other CPU": [
      "CPUs stand on their node's root",
      (right) => ({
        setupCpu: (cpu) => {
          if (cpu === 0) right.setupCpu(cpu);
        },
      }),
    ],
    "that calls the window private from the start": [
      "nothing is private",
      () => ({ isPrivate: (address: bigint) => address >= 0xffff_ffff_8000_0000n }),
    ],
    "that calls the window common": ["addresses that are not private", () => ({ isPrivate: () => false })],
    "that thinks of the original": [
      "frames are those that the tables name",
      (right) => ({ replicaFrame: (address) => right.replicaFrame(address, right.master) }),
    ],
    "that copies and says it does not": ["of what is not copied", () => ({ copies: { text: false, rodata: false } })],
    "whose copy a stray store has changed": [
      "copies hold the master's bytes",
      (right, { layout, image, entries }) => ({
        replicateKernel: () => {
          right.replicateKernel();
          entries.memory.write32(right.replicaFrame(imageAddress(layout, image.stext), last(right))!, 9, 0xbad);
        },
      }),
    ],
    "whose last copy lies elsewhere": [
      "its own node's",
      (right, { layout, image, entries, machine }) => ({
        replicateKernel: () => {
          right.replicateKernel();
          const address = imageAddress(layout, image.stext);
          repoint(
            entries,
            right.kernelRoot(last(right)),
            layout.levels,
            address,
            machine.memory.ranges[1]!.first + 8704,
          );
        },
      }),
    ],
    "that never forgets addresses": ["an address in a copy", () => ({ clearLinearAddresses: () => {} })],
    "that knows addresses of rodata": [
      "an address in a copy",
      (right) => ({ addressInReplica: (address, node) => right.addressInReplica(address, node) ?? 0n }),
    ],
    "that ends a boot without saying why": [
      "with memory refused",
      (right, { early }) => ({
        reserve: () => {
          const before = early.freeFrames(5);
          right.reserve();
          if (early.freeFrames(5) === before) throw new Error("no room");
        },
      }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const over = plugin("wrong", [
      overlay(ReplicaView, (right, get) => {
        const changes = change(right, get(BuildContext), get(TableMemory));
        return new Proxy(right, {
          get: (target, key) => {
            const value: unknown =
              key in changes ? changes[key as keyof ReplicaView] : Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        });
      }),
    ]);
    expect(() => {
      replicaViewContract((plugins) => kernel(numaReplication, false, ...plugins, over));
    }).toThrow(broken);
  });
});

/** Points the 2 MiB leaf over an address at other frames. */
function repoint(entries: TableMemory, root: number, levels: 4 | 5, address: bigint, frame: number): void {
  let table = root;
  for (let level: number = levels; level > 2; level--) {
    const index = Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
    table = ((entries.low(table, index) >>> 12) | ((entries.high(table, index) & 0xf_ffff) << 20)) >>> 0;
  }
  const index = Number((address >> 21n) & 511n);
  entries.write(table, index, ((entries.low(table, index) & 0x1fff) | (frame << 12)) >>> 0, entries.high(table, index));
}
