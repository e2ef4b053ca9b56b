/** An invariant of one's own: nobody reads kernel text from farther than where the image lies. */
import type { Invariant, Subject } from "@kreplica/invariants";

/** A row like those of the list; its letter is a group of one's own. */
export const NEAREST_TEXT: Invariant<Subject> = {
  id: "X1",
  when: "after boot",
  where: ["state"],
  sentence: "no node reads kernel text from a node that is farther from it than the node of the image",
  check({ kernel: { machine, tables, view }, text }, verdict) {
    // With one copy for all there is nothing to be farther than.
    if (view.holders.length === 1) {
      verdict.skip();
      return;
    }
    for (const node of machine.nodes) {
      const leaf = tables.lookup(view.nearest(node), text.start);
      const from = leaf ? machine.memory.nodeOf(leaf.frame) : view.master;
      const [found, image] = [machine.distance(node, from), machine.distance(node, view.master)];
      if (found > image)
        verdict.fail(`node ${node} reads from node ${from}, ${found} away; the image lies on node ${view.master}, ${image}`);
    }
  },
};
