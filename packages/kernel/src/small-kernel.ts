/**
 * A kernel and a machine small enough to boot in milliseconds, for runs that boot thousands of times. Everything
 * invented.
 */
import { LARGE, PAGE } from "@kreplica/hw-x86/api";
import type { MachineSpec } from "@kreplica/hw-x86";
import { tiny2Node } from "@kreplica/machines";
import { firstTables, kernelImage, loadedSection, type KernelImage } from "@kreplica/mm-core";

const TEXT = 0xffff_ffff_8100_0000n;

/** 2 MiB of text and of rodata, each with a ragged end; then data, init, bss and brk, 2 MiB each. */
export function smallImage(alignment: "recorded" | "patch-06" = "recorded"): KernelImage {
  const at = (large: bigint, pages = 0n): bigint => TEXT + large * LARGE + pages * PAGE;
  const bounds: [string, bigint][] = [
    ["_stext", TEXT],
    ["__entry_text_start", TEXT],
    ["__entry_text_end", at(0n, 1n)],
    ["_etext", at(1n, 2n)],
    ["__start_rodata", at(2n)],
    ["__start_ro_after_init", at(2n, 3n)],
    ["__start___ex_table", at(3n)],
    ["__end_rodata", at(3n, 3n)],
    ["__init_begin", at(5n, 2n)],
    ["__init_end", at(5n, 64n)],
    ["__bss_start", at(5n, 66n)],
    ["idt_table", at(5n, 67n)],
    ["bm_pte", at(5n, 68n)],
    ["__brk_base", at(6n)],
    ["_end", at(6n, 48n)],
  ];
  return kernelImage({
    name: "small",
    alignment,
    noOps: [
      { address: TEXT + 0x1ffbn, bytes: 13 },
      { address: TEXT + 0x3040n, bytes: 3 },
    ],
    symbols: new Map([...bounds, ...firstTables(at(4n))]),
    sections: [
      loadedSection(".text", { start: TEXT, end: at(1n, 2n) }, false, true),
      loadedSection(".rodata", { start: at(2n), end: at(3n, 3n) }, false, false),
      loadedSection(".data", { start: at(4n), end: at(4n, 16n) }, true, false),
      loadedSection(".init.text", { start: at(5n, 2n), end: at(5n, 64n) }, false, true),
      loadedSection(".bss", { start: at(5n, 66n), end: at(6n) }, true, false),
      loadedSection(".brk", { start: at(6n), end: at(6n, 48n) }, true, false),
    ],
  });
}

/** Nodes of 64 MiB with two CPUs each. @param memoryless further nodes without memory, one CPU each */
export function smallMachine(nodes: number, memoryless = 0): MachineSpec {
  const all = Array.from({ length: nodes + memoryless }, (_, id) => id);
  const matrix = (local: number, remote: number): number[][] =>
    all.map((row) => all.map((column) => (row === column ? local : remote)));
  let next = 0;
  return {
    ...tiny2Node,
    name: `${nodes} small nodes`,
    virtualBits: 57,
    // The strictest there is, so that checks notice.
    translation: { ...tiny2Node.translation, mixedSizes: "machine-check" },
    nodes: all.map((id) => ({ id, memoryBytes: id < nodes ? 64 * 2 ** 20 : 0 })),
    cpus: all.flatMap((node) =>
      Array.from({ length: node < nodes ? 2 : 1 }, () => ({ id: next, node, core: next++, l3: node, socket: node })),
    ),
    latencyNs: matrix(100, 200),
    bandwidthMBs: matrix(10_000, 5_000),
    distance: matrix(10, 20),
  };
}

/**
 * The same where memory of all nodes but the first lies far up, in a window of frame numbers each as long as they go.
 */
export function farMemory(nodes: number, levels: 4 | 5): MachineSpec {
  const spec = smallMachine(nodes);
  // 32 TiB is the last window within 4 levels' 64 TiB, 1 PiB the last of all. Who finds none lies behind the others.
  const windows = levels === 4 ? [45, 44] : [50, 49, 48, 46, 45, 44];
  return {
    ...spec,
    physicalBits: windows[0]! + 1,
    nodes: spec.nodes.map((node) => {
      const window = windows[node.id - 1];
      return window === undefined ? node : { ...node, startAddress: 2 ** window };
    }),
  };
}

/**
 * The same with a further node of one CPU whose 64 MiB come later: behind another top-level slot of the direct map,
 * 512 GiB each with 4 levels, 256 TiB with 5.
 * @returns machine and the node, as a boot wants them
 */
export function lateMemory(
  nodes: number,
  levels: 4 | 5 = 4,
): { readonly spec: MachineSpec; readonly offlineMemory: readonly number[] } {
  const spec = smallMachine(nodes, 1);
  return {
    spec: {
      ...spec,
      physicalBits: levels === 4 ? 46 : 49,
      nodes: spec.nodes.map((node) =>
        node.id === nodes
          ? { ...node, memoryBytes: 64 * 2 ** 20, startAddress: levels === 4 ? 2 ** 40 : 2 ** 48 }
          : node,
      ),
    },
    offlineMemory: [nodes],
  };
}
