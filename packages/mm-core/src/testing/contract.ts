/**
 * What every implementation of KernelTables must do, as a property over random operations against {@link
 * ModelKernelTables}. Run it with any test library: it throws when a promise is broken.
 */
import * as fc from "fast-check";
import { type Frame, hex, LARGE, type NodeId, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { keepsPromises, promised } from "@kreplica/hw-x86/testing";
import { MmError } from "../errors.js";
import type { KernelTables, Mapping, Protection } from "../tables/kernel-tables-api.js";
import type { PageAllocator } from "../memory/page-allocator-api.js";
import { ModelKernelTables } from "./model-tables.js";

/** One kernel to be tested, fresh for every run. */
export interface ContractSubject {
  readonly tables: KernelTables;
  readonly allocator: PageAllocator;
  readonly holders: readonly NodeId[];
  /** 2 MiB-aligned starts of two areas nothing is mapped in: the first in the window, the second outside of it. */
  readonly areas: readonly bigint[];
}

const change = fc.record(
  { writable: fc.boolean(), executable: fc.boolean(), global: fc.boolean() },
  { requiredKeys: [] },
) as fc.Arbitrary<Partial<Protection>>;
// Pages at the start, across and behind a 2 MiB border: few enough that steps meet.
const spot = fc.record({ area: fc.nat(1), page: fc.constantFrom(0, 1, 2, 510, 511, 512, 513) });
const step = fc.oneof(
  fc.record({
    op: fc.constant("map" as const),
    at: spot,
    level: fc.constantFrom(1 as const, 1 as const, 2 as const),
    frame: fc.nat(3),
    perNode: fc.boolean(),
  }),
  fc.record({ op: fc.constant("unmap" as const), at: spot }),
  fc.record({ op: fc.constant("protect" as const), at: spot, pages: fc.constantFrom(1, 2, 3, 511, 512, 600), change }),
  fc.record({ op: fc.constant("repoint" as const), at: spot, frame: fc.nat(3) }),
  fc.record({ op: fc.constant("refused" as const), at: spot, nth: fc.integer({ min: 1, max: 3 }) }),
);

const plain = { writable: true, executable: false, global: true, user: false, present: true, cache: "wb" } as const;

/**
 * @param make a subject that shares nothing with any other
 * @throws BrokenPromise with the shortest list of steps
 */
export function kernelTablesContract(make: () => ContractSubject, runs = 100): void {
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const { tables, allocator, holders, areas } = make();
      const model = new ModelKernelTables(holders);
      const address = (at: { area: number; page: number }): bigint =>
        areas[at.area % areas.length]! + BigInt(at.page) * PAGE;
      const large = (at: bigint): bigint => at & ~(LARGE - 1n);
      // 2 MiB under which small leaves have been: a table may hang there still, or be gone; the contract leaves that
      // open.
      const divided = new Set<bigint>();
      for (const each of steps) {
        const at = address(each.at);
        if (each.op === "map") {
          const start = each.level === 2 ? large(at) : at;
          const base: Frame = 0x4_0000 + each.frame * 512;
          // Outside the window there is one leaf for all.
          const perNode = each.perNode && each.at.area === 0;
          const frames = (node: NodeId): Frame => (perNode ? base + (node + 1) * PAGE_BYTES : base);
          const mapping = { ...plain, level: each.level };
          let refusal: string | undefined;
          try {
            tables.edit((editor) =>
              perNode ? editor.mapPerNode(start, mapping, frames) : editor.map(start, { ...mapping, frame: base }),
            );
          } catch (error) {
            if (!(error instanceof MmError)) throw error;
            refusal = error.code;
          }
          const free = tableFree(model, holders[0]!, start, each.level);
          // A leaf over an area where a table page already hangs is refused as well: nothing under it is dropped in
          // silence.
          if (!free) same(refusal, "already-mapped", `mapping ${hex(start)} twice`);
          else if (each.level === 1 || !divided.has(start))
            same(refusal, undefined, `mapping ${hex(start)}, level ${each.level}, where nothing is`);
          if (refusal === undefined) model.map(start, mapping, frames);
          if (refusal === undefined && each.level === 1) divided.add(large(start));
        } else if (each.op === "unmap") {
          const found = tables.lookup(holders[0]!, at);
          if (!found) continue;
          const start = found.level === 2 ? large(at) : at;
          tables.edit((editor) => editor.unmap(start, found.level));
          model.unmap({ start, pages: found.level === 2 ? 512 : 1 });
        } else if (each.op === "protect") {
          same(
            tables.edit((editor) => editor.protect({ start: at, pages: each.pages }, each.change)),
            true,
            "protect was refused with memory to spare",
          );
          model.protect({ start: at, pages: each.pages }, each.change);
          // A large leaf that the range covers in part is split.
          divided.add(large(at)).add(large(at + BigInt(each.pages - 1) * PAGE));
        } else if (each.op === "repoint") {
          const found = tables.lookup(holders[0]!, at);
          if (found?.level !== 1 || each.at.area !== 0) continue;
          const frames = (_page: number, node: NodeId): Frame => 0x8_0000 + each.frame + node * PAGE_BYTES;
          tables.edit((editor) => editor.repoint({ start: at, pages: 1 }, frames));
          for (const node of holders) model.setOne(node, at, { ...found, frame: frames(0, node), level: 1 });
        } else {
          // A refused table page leaves everything as it was; with enough pages the change simply happens.
          const before = holders.map((node) => allocator.usedFrames(node, "page-table"));
          const free = !tables.lookup(holders[0]!, at);
          if (!free) continue;
          allocator.refuse(each.nth);
          let done: boolean;
          try {
            done = tables.edit((editor) => editor.map(at, { ...plain, level: 1, frame: 0x9_0000 }));
          } finally {
            allocator.refuse(0);
          }
          divided.add(large(at));
          if (done) model.map(at, { ...plain, level: 1 }, () => 0x9_0000);
          else
            same(
              holders.map((node) => allocator.usedFrames(node, "page-table")).join(),
              before.join(),
              "a refused map kept table pages",
            );
        }
        for (const base of areas) {
          for (const page of [0, 1, 2, 3, 255, 510, 511, 512, 513, 514, 1023]) {
            for (const node of holders) compare(tables, model, node, base + BigInt(page) * PAGE);
          }
        }
      }
    }),
    { runs },
  );
}

function tableFree(model: ModelKernelTables, node: NodeId, start: bigint, level: 1 | 2): boolean {
  for (let page = 0; page < (level === 2 ? 512 : 1); page++)
    if (model.lookup(node, start + BigInt(page) * PAGE)) return false;
  return true;
}

function compare(tables: KernelTables, model: ModelKernelTables, node: NodeId, address: bigint): void {
  const found = tables.lookup(node, address);
  const wanted = model.lookup(node, address);
  const text = (mapping: Mapping | undefined): string => {
    if (!mapping) return "nothing";
    const within = mapping.level === 2 ? Number((address >> 12n) & 511n) : 0;
    return `${(mapping.frame + within).toString(16)} w=${mapping.writable} x=${mapping.executable} g=${mapping.global}`;
  };
  same(text(found), text(wanted), `node ${node}, ${hex(address)}`);
}

function same<T>(found: T, wanted: T, what: string): void {
  promised(
    found === wanted,
    "tables say what the model says",
    `${what}: found ${String(found)}, wanted ${String(wanted)}`,
  );
}
