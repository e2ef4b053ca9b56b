/**
 * One CPU's node among the machine's, in words: how far it is from the image's, and which nodes its figures say nothing
 * about.
 */
import type { NodePlace, Relation } from "@kreplica/replay";

const RELATIONS: readonly Relation[] = ["same node", "same socket", "other socket"];
export const ns = (value: number): string => `${Number(value.toFixed(1))} ns`;

/** A node, as a clause after its name. */
export const placeText = ({ relation, imageNs }: NodePlace): string =>
  relation === "same node"
    ? "which holds the image"
    : `in ${relation === "same socket" ? "the image's socket" : "another socket than the image"}, ${ns(imageNs)} from it`;

/**
 * The other nodes with CPUs, farthest first, and the option that shows each; or that there is none.
 * @param own node that the figures are of @param they subject and verb: `They say`
 */
export function otherNodesText(machine: string, own: NodePlace, nodes: readonly NodePlace[], they: string): string {
  const others = nodes.filter((each) => each.node !== own.node);
  const list = (some: readonly NodePlace[]): string => {
    const shown = some
      .slice(0, 4)
      .map((each) => `${each.node} (--cpu ${each.cpu})`)
      .join(", ");
    return some.length > 4 ? `${shown} and ${some.length - 4} more` : shown;
  };
  const rest = RELATIONS.flatMap((each) => {
    const some = others
      .filter((other) => other.relation === each)
      .sort((a, b) => b.imageNs - a.imageNs || a.node - b.node);
    if (some.length === 0) return [];
    const far = [...new Set([some.at(-1)!.imageNs, some[0]!.imageNs])]
      .map((value) => Number(value.toFixed(1)))
      .join(" to ");
    return [`${each === "same node" ? "the image's own" : each}, ${far} ns: node ${list(some)}`];
  });
  return rest.length === 0
    ? `${machine} has no other node with CPUs.`
    : `${they} nothing of other nodes, farthest first: ${rest.join("; ")}.`;
}
