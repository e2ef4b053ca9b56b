/** Group G, as far as a kernel at rest shows it: what CR3 of every CPU holds, and where the code it runs lies. */
import type { Verdict } from "./invariant.js";
import type { Subject } from "./subject.js";

type Check = (subject: Subject, verdict: Verdict) => void;

export const CPU_CHECKS: Readonly<Record<string, Check>> = {
  G1: (subject, verdict) => {
    if (!subject.isPast("smp-init")) return verdict.skip();
    const { machine, switcher, layout } = subject.kernel;
    for (const cpu of machine.cpuIds) {
      const node = machine.nodeOfCpu(cpu);
      const { rootFrame, privilege } = machine.cpu(cpu);
      const space = switcher.loaded(cpu);
      const wanted = (space ? space.pgd(node) : subject.root(node)) + (privilege === 3 && layout.pti ? 1 : 0);
      if (rootFrame !== wanted) verdict.fail(`CR3 of CPU ${cpu} names frame ${rootFrame}, not ${wanted}: ${space ? `the PGD of space ${space.id}, which it has loaded, for` : "the root of"} node ${node}`);
    }
  },
  G10: (subject, verdict) => {
    if (!subject.isReplicated || !subject.isPast("smp-init")) return verdict.skip();
    const { machine, view, entries } = subject.kernel;
    const seen = new Set<number>();
    for (const cpu of machine.cpuIds) {
      const root = machine.cpu(cpu).rootFrame;
      const home = view.nearest(machine.nodeOfCpu(cpu));
      // CPUs on one root run the same bytes; a user half or a process's PGD leads to the same tables or is no holder's business.
      if (seen.has(root) || root !== subject.root(machine.nodeOfCpu(cpu))) continue;
      seen.add(root);
      for (const part of subject.copied) {
        const { frames } = subject.reader.read(root, part.start, part.pages);
        frames.forEach((frame, page) => {
          const node = entries.memory.nodeOf(frame);
          if (node !== home) verdict.fail(`CPU ${cpu} of node ${machine.nodeOfCpu(cpu)} fetches ${part.name} page ${page} from node ${node}, its copy is on node ${home}`);
        });
      }
    }
  },
};
