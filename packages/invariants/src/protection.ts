/** Group C: what may be written, what may be executed, on every root and through every alias. */
import {
  alignUp,
  Bit,
  hex,
  isUser,
  leafFrame,
  type NodeId,
  PAGE,
  pagesBetween,
  UPPER_HALF,
  walkRange,
} from "@kreplica/hw-x86/api";
import { directAddress, imageAddress, LDT_PAGES, ldtAddress, userImageRange } from "@kreplica/mm-core/api";
import type { Invariant, Verdict } from "./invariant.js";
import { Flag } from "./page-reader.js";
import type { Part, Subject } from "./subject.js";
import { describeFlags } from "./window.js";

const pageAt = ({ start }: Part, page: number): bigint => start + BigInt(page) * PAGE;

/** Checks that text is R-X, rodata R--, and the rest of the image RW- or absent, in one root. */
function imageProtection(subject: Subject, root: number, name: string, verdict: Verdict): void {
  const { image, layout } = subject.kernel;
  const RIGHTS = Flag.Present | Flag.Writable | Flag.NoExecute;
  // The one page of data that is read-only: idt_table, from init_IRQ on.
  const idt = image.symbol("idt_table");
  const idtPage = idt === undefined ? undefined : imageAddress(layout, idt & ~(PAGE - 1n));
  const isData = (flags: number, page: number, part: Part): boolean =>
    (flags & Flag.Present) === 0 ||
    ((flags & Flag.NoExecute) !== 0 && ((flags & Flag.Writable) !== 0 || pageAt(part, page) === idtPage));
  const wants: readonly (readonly [Part, (flags: number, page: number, part: Part) => boolean, string])[] = [
    [subject.text, (flags) => (flags & RIGHTS) === Flag.Present, "R-X"],
    [
      subject.part("the tail of text", { start: alignUp(image.etext, PAGE), end: image.startRodata }),
      isData,
      "RW- or absent",
    ],
    [subject.rodata, (flags) => (flags & RIGHTS) === (Flag.Present | Flag.NoExecute), "R--"],
    [subject.part("data", { start: alignUp(image.endRodata, PAGE), end: image.end }), isData, "RW- or absent"],
  ];
  for (const [part, fits, wanted] of wants) {
    const { flags } = subject.reader.read(root, part);
    flags.forEach((found, page) => {
      if (!fits(found, page, part))
        verdict.fail(`${name}: ${part.name} at ${hex(pageAt(part, page))} is ${describeFlags(found)}, not ${wanted}`);
    });
  }
}

function noWriteAndExecute(subject: Subject, root: number, name: string, verdict: Verdict): void {
  const { entries, layout } = subject.kernel;
  // Tables met before, from this root or another, say what they said: nearly all are common, and KASAN's shadow of
  // nothing is a few met billions of times.
  const seen = subject.searched;
  walkRange(entries.memory, root, layout.levels, UPPER_HALF, {
    table(_address, _level, lower) {
      if (seen.has(lower)) return false;
      seen.add(lower);
      return true;
    },
    leaf(address, level, lo, hi) {
      if (lo & Flag.Writable && !(hi >>> 31))
        verdict.fail(`${name}: level-${level} leaf at ${hex(address)} is writable and executable`);
    },
  });
}

export const PROTECTION: readonly Invariant<Subject>[] = [
  {
    id: "C1",
    when: "after 14",
    where: ["state"],
    sentence: "after mark_rodata_ro: TEXT is R-X, RO is R--, rest of image RW- on every node (no W+X leaf in any T(n))",
    check(subject, verdict) {
      if (!subject.isPast("mark-rodata-ro")) return verdict.skip();
      for (const { root, name } of subject.liveRoots) {
        if (root === subject.bootTable && subject.isReplicated) continue;
        imageProtection(subject, root, name, verdict);
        noWriteAndExecute(subject, root, name, verdict);
      }
    },
  },
  {
    id: "C2",
    when: "after boot",
    where: ["state", "test packages/kernel/test/efi-roots.test.ts"],
    sentence: "no other live root (init_top_pgt, trampoline, efi) maps TEXT/RO writable or data executable",
    check(subject, verdict) {
      if (!subject.isPast("mark-rodata-ro")) return verdict.skip();
      const others = subject.kernel.otherRoots ?? [];
      if (!subject.isReplicated && others.length === 0) return verdict.skip();
      // The trampoline's top slots are copies of init_top_pgt's, so what these tables map is what it maps. @source
      // Linux 6.5 arch/x86/realmode/init.c
      if (subject.isReplicated) {
        imageProtection(subject, subject.bootTable, "the boot table", verdict);
        noWriteAndExecute(subject, subject.bootTable, "the boot table", verdict);
      }
      // Firmware may want regions of its own writable and executable: of its tables the image alone is the kernel's.
      for (const { root, name } of others) imageProtection(subject, root, name, verdict);
    },
  },
  {
    id: "C3",
    when: "after boot",
    where: ["state"],
    sentence: "direct-map alias of every TEXT/RO replica frame is not writable",
    check(subject, verdict) {
      if (!subject.isPast("numa-replicate-rodata")) return verdict.skip();
      const { layout } = subject.kernel;
      const check = (node: NodeId, part: Part): void => {
        const { frames } = subject.reader.read(subject.root(node), part);
        for (let page = 0; page < part.pages;) {
          // Frames that follow one another are looked up together.
          let count = 1;
          while (page + count < part.pages && frames[page + count] === frames[page]! + count) count++;
          const alias = subject.reader.read(subject.root(node), {
            start: directAddress(layout, frames[page]!),
            pages: count,
          });
          alias.flags.forEach((flags, each) => {
            if (flags & Flag.Writable)
              verdict.fail(
                `node ${node}: the direct map's view of ${part.name} page ${page + each} (${hex(directAddress(layout, frames[page]! + each))}) is writable`,
              );
          });
          page += count;
        }
      };
      for (const node of subject.holders) for (const part of [subject.text, subject.rodata]) check(node, part);
    },
  },
  {
    id: "C4",
    when: "after 13",
    where: ["state"],
    sentence:
      "free_initmem ranges are non-present or RW+NX on every node; no node keeps an executable stale init " + "mapping",
    check(subject, verdict) {
      if (!subject.isPast("free-initmem")) return verdict.skip();
      const { image, layout } = subject.kernel;
      const pages = pagesBetween(image.initBegin, image.initEnd).pages;
      for (const { root, name } of subject.liveRoots) {
        const { flags } = subject.reader.read(root, { start: imageAddress(layout, image.initBegin), pages });
        flags.forEach((found, page) => {
          if (found & Flag.Present && (!(found & Flag.NoExecute) || !(found & Flag.Writable)))
            verdict.fail(`${name}: freed init page ${page} is ${describeFlags(found)}`);
        });
      }
    },
  },
  {
    id: "C5",
    when: "always",
    where: ["run"],
    sentence:
      "numa_set_memory_X(range) ≡ ∀n∈R set_memory_X(range) on T(n); idempotent; returns nonzero if any " +
      "node failed",
  },
  {
    id: "C6",
    when: "always",
    where: ["state"],
    sentence:
      "under KPTI, nothing outside {entry text, cpu_entry_area, espfix, vsyscall, TSS words, (whole text " +
      "if global_ok)} is mapped in any node's user PGD, a process's included, beside that process's own " +
      "LDT pages in the LDT slot, read-only",
    check(subject, verdict) {
      const { layout, image, entries, options } = subject.kernel;
      if (!layout.pti || !subject.isPast("mm-core-init")) return verdict.skip();
      const allowed = userImageRange(layout, image, options.pcid);
      const witness = subject.kernel.witness;
      const { spaces, allocator } = subject.kernel;
      const ldt = ldtAddress(layout.levels, 0);
      const owners = new Map<number, number>();
      const processes = [...spaces.all].flatMap((space) =>
        space.pgdNodes.map((node) => ({
          root: space.pgd(node),
          name: `space ${space.id} on node ${node}`,
          space: space.id,
        })),
      );
      for (const { root, name, space } of [
        ...subject.liveRoots.map((each) => ({ ...each, space: undefined })),
        ...processes,
      ]) {
        walkRange(entries.memory, root + 1, layout.levels, UPPER_HALF, {
          leaf(address, level, lo, hi) {
            if (space !== undefined && address >= ldt && address < ldt + BigInt(2 * LDT_PAGES) * PAGE) {
              const frame = leafFrame(lo, hi, level);
              // Whatever lies there is found from user mode: it must be made for that, and this process's alone.
              if (!allocator.owns(frame, 0))
                verdict.fail(
                  `${name}: the LDT at ${hex(address)} leads to frame ${frame}, which is no page of its own`,
                );
              if ((owners.get(frame) ?? space) !== space)
                verdict.fail(
                  `${name}: the LDT at ${hex(address)} is in frame ${frame}, and so is that of space ${owners.get(frame)!}`,
                );
              if (isUser(lo) || lo & Flag.Writable || lo & Bit.Global || !(hi >>> 31))
                verdict.fail(`${name}: the LDT at ${hex(address)} is not read-only, the kernel's and this process's`);
              owners.set(frame, space);
              return;
            }
            const inImage = address >= allowed.start && address < allowed.end;
            const inEntryArea = address >= layout.cpuEntryArea && address < layout.cpuEntryArea + (1n << 39n);
            const inEspfix = address >= layout.espfix && address < layout.espfix + (1n << 39n);
            const tss = witness?.isTaskState(address) ?? false;
            if (isUser(lo) || !(inImage || inEntryArea || inEspfix || tss))
              verdict.fail(
                `${name}: user mode maps ${hex(address)}, which is neither entry text, cpu_entry_area, espfix nor a TSS`,
              );
          },
        });
      }
    },
  },
  {
    id: "C7",
    when: "KPTI on",
    where: ["state", "run"],
    sentence:
      "user-half slot written in a kernel PGD has NX in that kernel PGD and no NX in the paired user PGD, " +
      "for every node pair",
    check(subject, verdict) {
      const { layout, spaces, entries } = subject.kernel;
      if (!layout.pti || spaces.all.size === 0) return verdict.skip();
      for (const space of spaces.all) {
        for (const node of subject.holders) {
          const pgd = space.pgd(node);
          for (let slot = 0; slot < 256; slot++) {
            if (!(entries.low(pgd, slot) & 1)) continue;
            if (!(entries.high(pgd, slot) >>> 31))
              verdict.fail(`space ${space.id}, node ${node}: user slot ${slot} is executable in the kernel's PGD`);
            if (entries.high(pgd + 1, slot) >>> 31 || !(entries.low(pgd + 1, slot) & 1))
              verdict.fail(
                `space ${space.id}, node ${node}: user slot ${slot} is missing or not executable in the user PGD`,
              );
          }
        }
      }
    },
  },
];
