/**
 * What every implementation of SetMemory must do, as a property over random operations against a page-by-page model of
 * the window and of its view in the direct map, and with each table page refused. Run it with any test library: it
 * throws when a promise is broken.
 *
 * Promised: an operation changes what its name says of every page of the range on every root, and nothing else; the
 * direct map follows in writability, presence, memory type and encryption (which nothing changes where the machine has
 * none), never in execution; what was made absent keeps its bits
 * and shows them when it comes back; joining leaves changes nothing that a look-up shows; several changes happen all or
 * not at all, as one by one; a refusal says why and leaves every root as it was.
 *
 * Left to the implementation: which leaves are split and when, how many flushes a call takes, whether anything is
 * joined.
 */
import * as fc from "fast-check";
import { addressOfFrame, type Frame, hex, LARGE, type NodeId, PAGE } from "@kreplica/hw-x86/api";
import { keepsPromises, promised, type SuiteEffort } from "@kreplica/hw-x86/testing";
import {
  KERNEL_DATA,
  type KernelLayout,
  type KernelTables,
  type Mapping,
  mappingOf,
  type PageAllocator,
  type ReplicaView,
  type TableMemory,
  pageWithin,
  walk,
} from "@kreplica/mm-core/api";
import { type PageRange, type SetMemory, SetMemoryError } from "../api.js";

/** One kernel to be tested, fresh for every run. */
export interface SetMemorySubject {
  readonly setMemory: SetMemory;
  readonly tables: KernelTables;
  readonly entries: TableMemory;
  readonly view: ReplicaView;
  readonly layout: KernelLayout;
  readonly allocator: PageAllocator;
  /** First of 1,536 frames of a node, on 2 MiB, that nothing uses. */
  frame(node: NodeId): Frame;
  /** Where 6 MiB of the window begin, on 2 MiB, in which nothing is mapped. */
  readonly window: bigint;
}

type Operation =
  | "executable"
  | "nonExecutable"
  | "readOnly"
  | "readWrite"
  | "readOnlyExecutable"
  | "readWriteNonExecutable"
  | "notPresent"
  | "notPresentHere"
  | "present"
  | "global"
  | "nonGlobal"
  | "uncached"
  | "writeCombined"
  | "writeBack"
  | "decrypted"
  | "encrypted";
/** What each operation makes of a page, after its Linux name. */
const EFFECT: Record<Operation, Partial<Mapping>> = {
  executable: { executable: true },
  nonExecutable: { executable: false },
  readOnly: { writable: false },
  readWrite: { writable: true },
  readOnlyExecutable: { writable: false, executable: true },
  readWriteNonExecutable: { writable: true, executable: false },
  notPresent: { present: false, global: false },
  notPresentHere: { present: false, global: false },
  present: { present: true },
  global: { global: true },
  nonGlobal: { global: false },
  uncached: { cache: "uc-" },
  writeCombined: { cache: "wc" },
  writeBack: { cache: "wb" },
  decrypted: { encrypted: false },
  encrypted: { encrypted: true },
};
const OPERATIONS = Object.keys(EFFECT) as Operation[];
/** Two 2 MiB leaves and 16 small pages. */
const PAGES = 1040;
/** Pages that are looked at: the first and last, and both sides of each border. */
const LOOKED_AT = [
  0, 1, 2, 3, 4, 5, 8, 255, 509, 510, 511, 512, 513, 514, 515, 517, 600, 1022, 1023, 1024, 1025, 1029, 1030, 1034, 1039,
];

const page = fc.constantFrom(0, 1, 3, 510, 511, 512, 513, 1023, 1024, 1030, 1039);
const step = fc.record({
  operation: fc.constantFrom(...OPERATIONS),
  page,
  pages: fc.constantFrom(1, 2, 5, 512, 513, 1024, 1040),
  join: fc.boolean(),
});

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function setMemoryContract(make: () => SetMemorySubject, effort: SuiteEffort = {}): void {
  refusals(make());
  together(make);
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 12, size: "max" }), (steps) => {
      const kernel = mapped(make());
      const model: Partial<Mapping>[] = Array.from({ length: PAGES }, () => ({ ...KERNEL_DATA }));
      const alias: Partial<Mapping>[] = Array.from({ length: PAGES }, () => ({ ...KERNEL_DATA }));
      for (const { operation, page: at, pages, join } of steps) {
        const count = Math.min(pages, PAGES - at);
        kernel.setMemory[operation](rangeOf(kernel, at, count));
        if (join) kernel.setMemory.join(rangeOf(kernel, 0, 1024));
        const effect = "encrypted" in EFFECT[operation] && kernel.entries.encryption === 0 ? {} : EFFECT[operation];
        const { executable: _executable, global, ...follows } = effect;
        for (let each = at; each < at + count; each++) {
          // What is not present keeps its bits, and shows them when it comes back.
          Object.assign(model[each]!, effect);
          if (operation === "notPresentHere") continue;
          if (global === undefined || operation === "notPresent")
            Object.assign(alias[each]!, follows, operation === "notPresent" ? { global: false } : {});
        }
      }
      for (const { root, node } of kernel.view.roots) {
        for (const at of LOOKED_AT) {
          const frame = kernel.frame(node) + at;
          const here = kernel.window + BigInt(at) * PAGE;
          agree(
            kernel,
            root,
            here,
            model[at]!,
            frame,
            "an operation changes what its name says of every page of the range on every root, and nothing else",
          );
          agree(
            kernel,
            root,
            directOf(kernel, frame),
            alias[at]!,
            frame,
            "the direct map follows in writability, presence and memory type, never in execution",
          );
        }
      }
    }),
    { runs: 40, ...effort },
  );
}

const rangeOf = ({ window }: SetMemorySubject, at: number, pages: number): PageRange => ({
  start: window + BigInt(at) * PAGE,
  pages,
});
const directOf = ({ layout }: SetMemorySubject, frame: Frame): bigint => layout.pageOffset + addressOfFrame(frame);

/** The window with each holder's own frames, and their direct-map views, as 2 MiB leaves. */
function mapped(kernel: SetMemorySubject): SetMemorySubject {
  kernel.tables.edit((editor) => {
    for (const leaf of [0, 1])
      editor.mapPerNode(
        kernel.window + BigInt(leaf) * LARGE,
        { ...KERNEL_DATA, level: 2 },
        (node) => kernel.frame(node) + leaf * 512,
      );
    for (let small = 0; small < 16; small++)
      editor.mapPerNode(
        kernel.window + 0x40_0000n + BigInt(small) * PAGE,
        { ...KERNEL_DATA, level: 1 },
        (node) => kernel.frame(node) + 1024 + small,
      );
    for (const node of kernel.view.holders) {
      for (let leaf = 0; leaf < 3; leaf++)
        editor.map(directOf(kernel, kernel.frame(node) + leaf * 512), {
          ...KERNEL_DATA,
          level: 2,
          frame: kernel.frame(node) + leaf * 512,
        });
    }
  });
  return kernel;
}

/** What a root says about a page. */
function told({ entries, layout }: SetMemorySubject, root: Frame, address: bigint): string {
  const end = walk(entries.memory, root, layout.levels, address);
  if (!end.present) return "absent";
  const { frame, level, ...found } = mappingOf(end.lo, entries.high(end.table, end.index), end.level as 1 | 2 | 3);
  return text(found, frame + pageWithin(address, level));
}
const text = ({ writable, executable, global, cache, encrypted }: Partial<Mapping>, frame: Frame): string =>
  `frame ${frame}, ${writable ? "writable" : "read-only"}, ${executable ? "executable" : "not executable"}, ${global ? "global" : "not global"}, ${cache}${encrypted === false ? ", shared" : ""}`;

function agree(
  kernel: SetMemorySubject,
  root: Frame,
  address: bigint,
  wanted: Partial<Mapping>,
  frame: Frame,
  promise: string,
): void {
  const found = told(kernel, root, address);
  const should = wanted.present ? text(wanted, frame) : "absent";
  promised(found === should, promise, `${hex(address)} on root ${root}: ${found}; it should be: ${should}`);
}

/** All that is looked at, on every root; and the table pages in use. */
const state = (kernel: SetMemorySubject): string =>
  [
    ...kernel.view.roots.flatMap(({ root, node }) =>
      LOOKED_AT.flatMap((at) => [
        told(kernel, root, kernel.window + BigInt(at) * PAGE),
        told(kernel, root, directOf(kernel, kernel.frame(node) + at)),
      ]),
    ),
    ...kernel.view.holders.map((node) => `${kernel.allocator.usedFrames(node, "page-table")} tables`),
  ].join("\n");

function together(make: () => SetMemorySubject): void {
  const changes = (kernel: SetMemorySubject) => [
    { range: rangeOf(kernel, 1, 3), change: { writable: false }, alias: true },
    { range: rangeOf(kernel, 512, 2), change: { writable: false, executable: true }, alias: true },
  ];
  const [one, apart] = [mapped(make()), mapped(make())];
  one.setMemory.changeAll(changes(one));
  for (const { range, change, alias } of changes(apart)) apart.setMemory.change(range, change, alias);
  promised(state(one) === state(apart), "several changes happen as one by one", "look-ups differ");
  for (let nth = 1; ; nth++) {
    const kernel = mapped(make());
    const before = state(kernel);
    kernel.allocator.refuse(nth);
    let code: string | undefined;
    try {
      kernel.setMemory.changeAll(changes(kernel));
    } catch (error) {
      code = error instanceof SetMemoryError ? error.code : String(error);
    } finally {
      kernel.allocator.refuse(0);
    }
    if (code === undefined) return;
    promised(code === "out-of-frames", "a refusal says why", `${code} where table page ${nth} was refused`);
    promised(
      state(kernel) === before,
      "a refusal leaves every root as it was",
      `not where table page ${nth} was refused`,
    );
  }
}

function refusals(kernel: SetMemorySubject): void {
  mapped(kernel);
  const before = state(kernel);
  const wrong: [string, PageRange][] = [
    ["misaligned", { start: kernel.window + 8n, pages: 1 }],
    ["empty-range", { start: kernel.window, pages: 0 }],
    ["not-mapped", { start: kernel.window + BigInt(PAGES - 1) * PAGE, pages: 2 }],
  ];
  for (const [code, range] of wrong) {
    let found = "nothing";
    try {
      kernel.setMemory.readOnly(range);
    } catch (error) {
      found = error instanceof SetMemoryError ? error.code : String(error);
    }
    promised(
      found === code,
      "a refusal says why",
      `${found} for ${range.pages} pages at ${hex(range.start)}, which is ${code}`,
    );
    promised(state(kernel) === before, "a refusal leaves every root as it was", `not for what is ${code}`);
  }
}
