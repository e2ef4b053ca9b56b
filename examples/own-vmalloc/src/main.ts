/**
 * Takes and frees a hundred areas on a booted kernel with kreplica's vmalloc and with ours, and copies one to every
 * node.
 */
import { boot, preset } from "@kreplica/bench";
import { vmalloc } from "@kreplica/vmalloc";
import { Vmalloc } from "@kreplica/vmalloc/api";
import { firstFitVmalloc } from "./plugin.js";

for (const plugin of [vmalloc, firstFitVmalloc]) {
  const kernel = boot({ spec: preset("tiny-2-node")!, policy: "per-node", plugins: [plugin] });
  const { layout, machine, tables, view } = kernel;
  const areas = kernel.assembly.get(Vmalloc);
  const before = tables.flushes;
  const seen = new Set<bigint>();
  for (let n = 0; n < 100; n++) {
    const area = areas.allocate({ bytes: 4096 * (1 + (n % 3)), placement: { node: n % 2 }, purpose: "kernel" });
    seen.add(area.start);
    areas.free(area);
  }
  console.log(`${plugin.name}: 100 areas at ${seen.size} addresses, ${tables.flushes - before} shootdowns`);
  const [low, high] = [layout.modulesStart, layout.modulesEnd];
  const code = areas.allocate({ bytes: 8192, low, high, placement: { node: 0 }, purpose: "module" });
  const outcome = areas.replicate(code);
  const nodes = view.holders.map((node) => machine.memory.nodeOf(areas.toFrameOn(node, code.start)));
  console.log(
    `  an area of code is ${outcome}: nodes ${view.holders.join(", ")} read it from nodes ${nodes.join(", ")}`,
  );
}
