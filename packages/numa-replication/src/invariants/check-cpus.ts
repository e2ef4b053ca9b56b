/** Group G, as far as a kernel at rest shows it: what CR3 of every CPU holds, and where the code it runs lies. */
import { leafFrame } from "@kreplica/hw-x86/api";
import { userImageRange, walkRange } from "@kreplica/mm-core/api";
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
      const away = switcher.temporary(cpu);
      if (away) {
        // The exceptions the sentence names: firmware's tables and the poking alias's, while they are loaded.
        if (rootFrame !== away.root(node)) verdict.fail(`CR3 of CPU ${cpu} names frame ${rootFrame}, not ${away.root(node)}: the root of ${away.name} for node ${node}`);
        continue;
      }
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
  G11: (subject, verdict) => {
    const { layout, image, entries, options, view, spaces } = subject.kernel;
    if (!layout.pti || !subject.isReplicated || !view.copies.text || !subject.isPast("pti-finalize")) return verdict.skip();
    const { start, end } = userImageRange(layout, image, options.pcid);
    const textEnd = subject.text.start + BigInt(subject.text.pages) * 4096n;
    const halves = [
      ...subject.holders.map((node) => ({ node, root: subject.root(node) + 1, whose: `node ${node}` })),
      ...[...spaces.all].flatMap((space) => space.pgdNodes.map((node) => ({ node, root: space.pgd(node) + 1, whose: `space ${space.id} on node ${node}` }))),
    ];
    for (const { node, root, whose } of halves) {
      walkRange(entries.memory, root, layout.levels, start, (end < textEnd ? end : textEnd) - 1n, {
        leaf(address, level, lo, hi) {
          // 2 MiB of memory lie on one node, so that the first frame of a leaf speaks for all.
          const owner = entries.memory.nodeOf(leafFrame(lo, hi, level));
          if (owner !== node) verdict.fail(`the user half of ${whose} leads to node ${owner} at 0x${address.toString(16)}: its CPUs fetch that node's copy when they enter the kernel, and the translation is global`);
        },
      });
    }
  },
};
