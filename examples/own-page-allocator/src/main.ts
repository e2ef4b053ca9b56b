/** Boots a kernel with a copy on every node twice, by buddy lists and by bitmaps, and shows where the copies lie. */
import { boot, preset } from "@kreplica/bench";
import { bitmapAllocator } from "./plugin.js";

const spec = preset("tiny-2-node")!;
for (const [name, plugins] of [
  ["buddy lists", []],
  ["bitmaps", [bitmapAllocator]],
] as const) {
  const kernel = boot({ spec, policy: "per-node", plugins });
  const { allocator, image, machine, view } = kernel;
  const { checked, violated } = kernel.checkInvariants();
  console.log(`${name}: ${checked.length - violated.length} of ${checked.length} invariants checked hold`);
  for (const node of machine.nodes) {
    const range = machine.memory.ranges.find((each) => each.node === node)!;
    const mebibytes = ((view.replicaFrame(image.stext, node)! - range.first) * 4096) / 2 ** 20;
    console.log(`  node ${node}: text ${mebibytes} MiB into its memory, ${allocator.freeFrames(node)} frames free`);
  }
}
