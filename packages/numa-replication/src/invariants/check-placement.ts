/** Group A: where copies are, what is in them, and what must not be copied. */
import { isLeaf, isPresent } from "@kreplica/hw-x86/api";
import { descriptorAddress, directAddress, imageAddress, imageFrame, pagesOf, sameBytes } from "@kreplica/mm-core/api";
import { memoryNodes } from "../policy.js";
import type { Verdict } from "./invariant.js";
import { Flag, type Pages } from "./page-reader.js";
import type { Part, Subject } from "./subject.js";
import { compareWindow } from "./window.js";

const hex = (address: bigint): string => `0x${address.toString(16)}`;
const at = (part: Part, page: number): string => `${part.name} page ${page} (${hex(part.start + BigInt(page) * 4096n)})`;

/** Calls `each` for every page of every copied part on every holder; `first` is the first holder's view. */
function copies(subject: Subject, each: (part: Part, page: number, node: number, pages: Pages, first: Pages) => void): void {
  for (const part of subject.copied) {
    const first = subject.reader.read(subject.root(subject.holders[0]!), part.start, part.pages);
    for (const node of subject.holders) {
      const pages = subject.reader.read(subject.root(node), part.start, part.pages);
      for (let page = 0; page < part.pages; page++) each(part, page, node, pages, first);
    }
  }
}

type Check = (subject: Subject, verdict: Verdict) => void;

export const PLACEMENT_CHECKS: Readonly<Record<string, Check>> = {
  A1: (subject, verdict) => {
    const { entries, patchedNow } = subject.kernel;
    for (const node of subject.holders) {
      const pages = subject.reader.read(subject.root(node), subject.text.start, subject.text.pages);
      const first = subject.reader.read(subject.root(subject.holders[0]!), subject.text.start, subject.text.pages);
      for (let page = 0; page < subject.text.pages; page++) {
        if (!(pages.flags[page]! & Flag.Present)) verdict.fail(`node ${node} does not map ${at(subject.text, page)}`);
        else if (!sameBytes(entries.memory, pages.frames[page]!, first.frames[page]!, subject.text.start + BigInt(page) * 4096n, patchedNow)) verdict.fail(`node ${node} reads other bytes than node ${subject.holders[0]} at ${at(subject.text, page)}`);
      }
    }
  },
  A2: (subject, verdict) => {
    if (!subject.isReplicated) return verdict.skip();
    copies(subject, (part, page, node, { frames }) => {
      const owner = subject.kernel.entries.memory.nodeOf(frames[page]!);
      if (owner !== node) verdict.fail(`${at(part, page)} of node ${node} lies on node ${owner}`);
    });
  },
  A3: (subject, verdict) => {
    if (!subject.isReplicated) return verdict.skip();
    for (const part of subject.copied) {
      const owners = new Map<number, number>();
      for (const node of subject.holders) {
        const { frames } = subject.reader.read(subject.root(node), part.start, part.pages);
        frames.forEach((frame, page) => {
          const other = owners.get(frame);
          if (other !== undefined && other !== node) verdict.fail(`nodes ${other} and ${node} use the same frame for ${at(part, page)}`);
          owners.set(frame, node);
        });
      }
    }
  },
  A4: (subject, verdict) => {
    if (!subject.isReplicated) return verdict.skip();
    compareWindow(subject, (address, node, mine, theirs) => {
      if (mine.frame !== theirs.frame || (mine.flags & Flag.Present) !== (theirs.flags & Flag.Present)) {
        verdict.fail(`${hex(address)}: node ${node} has ${mine.flags & Flag.Present ? `frame ${mine.frame}` : "a hole"}, node ${subject.holders[0]} ${theirs.flags & Flag.Present ? `frame ${theirs.frame}` : "a hole"}`);
      }
    });
  },
  A5: (subject, verdict) => {
    if (!subject.isPast("numa-replicate-rodata")) return verdict.skip();
    const { memory } = subject.kernel.entries;
    const { rodata } = subject;
    for (const node of subject.holders) {
      const { frames } = subject.reader.read(subject.root(node), rodata.start, rodata.pages);
      frames.forEach((frame, page) => {
        if (!memory.equalFrames(frame, rodata.original + page)) verdict.fail(`node ${node} reads other bytes than the booted copy at ${at(rodata, page)}`);
      });
    }
    const versions = subject.kernel.witness?.rodataVersions;
    versions?.forEach((version, page) => {
      if (memory.version(rodata.original + page) !== version) verdict.fail(`the booted copy of ${at(rodata, page)} was written after mark_rodata_ro`);
    });
  },
  A6: (subject, verdict) => {
    for (const part of [subject.text, subject.rodata]) {
      const { frames } = subject.reader.read(subject.root(subject.kernel.view.master), part.start, part.pages);
      frames.forEach((frame, page) => {
        if (frame !== part.original + page) verdict.fail(`node ${subject.kernel.view.master} owns the image and does not use the booted frame of ${at(part, page)}`);
      });
    }
  },
  A7: (subject, verdict) => {
    const { image, layout } = subject.kernel;
    for (const section of image.sections) {
      if (!["data", "bss", "brk"].includes(section.kind)) continue;
      const first = imageFrame(layout, image.stext, section.start & ~4095n);
      const pages = pagesOf(section.start & ~4095n, section.end);
      for (const { root, name } of subject.liveRoots) {
        const found = subject.reader.read(root, imageAddress(layout, section.start & ~4095n), pages);
        for (let page = 0; page < pages; page++) {
          if (found.flags[page]! & Flag.Present && found.frames[page] !== first + page) verdict.fail(`${name} maps ${section.name} + ${page} pages to frame ${found.frames[page]}: a store there is not seen elsewhere`);
        }
      }
    }
  },
  A8: (subject, verdict) => {
    if (!subject.isReplicated) return verdict.skip();
    const { machine, view } = subject.kernel;
    for (const node of machine.nodes) {
      const nearest = [...subject.holders].sort((a, b) => machine.distance(node, a) - machine.distance(node, b) || a - b)[0]!;
      if (subject.root(node) !== subject.root(nearest)) verdict.fail(`node ${node} does not use the root of node ${nearest}, its nearest holder, but that of node ${view.nearest(node)}`);
    }
  },
  A9: (subject, verdict) => {
    if (!subject.isReplicated) return verdict.skip();
    for (const part of subject.copied) {
      for (const node of subject.holders) {
        for (let page = 0; page < part.pages; page += 512) {
          const found = subject.reader.entry(subject.root(node), part.start + BigInt(page) * 4096n, 2);
          // Bits 13 to 20 of a 2 MiB leaf are reserved: a frame that is not on 2 MiB sets some.
          if (found && isPresent(found.lo) && isLeaf(found.lo, 2) && (found.lo & 0x1f_e000) !== 0) verdict.fail(`node ${node}: ${at(part, page)} is a 2 MiB leaf whose frame is not on 2 MiB`);
        }
      }
    }
  },
  A10: (subject, verdict) => {
    if (!subject.isPast("setup-arch")) return verdict.skip();
    // __pa is arithmetic, and __va and virt_to_page follow from it: what has to hold is that the tables of every CPU lead from there to
    // the booted frame and to its one descriptor. That the master runs these frames is A6.
    const { layout, machine } = subject.kernel;
    const roots = new Map(machine.cpuIds.map((cpu) => [subject.root(machine.nodeOfCpu(cpu)), machine.nodeOfCpu(cpu)]));
    for (const part of [subject.text, subject.rodata]) {
      const descriptors = descriptorAddress(layout, part.original) & ~4095n;
      const pages = pagesOf(descriptors, descriptorAddress(layout, part.original + part.pages));
      let first: Pages | undefined;
      for (const [root, node] of roots) {
        const direct = subject.reader.read(root, directAddress(layout, part.original), part.pages);
        for (let page = 0; page < part.pages; page++) {
          if (!(direct.flags[page]! & Flag.Present) || direct.frames[page] !== part.original + page) verdict.fail(`on node ${node} __pa of ${at(part, page)} names frame ${part.original + page}, which its direct map does not lead to`);
        }
        const found = subject.reader.read(root, descriptors, pages);
        first ??= found;
        for (let page = 0; page < pages; page++) {
          if (!(found.flags[page]! & Flag.Present)) verdict.fail(`on node ${node} virt_to_page of ${part.name} has no descriptor at ${hex(descriptors + BigInt(page) * 4096n)}`);
          else if (found.frames[page] !== first.frames[page]) verdict.fail(`on node ${node} virt_to_page of ${part.name} names another descriptor than elsewhere, at ${hex(descriptors + BigInt(page) * 4096n)}`);
        }
      }
    }
  },
  A11: (subject, verdict) => {
    const { machine, allocator } = subject.kernel;
    if (subject.isReplicated && memoryNodes(machine).length > 1) return verdict.skip();
    const extra = machine.nodes.reduce((sum, node) => sum + allocator.usedFrames(node, "text") + allocator.usedFrames(node, "rodata"), 0);
    if (extra > 0) verdict.fail(`${extra} frames of text and rodata for one holder`);
    if (subject.liveRoots.length > 1) verdict.fail(`${subject.liveRoots.length} roots for one holder`);
  },
};

