/**
 * Boots a kernel with a copy on two of three nodes, and one that goes by node numbers, and asks both of the invariant.
 */
import { judged } from "./judged.js";
import { ascendingHolders } from "./ascending.js";

for (const [name, plugins] of [
  ["by distance", []],
  ["by number", [ascendingHolders]],
] as const) {
  const { checked, violated } = judged(plugins);
  console.log(
    `${name}: ${checked.length} checked, X1 ${checked.includes("X1") ? "among them" : "not"}; broken: ${violated.length}`,
  );
  for (const { id, detail } of violated) console.log(`  ${id}: ${detail}`);
}
