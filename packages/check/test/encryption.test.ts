/**
 * Memory is encrypted, and pages of the kernel's are shared and taken back: sound kernels keep the bit where it
 * belongs, and each way to lose it is noticed.
 */
import { type Binding, overlay } from "@kreplica/di";
import { cr3Value, isLeaf, isPresent, type PageRange, tableIndex } from "@kreplica/hw-x86";
import { type BootOptions, kernelFrom, type KernelSource, policyOf } from "@kreplica/kernel";
import {
  CpuState,
  KernelLayout,
  ReplicaView,
  SHARED_HIGH,
  SharedMemory,
  TableMemory,
  tableAt,
} from "@kreplica/mm-core";
import { SetMemory } from "@kreplica/set-memory";
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Differential } from "../src/differential.js";
import { FAMILIES, familiesOn, Repertoire } from "../src/families.js";
import { encryptionFamily } from "../src/families/encryption.js";
import { kernelOf, type Kind, kindsOf, kindText } from "../src/kinds.js";
import type { Operation } from "../src/operation.js";

const KIND: Kind = { nodes: 2, levels: 4, pti: false, encryption: true };
const kernel = (kind: Partial<Kind> = {}, policy = "per-node", more: Partial<BootOptions> = {}) =>
  kernelOf(policyOf(policy), { ...KIND, ...kind }).with(more);

/** What is drawn where memory is encrypted, of the core's operations. */
const families = familiesOn(policyOf("per-node"), CORE_FAMILIES, false, true);

test("kinds of kernel with encrypted memory are drawn where they are asked for, and have the operations", () => {
  expect(kindsOf({ nodes: 2, levels: 4, pti: false, encryption: true })).toEqual([KIND]);
  expect(kindsOf({ nodes: 2, levels: 4, pti: false })).toEqual([{ nodes: 2, levels: 4, pti: false }]);
  expect(kindText(KIND)).toBe("2 nodes, 4 levels, KPTI off, encrypted memory");
  expect(families).toEqual([...CORE_FAMILIES, encryptionFamily]);
  expect(familiesOn(policyOf("per-node"))).toBe(FAMILIES);
});

describe.each([
  [4, false, "per-node"],
  [4, true, "per-node"],
  [5, true, "lazy-pgd"],
  [5, false, "single-copy"],
] as const)("%i levels, KPTI %j, %s", (levels, pti, policy) => {
  test("the bit is where it belongs after each operation of three runs", () => {
    const subject = new Differential(kernel({ levels, pti }, policy), "end", families);
    for (let seed = 0; seed < 3; seed++) subject.run(new Repertoire(families).drawRun(seed, 120));
    subject.subject.fullCheck();
    expect(subject.subject.parts.entries.encryption).toBe(1 << 19);
  });
});

/** The first rule that breaks, in the boot or by operations. */
function broken(overlays: readonly Binding[], operations: readonly Operation[], kind: Partial<Kind> = {}): string {
  const source: KernelSource = kernelFrom(kernel(kind, "per-node", { defects: [{ id: "planted", overlays }] }));
  try {
    new CheckedSystem(source, { families }).run(operations);
    return "nothing";
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return `${error.invariant}: ${error.detail}`;
  }
}
type Step = Operation & Readonly<Record<string, unknown>>;
const share = (where: string): Step => ({ op: "share", node: 1, pages: 2, where });
const use = (alias: boolean): Step => ({ op: "useshared", cpu: 1, shared: 0, page: 1, alias, kind: "read" });
const unshare: Step = { op: "unshare", shared: 0 };

test.each(["window", "direct map"])("what is done by hand, in the %s, breaks nothing", (where) => {
  expect(broken([], [share(where), use(false), use(true), unshare, share(where), unshare])).toBe("nothing");
});

/** A fault of set_memory_decrypted: what happens behind the right one. */
const behindSharing = (wrong: (parts: Parts, range: PageRange) => void): Binding =>
  overlay(SetMemory, (setMemory, get) => {
    const decrypted = setMemory.decrypted.bind(setMemory);
    setMemory.decrypted = (range) => {
      decrypted(range);
      wrong(
        { entries: get(TableMemory), view: get(ReplicaView), layout: get(KernelLayout), shared: get(SharedMemory) },
        range,
      );
    };
    return setMemory;
  });
interface Parts {
  readonly entries: TableMemory;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
  readonly shared: SharedMemory;
}

/** Entries of tables that are copies', without the bit where they lead to tables or map 4 KiB. */
const storedToCopies: Binding = overlay(TableMemory, (entries) => {
  const write = entries.write.bind(entries);
  entries.write = (table, index, lo, hi) => {
    write(table, index, lo, isPresent(lo) && entries.isCopy(table) && !isLeaf(lo, 2) ? hi | SHARED_HIGH : hi);
  };
  return entries;
});

const FAULTS: readonly (readonly [
  what: string,
  overlays: readonly Binding[],
  operations: readonly Step[],
  said: RegExp,
])[] = [
  [
    "a holder that a change forgets",
    [
      behindSharing(({ entries, view, layout }, { start }) => {
        const table = tableAt(entries.memory, view.roots.at(-1)!.root, layout.levels, start, 1)!;
        const index = tableIndex(start, 1);
        entries.write(table, index, entries.low(table, index), entries.high(table, index) & ~SHARED_HIGH);
      }),
    ],
    [share("window")],
    /^C9: node 1 has frame \d+ encrypted at \S+, which is shared$/,
  ],
  [
    "the direct map forgotten",
    [
      overlay(SetMemory, (setMemory) => {
        setMemory.decrypted = (range) => {
          setMemory.change(range, { encrypted: false }, false);
        };
        return setMemory;
      }),
    ],
    [share("window")],
    /^C9: node 0 has frame \d+ encrypted at 0xffff88\S+, which is shared$/,
  ],
  [
    "the flush forgotten",
    [
      overlay(SetMemory, (setMemory, get) => {
        const cpus = get(CpuState);
        const flush = cpus.flushRanges.bind(cpus);
        for (const way of ["decrypted", "encrypted"] as const) {
          const change = setMemory[way].bind(setMemory);
          setMemory[way] = (range) => {
            cpus.flushRanges = () => undefined;
            change(range);
            cpus.flushRanges = flush;
          };
        }
        return setMemory;
      }),
    ],
    // As it was private, its entries are not cached: nobody used it. Used while it is shared, they are.
    [share("direct map"), use(false), unshare],
    /^G12: CPU 1 has cached \S+ as .*frame \d+.*, shared, the tables say encrypted$/,
  ],
  [
    "memory given back while it is shared",
    [
      overlay(SetMemory, (setMemory) => {
        setMemory.encrypted = () => undefined;
        return setMemory;
      }),
    ],
    [share("direct map"), unshare],
    /^C9: node 0 has frame \d+ shared at \S+, which is private$/,
  ],
  [
    "the host not told",
    [
      behindSharing(({ shared }) => {
        shared.note([...shared.frames], false);
      }),
    ],
    [share("window")],
    /^C9: the host was told that 0 frames are shared, which are 2$/,
  ],
  [
    "CR3 without the bit",
    [
      overlay(TableMemory, (entries) => {
        entries.cr3 = (root, pcid = 0) => cr3Value(root, pcid);
        return entries;
      }),
    ],
    [],
    /^C9: CR3 of CPU 0 has no encryption bit/,
  ],
];

test("noticed: what leads to a copy's tables without the bit", () => {
  const source = kernelFrom(kernel({}, "per-node", { defects: [{ id: "planted", overlays: [storedToCopies] }] }));
  const found = new CheckedSystem(source, { families, goOn: true }).broken.find(({ id }) => id === "C9");
  expect(found?.detail).toMatch(/^node \d: the level-\d entry at \S+ leads to table \d+ without the encryption bit/);
});

test.each(FAULTS)("noticed: %s", (_what, overlays, operations, said) => {
  expect(broken(overlays, operations)).toMatch(said);
});
