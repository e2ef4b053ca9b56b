/** An invariant of one's own: nobody reads kernel text from farther than where the image lies. */
import type { Invariant, Subject } from "@kreplica/invariants";
import { frameAt } from "@kreplica/mm-core/api";

/** A row like those of the list; its letter is a group of one's own. */
export const NEAREST_TEXT: Invariant<Subject> = {
  id: "X1",
  when: "after boot",
  where: ["state"],
  sentence: "no node reads kernel text from a node that is farther from it than the node of the image",
  check(subject, verdict) {
    const { entries, layout, machine, view } = subject.kernel;
    // With one copy for all there is nothing to be farther than.
    if (view.holders.length === 1) {
      verdict.skip();
      return;
    }
    for (const node of machine.nodes) {
      // By the bytes of the tables that the node's CPUs walk, not by what the view says of itself.
      const frame = frameAt(entries.memory, subject.root(view.nearest(node)), layout.levels, subject.text.start);
      const from = frame === undefined ? view.master : machine.memory.nodeOf(frame);
      const [found, image] = [machine.distance(node, from), machine.distance(node, view.master)];
      if (found > image)
        verdict.fail(
          `node ${node} reads from node ${from}, ${found} away; the image lies on node ${view.master}, ${image}`,
        );
    }
  },
};
