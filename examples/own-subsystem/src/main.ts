/** Boots a kernel with a copy on every node and the service, flips one bit of one copy, and asks. */
import { boot, preset } from "@kreplica/bench";
import { textChecksums } from "./plugin.js";
import { TextChecksums } from "./text-checksums.js";

const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [textChecksums] });
const checksums = kernel.assembly.get(TextChecksums);
const told = (): string =>
  kernel.view.holders.map((node) => `node ${node} ${checksums.of(node).toString(16).padStart(8, "0")}`).join(", ");

checksums.remember();
console.log("after boot:", told());
const frame = kernel.view.replicaFrame(kernel.image.stext, 1)!;
kernel.machine.memory.write32(frame + 3, 5, kernel.machine.memory.read32(frame + 3, 5) ^ 1);
console.log("one bit flipped:", told());
for (const { node, address } of checksums.changed())
  console.log(`  node ${node}: the page at 0x${address.toString(16)} is not what it was`);
