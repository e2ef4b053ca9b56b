/** Group H and I3, I4: what was witnessed at the end of each step of the boot, and what is counted now. */
import { frameAt, pagesOf, userImageRange, walkRange } from "@kreplica/mm-core/api";
import { frameOf, leafFrame } from "@kreplica/hw-x86/api";
import type { Verdict } from "./invariant.js";
import type { Subject } from "./subject.js";
import type { StepSeen } from "./witness.js";

type Check = (subject: Subject, verdict: Verdict) => void;

/** Steps seen from one on, up to and without another. */
function between(subject: Subject, from: string, to?: string): readonly StepSeen[] {
  const seen = subject.kernel.witness?.steps ?? [];
  const first = seen.findIndex(({ step }) => step === from);
  const end = to === undefined ? seen.length : seen.findIndex(({ step }) => step === to);
  return first < 0 ? [] : seen.slice(first, end < 0 ? seen.length : end);
}

const notWatched = (subject: Subject): boolean => !subject.isReplicated || (subject.kernel.witness?.steps.length ?? 0) === 0;

export const ORDER_CHECKS: Readonly<Record<string, Check>> = {
  H1: (subject, verdict) => {
    if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
    const { copies } = subject.kernel.view;
    for (const { step, ownText } of between(subject, "load-image", "numa-replicate-kernel")) if (ownText) verdict.fail(`text was some node's own at ${step}, before the step that replicates it`);
    if (!copies.text) return;
    for (const { step, ownText } of between(subject, "numa-replicate-kernel")) if (!ownText) verdict.fail(`text was not every node's own at ${step}`);
    // Room was taken from memblock: nothing for copies was allocated afterwards.
    const reserved = between(subject, "numa-reserve-memory")[0]?.copyFrames;
    for (const { step, copyFrames } of between(subject, "numa-reserve-memory")) if (copyFrames !== reserved) verdict.fail(`${copyFrames} frames were taken for copies at ${step}, ${reserved} when room was reserved`);
  },
  H2: (subject, verdict) => {
    if (notWatched(subject) || !subject.isPast("numa-replicate-rodata") || !subject.kernel.view.copies.rodata) return verdict.skip();
    for (const { step, ownRodata } of between(subject, "load-image", "numa-replicate-rodata")) if (ownRodata) verdict.fail(`rodata was some node's own at ${step}, while it could still be written`);
    for (const { step, ownRodata } of between(subject, "numa-replicate-rodata")) if (!ownRodata) verdict.fail(`rodata was not every node's own at ${step}`);
    const order = subject.kernel.witness!.steps.map(({ step }) => step);
    for (const [earlier, later] of [["sort-extable", "numa-replicate-rodata"], ["mark-rodata-ro", "numa-replicate-rodata"], ["numa-replicate-rodata", "running"]] as const) {
      if (order.includes(later) && order.indexOf(earlier) > order.indexOf(later)) verdict.fail(`${earlier} came after ${later}`);
    }
  },
  H3: (subject, verdict) => {
    if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
    for (const { step, sameRodata } of between(subject, "numa-replicate-kernel", "numa-replicate-rodata")) if (!sameRodata) verdict.fail(`at ${step} nodes mapped different frames for rodata: what was written then is not seen everywhere`);
  },
  H4: (subject, verdict) => {
    if (notWatched(subject) || !subject.isPast("numa-replicate-kernel")) return verdict.skip();
    for (const { step, holders } of between(subject, "load-image", "numa-replicate-kernel")) if (holders.length > 1) verdict.fail(`nodes ${holders.join(", ")} held copies at ${step}, before there were any`);
    for (const { step, holders, equalText } of between(subject, "numa-replicate-kernel")) {
      if (holders.length < 2) verdict.fail(`there were no copies any more at ${step}`);
      if (!equalText) verdict.fail(`text was given out at ${step} before all copies held it`);
    }
  },
  H5: (subject, verdict) => {
    const { layout, image, entries, options } = subject.kernel;
    if (!layout.pti || !subject.isPast("pti-finalize")) return verdict.skip();
    const { start, end } = userImageRange(layout, image, options.pcid);
    for (const { root, name } of subject.liveRoots) {
      walkRange(entries.memory, root + 1, layout.levels, start, end - 1n, {
        leaf(address, level, lo, hi) {
          for (let page = 0n; page < 1n << BigInt(9 * (level - 1)); page++) {
            const at = address + page * 4096n;
            if (at < start || at >= end) continue;
            const kernels = frameAt(entries.memory, root, layout.levels, at);
            const users = (level === 1 ? frameOf(lo, hi) : leafFrame(lo, hi, level)) + Number(page);
            if (kernels === undefined || !entries.memory.equalFrames(users, kernels)) verdict.fail(`${name}: user mode reads other bytes than the kernel at 0x${at.toString(16)}`);
          }
        },
      });
    }
  },
  I3: (subject, verdict) => {
    if (!subject.isPast("numa-replicate-rodata")) return verdict.skip();
    const { machine, allocator, view } = subject.kernel;
    for (const part of [subject.text, subject.rodata]) {
      const purpose = part.name as "text" | "rodata";
      const counted = machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, purpose), 0);
      const wanted = view.copies[purpose] ? (subject.holders.length - 1) * pagesOf(part.start, part.start + BigInt(part.pages) * 4096n) : 0;
      if (counted !== wanted) verdict.fail(`${counted} frames are used for copies of ${part.name}, ${subject.holders.length - 1} copies need ${wanted}`);
    }
  },
  I4: (subject, verdict) => {
    const settled = between(subject, "numa-replicate-kernel")[0]?.holders;
    if (notWatched(subject) || !settled) return verdict.skip();
    const now = subject.holders;
    if (now.join() !== settled.join()) verdict.fail(`nodes ${settled.join(", ")} held copies when room was reserved, now ${now.join(", ")}`);
  },
};
