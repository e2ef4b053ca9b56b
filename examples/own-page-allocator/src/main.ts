/**
 * Boots a kernel with a copy on every node twice, by buddy lists and by bitmaps, and shows where the next page goes.
 */
import { boot, preset } from "@kreplica/bench";
import { bitmapAllocator } from "./plugin.js";

const spec = preset("tiny-2-node")!;
for (const [name, plugins] of [
  ["buddy lists", []],
  ["bitmaps", [bitmapAllocator]],
] as const) {
  const kernel = boot({ spec, policy: "per-node", plugins });
  const { allocator, machine } = kernel;
  const { checked, violated } = kernel.checkInvariants();
  console.log(`${name}: ${checked.length - violated.length} of ${checked.length} invariants checked hold`);
  for (const node of machine.nodes) {
    const range = machine.memory.ranges.find((each) => each.node === node)!;
    const free = allocator.freeFrames(node);
    const into = Math.floor((allocator.allocate(node, 0, { purpose: "user" }) - range.first) / 256);
    console.log(`  node ${node}: ${free} frames free, the next page ${into} MiB into its memory`);
  }
}
