/** Group G, as far as a kernel at rest shows it: what CR3 of every CPU holds, and where the code it runs lies. */
import { entryPages, hex, leafFrame, overlap, PAGE, pagesBetween, walkRange } from "@kreplica/hw-x86/api";
import { userImageRange } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import type { Subject } from "./subject.js";

export const CPUS: readonly Invariant<Subject>[] = [
  {
    id: "G1",
    when: "after bring-up",
    where: ["state", "run"],
    sentence: "steady state: CR3.base(cpu) = pgd_numa[node(cpu)] of loaded_mm, except loaded_mm ∈ {poking_mm, efi_mm}",
    check(subject, verdict) {
      if (!subject.isPast("smp-init")) return verdict.skip();
      const { machine, switcher, layout } = subject.kernel;
      for (const cpu of machine.cpuIds) {
        const node = machine.nodeOfCpu(cpu);
        const { rootFrame, privilege } = machine.cpu(cpu);
        const away = switcher.temporary(cpu);
        if (away) {
          // The exceptions the sentence names: firmware's tables and the poking alias's, while they are loaded.
          if (rootFrame !== away.root(node))
            verdict.fail(
              `CR3 of CPU ${cpu} names frame ${rootFrame}, not ${away.root(node)}: the root of ${away.name} for node ${node}`,
            );
          continue;
        }
        const space = switcher.loaded(cpu);
        const wanted = (space ? space.pgd(node) : subject.root(node)) + (privilege === 3 && layout.pti ? 1 : 0);
        if (rootFrame !== wanted)
          verdict.fail(
            `CR3 of CPU ${cpu} names frame ${rootFrame}, not ${wanted}: ${space ? `the PGD of space ${space.id}, which it has loaded, for` : "the root of"} node ${node}`,
          );
      }
    },
  },
  {
    id: "G2",
    when: "KPTI",
    where: ["run"],
    sentence: "CR3 bit 12/11 toggle moves within the same node pair; base above bit 12 unchanged by entry/exit",
  },
  {
    id: "G3",
    when: "always",
    where: ["run"],
    sentence: "a context switch between threads of the same mm on one CPU writes no CR3 and changes no root",
  },
  {
    id: "G4",
    when: "always",
    where: ["run"],
    sentence: "thread migration node a→b changes kernel frames used, never user frames, and needs no page-table write",
  },
  {
    id: "G5",
    when: "always",
    where: ["run"],
    sentence:
      "(cpu, PCID, va) → at most one translation; PCID reuse never exposes another node's frame with " +
      "different bytes",
  },
  {
    id: "G6",
    when: "always",
    where: ["run"],
    sentence:
      "after flush_tlb_kernel_range / flush_tlb_all completes no CPU holds a stale entry for any replica " +
      "of the range",
  },
  {
    id: "G7",
    when: "hotplug",
    where: ["run"],
    sentence: "AP runs on node root before its first use of per-mm TLB state; re-onlined CPU likewise",
  },
  {
    id: "G8",
    when: "DEBUG_VM",
    where: ["run"],
    sentence: 'debug check "CR3 == expected root" uses the node\'s root',
  },
  {
    id: "G9",
    when: "runtime",
    where: ["run"],
    sentence: "spurious kernel fault is recognised on every node (stale RO→RW entry in W)",
  },
  {
    id: "G10",
    when: "after boot",
    where: ["state"],
    sentence:
      "steady-state instruction/rodata fetch from core text on node n hits only node-n memory (remote " +
      "kernel-ifetch count = 0), except documented node-0 users: efi, poking window, KPTI entry text",
    check(subject, verdict) {
      if (!subject.isReplicated || !subject.isPast("smp-init")) return verdict.skip();
      const { machine, entries } = subject.kernel;
      const seen = new Set<number>();
      for (const cpu of machine.cpuIds) {
        const root = machine.cpu(cpu).rootFrame;
        const home = subject.copyNode(machine.nodeOfCpu(cpu));
        // CPUs on one root run the same bytes; a user half or a process's PGD leads to the same tables or is no
        // holder's business.
        if (seen.has(root) || root !== subject.root(machine.nodeOfCpu(cpu))) continue;
        seen.add(root);
        for (const part of subject.copied) {
          const { frames } = subject.reader.read(root, part);
          frames.forEach((frame, page) => {
            const node = entries.memory.nodeOf(frame);
            if (node !== home)
              verdict.fail(
                `CPU ${cpu} of node ${machine.nodeOfCpu(cpu)} fetches ${part.name} page ${page} from node ${node}, its copy is on node ${home}`,
              );
          });
        }
      }
    },
  },
  {
    id: "G11",
    when: "KPTI, after pti_finalize",
    where: ["state"],
    sentence:
      "entry text that is copied, and that the user half of node n's pair maps, lies on node n: what a CPU of n fetches on its " +
      "way into the kernel, and keeps as a global translation in it, is its own node's frame",
    check(subject, verdict) {
      const { layout, image, entries, options, view, spaces } = subject.kernel;
      if (!layout.pti || !subject.isReplicated || !view.copies.text || !subject.isPast("pti-finalize"))
        return verdict.skip();
      const { start, end } = userImageRange(layout, image, options.pcid);
      const textEnd = subject.text.start + BigInt(subject.text.pages) * PAGE;
      const halves = [
        ...subject.holders.map((node) => ({ node, root: subject.root(node) + 1, whose: `node ${node}` })),
        ...[...spaces.all].flatMap((space) =>
          space.pgdNodes.map((node) => ({
            node,
            root: space.pgd(node) + 1,
            whose: `space ${space.id} on node ${node}`,
          })),
        ),
      ];
      for (const { node, root, whose } of halves) {
        walkRange(entries.memory, root, layout.levels, pagesBetween(start, end < textEnd ? end : textEnd), {
          leaf(address, level, lo, hi) {
            if (!subject.copied.some((part) => overlap(part, { start: address, pages: entryPages(level) }))) return;
            // 2 MiB of memory lie on one node, so that the first frame of a leaf speaks for all.
            const owner = entries.memory.nodeOf(leafFrame(lo, hi, level));
            if (owner !== subject.copyNode(node))
              verdict.fail(
                `the user half of ${whose} leads to node ${owner} at ${hex(address)}: its CPUs fetch that node's copy when they enter the kernel, and the translation is global`,
              );
          },
        });
      }
    },
  },
];

/** What processors do not forgive. */
export const PROCESSORS: readonly Invariant<Subject>[] = [
  {
    id: "G16",
    when: "processors that raise a machine check then",
    where: ["run"],
    sentence:
      "no instruction fetch meets translations of two sizes for its address: a page that may be executed changes its " +
      "size by way of an absent entry and a flush",
  },
];

/** What a CPU reaches of memory that comes. */
export const HOTPLUG: readonly Invariant<Subject>[] = [
  {
    id: "G15",
    when: "hotplug",
    where: ["run"],
    sentence:
      "the CPU that writes the descriptors of memory that comes reaches them through vmemmap, on whichever tables it has loaded",
  },
];
