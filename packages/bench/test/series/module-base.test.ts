/**
 * What module_alloc gives lies on node 0 in the series, whoever asks: base copies of modules and BPF images. And a pack
 * of BPF programs has 2 MiB for each node, with the series or without.
 * Source: patch 11/12 arch/x86/kernel/module.c; kernel/bpf/core.c BPF_PROG_PACK_SIZE (6.1, 6.5); the port of the series
 * to 6.1.
 */
import { bindValue, plugin } from "@kreplica/di";
import { bpf, PACK_BYTES, Packs } from "@kreplica/bpf";
import { modulesWith, ModuleHost, ModuleLoader, noPatching, readModule, replicateAll } from "@kreplica/modules";
import { tinyHost, tinyModule } from "@kreplica/modules/testing";
import { setMemory } from "@kreplica/set-memory";
import { textPatch } from "@kreplica/text-patch";
import { Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { describe, expect, test } from "vitest";
import { POLICIES } from "@kreplica/kernel";
import { boot } from "@kreplica/kernel";
import { smallImage, smallMachine } from "@kreplica/kernel";

/** Node of every base page of a module's memories, loaded from node 1. */
function basesOf(policy: string, masterNode: number): number[] {
  const { modules = replicateAll } = POLICIES[policy]!;
  const { assembly, machine } = boot({
    spec: smallMachine(3),
    image: smallImage("patch-06"),
    policy,
    masterNode,
    plugins: [
      setMemory,
      vmalloc,
      modulesWith(modules),
      noPatching,
      plugin("host", [bindValue(ModuleHost, tinyHost())]),
    ],
  });
  const loaded = assembly.get(ModuleLoader).load(readModule(tinyModule()), 1);
  expect(loaded.name).not.toBe("");
  return [
    ...new Set(
      assembly
        .get(Vmalloc)
        .areas()
        .flatMap((area) => area.frames.map((frame) => machine.memory.nodeOf(frame))),
    ),
  ];
}

describe("base copy of a module that a CPU of node 1 loads", () => {
  test("rfc-v1: node 0, also with the image elsewhere", () => {
    expect(basesOf("rfc-v1", 0)).toEqual([0]);
    expect(basesOf("rfc-v1", 2)).toEqual([0]);
  });
  test("the corrected series: node 1", () => {
    expect(basesOf("per-node", 0)).toEqual([1]);
  });
});

test.each(["single-copy", "rfc-v1", "per-node"])(
  "%s: a pack has 2 MiB for each node; copies of it on every node 2 MiB each",
  (policy) => {
    for (const nodes of [1, 2, 4])
      for (const replicate of [false, true]) {
        const { codeNode } = POLICIES[policy]!;
        const { assembly, allocator, view } = boot({
          spec: smallMachine(nodes),
          image: smallImage("patch-06"),
          policy,
          masterNode: nodes - 1,
          plugins: [setMemory, vmalloc, textPatch, bpf(replicate, codeNode)],
        });
        const used = (node: number): number => allocator.usedFrames(node, "module") * 4096;
        const before = Array.from({ length: nodes }, (_, node) => used(node));
        assembly.get(Packs).allocate(64);
        const taken = before.map((bytes, node) => used(node) - bytes);
        const home = policy === "rfc-v1" ? 0 : nodes - 1;
        const copied = replicate && view.holders.length > 1;
        expect(taken).toEqual(
          before.map((_, node) =>
            copied ? PACK_BYTES : node !== home ? 0 : replicate ? PACK_BYTES : nodes * PACK_BYTES,
          ),
        );
      }
  },
);
