/**
 * The order in which areas come and go, from what others see: aliases, leaves, flushes and frames, one after the other.
 */
import type { Plugin } from "@kreplica/di";
import type { Frame } from "@kreplica/hw-x86/api";
import type { TableEditor } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { Vmalloc, vmalloc, vmallocWith, type VmArea } from "../src/index.js";
import { type FakeKernel, fakeKernel, fakeLayout } from "../src/testing.js";

const modules = { low: fakeLayout.modulesStart, high: fakeLayout.modulesEnd };
const place = { placement: { node: 0 }, purpose: "module", ...modules } as const;
const alias = (frame: Frame): bigint => fakeLayout.pageOffset + BigInt(frame) * 4096n;

interface Watched extends FakeKernel {
  readonly vm: Vmalloc;
  /** What was done, runs of the same once. */
  readonly events: string[];
  /** Ranges flushed so far. */
  readonly flushed: { readonly start: bigint; readonly pages: number }[];
  /** Whether aliases can be restored. */
  canRestore: boolean;
}

function watched(plugins: readonly Plugin[] = [vmalloc], holders: readonly number[] = [0, 1]): Watched {
  const kernel = fakeKernel({ holders, plugins });
  const { tables, allocator } = kernel;
  const events: string[] = [];
  const flushed: { readonly start: bigint; readonly pages: number }[] = [];
  const watch: Watched = { ...kernel, vm: kernel.assembly.get(Vmalloc), events, flushed, canRestore: true };
  const say = (what: string): void => void (events.at(-1) !== what && events.push(what));
  const told = (editor: TableEditor): TableEditor =>
    Object.assign(Object.create(editor) as TableEditor, {
      unmap(...given: Parameters<TableEditor["unmap"]>) {
        say("unmap");
        editor.unmap(...given);
      },
      protect(...given: Parameters<TableEditor["protect"]>) {
        const [, { present }] = given;
        if (present === true && !watch.canRestore) return false;
        if (present !== undefined) say(present ? "restore" : "forbid");
        return editor.protect(...given);
      },
    });
  const [edit, lazily] = [tables.edit.bind(tables), tables.editLazily.bind(tables)];
  tables.edit = (change) => {
    const result = edit((editor) => change(told(editor)));
    say("flush");
    return result;
  };
  tables.editLazily = (change) => lazily((editor) => change(told(editor)));
  const [flush, flushRanges, free] = [
    tables.flush.bind(tables),
    tables.flushRanges.bind(tables),
    allocator.free.bind(allocator),
  ];
  tables.flush = (range) => {
    say("flush");
    flush(range);
  };
  tables.flushRanges = (ranges) => {
    say("flush");
    flushed.push(...ranges);
    flushRanges(ranges);
  };
  allocator.free = (frame, order) => {
    say("free");
    free(frame, order);
  };
  return watch;
}

/** An area with a copy, sealed: its frames' aliases are read-only. */
function sealed(kernel: Watched): VmArea {
  const area = kernel.vm.allocate({ bytes: 3 * 4096, ...place, resetPermissions: true });
  kernel.vm.replicate(area);
  kernel.tables.edit((editor) =>
    editor.protect({ start: area.start, pages: 3 }, { writable: false, executable: true }, true),
  );
  kernel.events.length = 0;
  return area;
}
const used = ({ allocator }: FakeKernel): number =>
  [0, 1].reduce((sum, node) => sum + allocator.usedFrames(node, "module"), 0);

describe("an area that goes", () => {
  test("leaves and aliases are gone, then one flush, then aliases are writable and frames free", () => {
    const kernel = watched();
    const area = sealed(kernel);
    const frames = [...area.frames, ...[...area.copies.values()].flat()];
    kernel.vm.free(area);
    expect(kernel.events).toEqual(["unmap", "forbid", "flush", "restore", "free"]);
    for (const frame of frames)
      expect(
        kernel.flushed.some(
          ({ start, pages }) => start <= alias(frame) && alias(frame) < start + BigInt(pages) * 4096n,
        ),
        `the alias of frame ${frame}, of one of the copies, is not flushed`,
      ).toBe(true);
    expect(used(kernel)).toBe(0);
  });

  test("frames whose alias cannot be restored stay, with their addresses, are counted, and go at the next try", () => {
    const kernel = watched();
    const area = sealed(kernel);
    kernel.canRestore = false;
    kernel.vm.free(area);
    expect(used(kernel), "frames were given back though their alias could not be restored").toBe(6);
    expect(kernel.events).not.toContain("free");
    expect(kernel.vm.counters.lazyPages).toBe(4);
    expect(() => kernel.vm.allocate({ bytes: 4096, ...place, at: area.start })).toThrow("are not free");
    kernel.canRestore = true;
    kernel.vm.purge();
    expect(used(kernel)).toBe(0);
    expect(kernel.vm.counters.lazyPages).toBe(0);
    expect(kernel.vm.allocate({ bytes: 4096, ...place, at: area.start }).start).toBe(area.start);
  });

  test("shadow goes with its last user, and its frame only after the flush", () => {
    const kernel = watched([vmallocWith({ shadow: "kasan" })]);
    const area = kernel.vm.allocate({ bytes: 4096, ...place });
    kernel.events.length = 0;
    kernel.vm.free(area);
    expect(kernel.events).toEqual(["unmap", "flush", "free"]);
    expect(kernel.tables.tooEarly).toEqual([]);
  });
});

describe("an area that comes", () => {
  test("copies hold what the base holds before any leaf leads to them", () => {
    const kernel = watched();
    const area = kernel.vm.allocate({ bytes: 3 * 4096, ...place });
    kernel.vm.write(
      area,
      0,
      Uint8Array.from({ length: 3 * 4096 }, (_, at) => at % 251),
    );
    const { edit } = kernel.tables;
    let repointed = 0;
    kernel.tables.edit = (change) =>
      edit((editor) =>
        change(
          Object.assign(Object.create(editor) as TableEditor, {
            repoint(...given: Parameters<TableEditor["repoint"]>) {
              for (let page = 0; page < 3; page++) {
                const frame = given[1](page, 1)!;
                expect(kernel.memory.equalFrames(frame, area.frames[page]!), `page ${page} of the copy`).toBe(true);
                repointed++;
              }
              return editor.repoint(...given);
            },
          }),
        ),
      );
    expect(kernel.vm.replicate(area)).toBe("replicated");
    expect(repointed).toBe(3);
  });

  test("interleaved, and refused at any frame: those it had go back", () => {
    for (let nth = 1; nth <= 4; nth++) {
      const kernel = watched();
      kernel.allocator.refuse(nth, true);
      expect(() =>
        kernel.vm.allocate({ bytes: 4 * 4096, ...modules, placement: { interleave: [0, 1] }, purpose: "module" }),
      ).toThrow("no frames");
      expect(used(kernel), `the ${nth}. frame refused`).toBe(0);
    }
  });

  test("mapped in part and given up: flushed before its addresses are used again", () => {
    let parts = 0;
    for (let nth = 1; nth < 30; nth++) {
      const kernel = watched();
      kernel.allocator.refuse(nth, true);
      try {
        // Eight pages before a 2 MiB border: two table pages a holder.
        kernel.vm.allocate({ bytes: 16 * 4096, ...place, at: modules.low + 0x1f_8000n });
        break;
      } catch {
        if (!kernel.events.includes("unmap")) continue;
        parts++;
        expect(kernel.events.slice(kernel.events.indexOf("unmap"))).toEqual(["unmap", "flush", "free"]);
      }
    }
    expect(parts).toBeGreaterThan(0);
  });
});
