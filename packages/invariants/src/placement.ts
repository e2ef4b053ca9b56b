/** Group A: where copies are, what is in them, and what must not be copied. */
import { bytesOf, hex, isLeaf, isPresent, PAGE, pagesBetween } from "@kreplica/hw-x86/api";
import { descriptorAddress, directAddress, imageAddress, imageFrame, sameBytes } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import { Flag, type Pages } from "./page-reader.js";
import type { Part, Subject } from "./subject.js";
import { type Compared, compareWindow } from "./window.js";

const at = (part: Part, page: number): string => `${part.name} page ${page} (${hex(part.start + BigInt(page) * PAGE)})`;

/** Calls `each` for every page of every copied part on every holder; `first` is the first holder's view. */
function copies(
  subject: Subject,
  each: (part: Part, page: number, node: number, pages: Pages, first: Pages) => void,
): void {
  for (const part of subject.copied) {
    const first = subject.reader.read(subject.root(subject.holders[0]!), part);
    for (const node of subject.holders) {
      const pages = subject.reader.read(subject.root(node), part);
      for (let page = 0; page < part.pages; page++) each(part, page, node, pages, first);
    }
  }
}

export const PLACEMENT: readonly Invariant<Subject>[] = [
  {
    id: "A1",
    when: "from end of numa_replicate_kernel forever, outside an open patch phase",
    where: ["state"],
    sentence: "∀n∈R, va∈TEXT: walk(T(n),va) is present and bytes equal bytes through T(m) for all m∈R",
    check(subject, verdict) {
      const { entries, patchedNow } = subject.kernel;
      for (const node of subject.holders) {
        const pages = subject.reader.read(subject.root(node), subject.text);
        const first = subject.reader.read(subject.root(subject.holders[0]!), subject.text);
        for (let page = 0; page < subject.text.pages; page++) {
          if (!(pages.flags[page]! & Flag.Present)) verdict.fail(`node ${node} does not map ${at(subject.text, page)}`);
          else if (
            !sameBytes(
              entries.memory,
              pages.frames[page]!,
              first.frames[page]!,
              subject.text.start + BigInt(page) * PAGE,
              patchedNow,
            )
          )
            verdict.fail(`node ${node} reads other bytes than node ${subject.holders[0]} at ${at(subject.text, page)}`);
        }
      }
    },
  },
  {
    id: "A2",
    when: "after boot (TEXT: after step 7, RO: after step 15)",
    where: ["state"],
    sentence:
      "∀n∈R, va∈TEXT∪RO: node(frame(n,va)) = n, or, where copies come later and n has none now, the master's frame",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      copies(subject, (part, page, node, { frames }) => {
        const owner = subject.kernel.entries.memory.nodeOf(frames[page]!);
        if (!subject.copyHolders.includes(node)) {
          if (frames[page] !== part.original + page)
            verdict.fail(`node ${node} has no copy, and frame ${frames[page]} for ${at(part, page)}, not the master's`);
        } else if (owner !== node) verdict.fail(`${at(part, page)} of node ${node} lies on node ${owner}`);
      });
    },
  },
  {
    id: "A3",
    when: "after boot",
    where: ["state"],
    sentence:
      '∀n≠m∈R, va∈TEXT∪RO: frame(n,va) ≠ frame(m,va) (copies really used; catches "mapped the source ' +
      'frame" bug of 2003 v0)',
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      for (const part of subject.copied) {
        const owners = new Map<number, number>();
        for (const node of subject.copyHolders) {
          const { frames } = subject.reader.read(subject.root(node), part);
          frames.forEach((frame, page) => {
            const other = owners.get(frame);
            if (other !== undefined && other !== node)
              verdict.fail(`nodes ${other} and ${node} use the same frame for ${at(part, page)}`);
            owners.set(frame, node);
          });
        }
      }
    },
  },
  {
    id: "A4",
    when: "always",
    where: ["state"],
    sentence:
      "∀n,m∈R, va∈W outside TEXT, RO and replicated module areas: walk(T(n),va) and walk(T(m),va) give the " +
      "same pfn (or both hole)",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const frames: Compared = {
        matters: (mine, first) =>
          mine.frame !== first.frame || (mine.flags & Flag.Present) !== (first.flags & Flag.Present),
        outside: [...subject.copied.map(bytesOf), ...(subject.kernel.replicatedAreas ?? [])],
      };
      compareWindow(subject, frames, (address, node, mine, theirs) => {
        verdict.fail(
          `${hex(address)}: node ${node} has ${mine.flags & Flag.Present ? `frame ${mine.frame}` : "a hole"}, node ${subject.holders[0]} ${theirs.flags & Flag.Present ? `frame ${theirs.frame}` : "a hole"}`,
        );
      });
    },
  },
  {
    id: "A5",
    when: "after step 15",
    where: ["state", "boot"],
    sentence: "RO bytes equal across R, and equal to master's bytes as of mark_rodata_ro",
    check(subject, verdict) {
      if (!subject.isPast("numa-replicate-rodata")) return verdict.skip();
      const { memory } = subject.kernel.entries;
      const { rodata } = subject;
      for (const node of subject.holders) {
        const { frames } = subject.reader.read(subject.root(node), rodata);
        frames.forEach((frame, page) => {
          if (!memory.equalFrames(frame, rodata.original + page))
            verdict.fail(`node ${node} reads other bytes than the booted copy at ${at(rodata, page)}`);
        });
      }
      const versions = subject.kernel.witness?.rodataVersions;
      versions?.forEach((version, page) => {
        if (memory.version(rodata.original + page) !== version)
          verdict.fail(`the booted copy of ${at(rodata, page)} was written after mark_rodata_ro`);
      });
    },
  },
  {
    id: "A6",
    when: "after boot",
    where: ["state"],
    sentence: "master node's TEXT/RO frames are the originally booted frames (no extra copy)",
    check(subject, verdict) {
      for (const part of [subject.text, subject.rodata]) {
        const { frames } = subject.reader.read(subject.root(subject.kernel.view.master), part);
        frames.forEach((frame, page) => {
          if (frame !== part.original + page)
            verdict.fail(
              `node ${subject.kernel.view.master} owns the image and does not use the booted frame of ${at(part, page)}`,
            );
        });
      }
    },
  },
  {
    id: "A7",
    when: "always",
    where: ["state"],
    sentence:
      "No writable-data frame (.data, .bss, brk, percpu) is replicated; a store on node n is visible to a " +
      "load on node m at the same VA",
    check(subject, verdict) {
      const { image, layout } = subject.kernel;
      for (const section of image.sections) {
        if (!["data", "bss", "brk"].includes(section.kind)) continue;
        const first = imageFrame(layout, image.stext, section.start & ~(PAGE - 1n));
        const pages = pagesBetween(section.start & ~(PAGE - 1n), section.end).pages;
        for (const { root, name } of subject.liveRoots) {
          const found = subject.reader.read(root, { start: imageAddress(layout, section.start & ~(PAGE - 1n)), pages });
          for (let page = 0; page < pages; page++) {
            if (found.flags[page]! & Flag.Present && found.frames[page] !== first + page)
              verdict.fail(
                `${name} maps ${section.name} + ${page} pages to frame ${found.frames[page]}: a store there is not seen elsewhere`,
              );
          }
        }
      }
    },
  },
  {
    id: "A8",
    when: "after step 7",
    where: ["state"],
    sentence:
      "memoryless node k: pgd_numa[k] is the same pointer as pgd_numa[near(k)], near(k) minimises " +
      "node_distance over R, over those of k's group where the policy groups nodes (lowest id on ties)",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const { machine, view } = subject.kernel;
      for (const node of machine.nodes) {
        const group = view.groups?.find((each) => each.includes(node));
        const shared = subject.holders.filter((each) => group?.includes(each));
        const nearest = [...(shared.length > 0 ? shared : subject.holders)].sort(
          (a, b) => machine.distance(node, a) - machine.distance(node, b) || a - b,
        )[0]!;
        if (subject.root(node) !== subject.root(nearest))
          verdict.fail(
            `node ${node} does not use the root of node ${nearest}, its nearest holder, but that of node ${view.nearest(node)}`,
          );
      }
    },
  },
  {
    id: "A9",
    when: "after step 7",
    where: ["state"],
    sentence: "Replica frames are 2 MiB aligned and contiguous when mapped by PMD leaves",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      for (const part of subject.copied) {
        for (const node of subject.holders) {
          for (let page = 0; page < part.pages; page += 512) {
            const found = subject.reader.entry(subject.root(node), part.start + BigInt(page) * PAGE, 2);
            // Bits 13 to 20 of a 2 MiB leaf are reserved: a frame that is not on 2 MiB sets some.
            if (found && isPresent(found.lo) && isLeaf(found.lo, 2) && (found.lo & 0x1f_e000) !== 0)
              verdict.fail(`node ${node}: ${at(part, page)} is a 2 MiB leaf whose frame is not on 2 MiB`);
          }
        }
      }
    },
  },
  {
    id: "A10",
    when: "always",
    where: ["state"],
    sentence: "__pa(va), virt_to_page(va) for va∈TEXT∪RO name the master frame on every CPU",
    check(subject, verdict) {
      if (!subject.isPast("setup-arch")) return verdict.skip();
      // __pa is arithmetic, and __va and virt_to_page follow from it: what has to hold is that the tables of every CPU
      // lead from there to the booted frame and to its one descriptor. That the master runs these frames is A6.
      const { layout, machine } = subject.kernel;
      const roots = new Map(
        machine.cpuIds.map((cpu) => [subject.root(machine.nodeOfCpu(cpu)), machine.nodeOfCpu(cpu)]),
      );
      for (const part of [subject.text, subject.rodata]) {
        const descriptors = descriptorAddress(layout, part.original) & ~(PAGE - 1n);
        const pages = pagesBetween(descriptors, descriptorAddress(layout, part.original + part.pages)).pages;
        let first: Pages | undefined;
        for (const [root, node] of roots) {
          const direct = subject.reader.read(root, { start: directAddress(layout, part.original), pages: part.pages });
          for (let page = 0; page < part.pages; page++) {
            if (!(direct.flags[page]! & Flag.Present) || direct.frames[page] !== part.original + page)
              verdict.fail(
                `on node ${node} __pa of ${at(part, page)} names frame ${part.original + page}, which its direct map does not lead to`,
              );
          }
          const found = subject.reader.read(root, { start: descriptors, pages });
          first ??= found;
          for (let page = 0; page < pages; page++) {
            if (!(found.flags[page]! & Flag.Present))
              verdict.fail(
                `on node ${node} virt_to_page of ${part.name} has no descriptor at ${hex(descriptors + BigInt(page) * PAGE)}`,
              );
            else if (found.frames[page] !== first.frames[page])
              verdict.fail(
                `on node ${node} virt_to_page of ${part.name} names another descriptor than elsewhere, at ${hex(descriptors + BigInt(page) * PAGE)}`,
              );
          }
        }
      }
    },
  },
  {
    id: "A11",
    when: "always",
    where: ["state"],
    sentence: "#R=1 ⇒ zero extra text/rodata frames and zero extra per-mm PGDs (cost on single-node machine)",
    check(subject, verdict) {
      const { machine, allocator } = subject.kernel;
      if (subject.isReplicated && new Set(machine.memory.ranges.map(({ node }) => node)).size > 1)
        return verdict.skip();
      const extra = machine.nodes.reduce(
        (sum, node) => sum + allocator.usedFrames(node, "text") + allocator.usedFrames(node, "rodata"),
        0,
      );
      if (extra > 0) verdict.fail(`${extra} frames of text and rodata for one holder`);
      if (subject.liveRoots.length > 1) verdict.fail(`${subject.liveRoots.length} roots for one holder`);
    },
  },
];
