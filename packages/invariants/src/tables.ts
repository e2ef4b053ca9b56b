/** Group B: which tables are private, where they lie, and what they must agree on. */
import {
  type Frame,
  frameOf,
  hex,
  isLeaf,
  isPresent,
  LARGE,
  type NodeId,
  NONE,
  pagesBetween,
  walkTables,
} from "@kreplica/hw-x86/api";
import { lookup, shadowLeaves } from "@kreplica/mm-core/api";
import type { Invariant } from "./invariant.js";
import { smallTable } from "./page-reader.js";
import { onlyTablesAreReached } from "./reach.js";
import type { Subject } from "./subject.js";
import { type Compared, compareWindow, describeFlags } from "./window.js";

/** Tables on the way from a root to the window, by `level/index path`: PGD, P4D with 5 levels, PUD, two PMD pages. */
function privatePath(subject: Subject, root: number): Map<string, number> {
  const { entries, layout } = subject.kernel;
  const found = new Map<string, number>([["PGD", root]]);
  const names = ["", "PTE", "PMD", "PUD", "P4D"];
  interface Step {
    readonly table: number;
    readonly path: string;
  }
  const window = pagesBetween(subject.windowStart, 1n << 64n);
  const visit = ({ table, path }: Step, level: number, index: number): Step | undefined => {
    const lo = entries.low(table, index);
    if (level <= 2 || !isPresent(lo) || isLeaf(lo, level)) return undefined;
    const lower = frameOf(lo, entries.high(table, index));
    found.set(`${names[level - 1]} under ${path}${index}`, lower);
    return level > 3 ? { table: lower, path: `${path}${index}/` } : undefined;
  };
  walkTables<Step>(layout.levels, window, { table: root, path: "" }, visit, undefined, ({ table }, first, last) =>
    entries.memory.nextEntry(table, first, last),
  );
  return found;
}

/** PTE pages in the window that only one root uses, by 2 MiB slot. */
function privateSmallTables(subject: Subject, root: number): Map<number, number> {
  const { entries } = subject.kernel;
  const found = new Map<number, number>();
  const others = subject.holders.map((node) => subject.root(node)).filter((other) => other !== root);
  const named = (pmd: Frame, index: number): Frame =>
    pmd === NONE ? NONE : smallTable(entries.low(pmd, index), entries.high(pmd, index));
  subject.window(root).forEach((pmd, half) => {
    if (pmd === NONE) return;
    for (let index = 0; (index = entries.memory.nextEntry(pmd, index, 511)) < 512; index++) {
      const table = named(pmd, index);
      if (table !== NONE && !others.some((other) => named(subject.window(other)[half]!, index) === table))
        found.set(half * 512 + index, table);
    }
  });
  return found;
}

export const TABLES: readonly Invariant<Subject>[] = [
  {
    id: "B1",
    when: "after step 7",
    where: ["state"],
    sentence:
      "∀n∈R: every table page on the path of T(n) to W (PGD, P4D if 5-level, PUD, both PMD pages) is " +
      "distinct from that of any other m∈R",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const owner = new Map<number, { readonly name: string; readonly node: number }>();
      for (const { name, root, node } of subject.liveRoots) {
        for (const [what, table] of privatePath(subject, root)) {
          const other = owner.get(table);
          // The boot table serves the master and may lead to the master's tables, never to another holder's.
          if (other !== undefined && other.node !== node) verdict.fail(`${name} and ${other.name} share ${what}`);
          owner.set(table, { name: `${name}'s ${what}`, node });
        }
      }
    },
  },
  {
    id: "B2",
    when: "after step 7",
    where: ["state"],
    sentence: "∀n∈R: each of those pages of T(n) is located on node n",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const { memory } = subject.kernel.entries;
      for (const node of subject.holders) {
        const root = subject.root(node);
        for (const [what, table] of privatePath(subject, root)) {
          if (memory.nodeOf(table) !== node)
            verdict.fail(`${what} of node ${node} lies on node ${memory.nodeOf(table)}`);
        }
        // One level further down than the series promises: small tables of its own serve it alone.
        for (const [slot, table] of privateSmallTables(subject, root)) {
          if (memory.nodeOf(table) !== node)
            verdict.fail(
              `the PTE page of node ${node} over ${hex(subject.windowStart + BigInt(slot) * LARGE)} lies on node ${memory.nodeOf(table)}`,
            );
        }
      }
    },
  },
  {
    id: "B3",
    when: "always",
    where: ["state"],
    sentence:
      "∀ PGD slot i≠511: T(n)[i] = T(m)[i] (same lower table) in 4-level; in 5-level ∀ P4D slot ≠511 of " +
      "PGD 511 likewise",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const { entries, layout } = subject.kernel;
      const [first, ...others] = subject.liveRoots;
      const compare = (name: string, mine: number, theirs: number, what: string, from: number): void => {
        for (let index = from; index < 511; index++) {
          if (
            entries.low(mine, index) !== entries.low(theirs, index) ||
            entries.high(mine, index) !== entries.high(theirs, index)
          )
            verdict.fail(`${what} slot ${index} of ${name} differs from that of ${first!.name}`);
        }
      };
      for (const { name, root } of others) {
        compare(name, root, first!.root, "PGD", layout.kernelBoundary);
        if (layout.levels === 4) continue;
        const p4d = (of: number): number => frameOf(entries.low(of, 511), entries.high(of, 511));
        compare(name, p4d(root), p4d(first!.root), "P4D", 0);
      }
    },
  },
  {
    id: "B4",
    when: "always",
    where: ["state"],
    sentence: "PUD slots other than 510/511 of the last PUD page are equal in all nodes",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const { entries } = subject.kernel;
      const pud = (root: number): number | undefined => subject.reader.entry(root, subject.windowStart, 3)?.table;
      const base = pud(subject.liveRoots[0]!.root);
      for (const { name, root } of subject.liveRoots) {
        const mine = pud(root);
        if (mine === undefined || base === undefined) {
          verdict.fail(`${name} has no PUD page for the window`);
          continue;
        }
        for (let index = 0; index < 510; index++) {
          if (
            entries.low(mine, index) !== entries.low(base, index) ||
            entries.high(mine, index) !== entries.high(base, index)
          )
            verdict.fail(`PUD slot ${index} of ${name} differs`);
        }
      }
    },
  },
  {
    id: "B5",
    when: "always",
    where: ["state"],
    sentence:
      "PTE pages reachable from copied PMD entries at clone time (fixmap, vsyscall) are shared: one " +
      "set_fixmap is visible on all nodes",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      for (let step = 0n; step < 3n; step++) {
        const address = subject.kernel.layout.fixmapStart + step * LARGE;
        const tables = subject.liveRoots.map(({ root }) => subject.reader.entry(root, address, 1)?.table);
        if (new Set(tables).size > 1) verdict.fail(`the PTE page over ${hex(address)} is not one for all`);
      }
    },
  },
  {
    id: "B6",
    when: "after every permission API returns",
    where: ["state"],
    sentence: "leaf flags (P,RW,NX,G,PCD/PWT) of a VA in W are equal on all nodes",
    check(subject, verdict) {
      if (!subject.isReplicated) return verdict.skip();
      const rights: Compared = { matters: (mine, first) => mine.flags !== first.flags, outside: [] };
      compareWindow(subject, rights, (address, node, mine, theirs) => {
        verdict.fail(
          `${hex(address)}: ${describeFlags(mine.flags)} on node ${node}, ${describeFlags(theirs.flags)} on node ${subject.holders[0]}`,
        );
      });
    },
  },
  {
    id: "B7",
    when: "steps 1–7",
    where: ["boot"],
    sentence: "before replication is active every pgd_numa[n] query yields the boot table",
    check(subject, verdict) {
      const seen = subject.kernel.witness?.earlyRoots;
      if (!seen || seen.length === 0) return verdict.skip();
      for (const { step, node, root } of seen)
        if (root !== subject.bootTable)
          verdict.fail(`at ${step}, node ${node} was given root ${root} and not the boot table`);
    },
  },
  {
    id: "B8",
    when: "after AP bring-up",
    where: ["state"],
    sentence:
      "init_mm.pgd == init_mm.pgd_numa[0] and is not init_top_pgt after step 7; CPUs in steady state never " +
      "run on init_top_pgt",
    check(subject, verdict) {
      const { machine, view } = subject.kernel;
      if (!subject.isReplicated || !subject.isPast("smp-init")) return verdict.skip();
      if (view.kernelRoot(view.holders[0]!) === subject.bootTable)
        verdict.fail("the canonical root still is the boot table");
      for (const cpu of machine.cpuIds)
        if (machine.cpu(cpu).rootFrame === subject.bootTable) verdict.fail(`CPU ${cpu} still runs on the boot table`);
    },
  },
  {
    id: "B9",
    when: "step 7",
    where: ["boot"],
    sentence:
      "number of private table pages per replica node = 1 PGD(order 0/1)+1 PUD+2 PMD (+1 P4D in 5-level) " +
      "at end of step 7",
    check(subject, verdict) {
      const counted = subject.kernel.witness?.tablesAfterClone;
      if (!subject.isReplicated || !counted) return verdict.skip();
      const wanted = subject.kernel.layout.levels;
      for (const [node, tables] of counted)
        if (tables !== wanted)
          verdict.fail(`node ${node} had ${tables} private tables to its window after the clone, not ${wanted}`);
    },
  },
  {
    id: "B10",
    when: "step 7",
    where: ["boot"],
    sentence:
      "replication never changes any VA→content mapping observable by the booting CPU (walk before == walk " +
      "after in bytes and flags)",
    check(subject, verdict) {
      const change = subject.kernel.witness?.changeByReplication;
      if (!subject.isReplicated || !change) return verdict.skip();
      for (const difference of change) verdict.fail(difference);
    },
  },
  {
    id: "B11",
    when: "from mm-core-init on",
    where: ["state", "run"],
    sentence:
      "every table page reachable from a root of any half (T(n), init_top_pgt, a process's PGDs, EFI's, " +
      "the poking space's, what CR3 of any CPU names) is a page table: never free, never handed out for " +
      "anything else",
    check: onlyTablesAreReached,
  },
  {
    id: "B12",
    when: "with KASAN, from setup-arch on",
    where: ["state"],
    sentence:
      "memory that is in use has shadow of its own, writable, in every holder's root; shadow of memory that has yet to " +
      "come, or is gone, is mapped in none",
    check(subject, verdict) {
      const { layout, machine, entries, view, offlineMemory } = subject.kernel;
      if (!layout.kasan || !offlineMemory || !subject.isPast("setup-arch")) return verdict.skip();
      const isOffline = ({ node }: { readonly node: NodeId }): boolean => offlineMemory.has(node);
      const ranges = machine.memory.ranges;
      const wanted = new Set(
        ranges.filter((range) => !isOffline(range)).flatMap((each) => [...shadowLeaves(layout, each)]),
      );
      for (const address of new Set(ranges.flatMap((each) => [...shadowLeaves(layout, each)])))
        for (const node of view.holders) {
          const found = lookup(entries.memory, subject.root(node), layout.levels, address);
          if (wanted.has(address) && !(found?.present && found.writable))
            verdict.fail(
              `shadow at ${hex(address)} of memory in use is ${found ? "read-only" : "missing"} on node ${node}`,
            );
          else if (!wanted.has(address) && found)
            verdict.fail(
              `shadow at ${hex(address)} of memory that is not in use is frame ${found.frame} on node ${node}`,
            );
        }
    },
  },
];
