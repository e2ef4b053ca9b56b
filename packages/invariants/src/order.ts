/** Group H: the order of the boot, as it was witnessed at the end of each step. */
import { frameAt, userImageRange } from "@kreplica/mm-core/api";
import { entryPages, frameOf, hex, leafFrame, PAGE, pagesBetween, walkRange } from "@kreplica/hw-x86/api";
import type { Invariant } from "./invariant.js";
import { between, notWatched } from "./seen-steps.js";
import type { Subject } from "./subject.js";

export const ORDER: readonly Invariant<Subject>[] = [
  {
    id: "H1",
    when: "while booting",
    where: ["boot"],
    sentence:
      "reserve happens while memblock is the allocator; replicate text after buddy+pti_init and before " +
      "poking_init, ftrace_init, alternatives, AP start",
    check(subject, verdict) {
      if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
      const { copies, copyHolders } = subject.kernel.view;
      for (const { step, ownText } of between(subject, "load-image", "numa-replicate-kernel"))
        if (ownText) verdict.fail(`text was some node's own at ${step}, before the step that replicates it`);
      if (copyHolders)
        for (const { step, ownText, copyFrames } of between(subject, "load-image"))
          if (ownText || copyFrames > 0) verdict.fail(`copies that come later were there at ${step}`);
      if (!copies.text || copyHolders) return;
      for (const { step, ownText } of between(subject, "numa-replicate-kernel"))
        if (!ownText) verdict.fail(`text was not every node's own at ${step}`);
      // Room was taken from memblock: nothing for copies was allocated afterwards.
      const reserved = between(subject, "numa-reserve-memory")[0]?.copyFrames;
      for (const { step, copyFrames } of between(subject, "numa-reserve-memory"))
        if (copyFrames !== reserved)
          verdict.fail(`${copyFrames} frames were taken for copies at ${step}, ${reserved} when room was reserved`);
    },
  },
  {
    id: "H2",
    when: "while booting",
    where: ["boot"],
    sentence: "rodata copy happens after mark_readonly and before user space; extable sort precedes it",
    check(subject, verdict) {
      if (notWatched(subject) || !subject.isPast("numa-replicate-rodata") || !subject.kernel.view.copies.rodata)
        return verdict.skip();
      for (const { step, ownRodata } of between(subject, "load-image", "numa-replicate-rodata"))
        if (ownRodata) verdict.fail(`rodata was some node's own at ${step}, while it could still be written`);
      for (const { step, ownRodata } of between(subject, "numa-replicate-rodata"))
        if (!ownRodata) verdict.fail(`rodata was not every node's own at ${step}`);
      const order = subject.kernel.witness!.steps.map(({ step }) => step);
      for (const [earlier, later] of [
        ["sort-extable", "numa-replicate-rodata"],
        ["mark-rodata-ro", "numa-replicate-rodata"],
        ["numa-replicate-rodata", "running"],
      ] as const) {
        if (order.includes(later) && order.indexOf(earlier) > order.indexOf(later))
          verdict.fail(`${earlier} came after ${later}`);
      }
    },
  },
  {
    id: "H3",
    when: "while booting",
    where: ["boot"],
    sentence: "between H1 and H2 every node maps the same rodata frames (writes to __ro_after_init visible everywhere)",
    check(subject, verdict) {
      if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
      for (const { step, sameRodata } of between(subject, "numa-replicate-kernel", "numa-replicate-rodata"))
        if (!sameRodata)
          verdict.fail(
            `at ${step} nodes mapped different frames for rodata: what was written then is not seen everywhere`,
          );
    },
  },
  {
    id: "H4",
    when: "while booting",
    where: ["boot"],
    sentence: "text_replicated flips to true only after all text copies are installed, and never back",
    check(subject, verdict) {
      if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
      for (const { step, holders } of between(subject, "load-image", "numa-replicate-kernel"))
        if (holders.length > 1)
          verdict.fail(`nodes ${holders.join(", ")} held copies at ${step}, before there were any`);
      for (const { step, holders, equalText } of between(subject, "numa-replicate-kernel")) {
        if (holders.length < 2) verdict.fail(`there were no copies any more at ${step}`);
        if (!equalText) verdict.fail(`text was given out at ${step} before all copies held it`);
      }
    },
  },
  {
    id: "H5",
    when: "while booting",
    where: ["state"],
    sentence: "pti_finalize after rodata replication keeps user tables' text bytes equal to kernel's",
    check(subject, verdict) {
      const { layout, image, entries, options } = subject.kernel;
      if (!layout.pti || !subject.isPast("pti-finalize")) return verdict.skip();
      const { start, end } = userImageRange(layout, image, options.pcid);
      for (const { root, name } of subject.liveRoots) {
        walkRange(entries.memory, root + 1, layout.levels, pagesBetween(start, end), {
          leaf(address, level, lo, hi) {
            for (let page = 0; page < entryPages(level); page++) {
              const at = address + BigInt(page) * PAGE;
              if (at < start || at >= end) continue;
              const kernels = frameAt(entries.memory, root, layout.levels, at);
              const users = (level === 1 ? frameOf(lo, hi) : leafFrame(lo, hi, level)) + page;
              if (kernels === undefined || !entries.memory.equalFrames(users, kernels))
                verdict.fail(`${name}: user mode reads other bytes than the kernel at ${hex(at)}`);
            }
          },
        });
      }
    },
  },
  {
    id: "H6",
    when: "while booting",
    where: ["test packages/bench/test/check/compared-kernels.proof.test.ts"],
    sentence: "boot succeeds with boot CPU on any node, master on any node, node 0 memoryless/absent",
  },
];
