/// <reference types="node" />
/**
 * Sorting of tables, dependencies, per-CPU room and exports: the small parts, each against a plain statement of what it
 * must do.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VmArea } from "@kreplica/vmalloc";
import {
  exportsFromSymbols,
  ItsThunks,
  layoutModule,
  loadOrder,
  moduleName,
  ModuleImage,
  readExports,
  readModule,
  readModulesDep,
  type ModuleError,
  sortTables,
  type MemoryType,
} from "../src/index.js";
import { isNamed } from "../src/resolve.js";
import { PercpuReserve } from "../src/percpu.js";
import { tinyModule, type ObjectSection } from "../src/testing.js";

const imageOf = (sections: readonly ObjectSection[]): ModuleImage<MemoryType> => {
  const file = readModule(tinyModule({ sections }));
  const layout = layoutModule(file);
  return new ModuleImage<MemoryType>(
    file,
    layout.places.map((place) => place && { part: place.type, offset: place.offset }),
    layout.bytes,
    (type) => -0x4000_0000 + type.length * 0x10_0000,
  );
};
const viewOf = (image: ModuleImage<MemoryType>, name: string): DataView => {
  const bytes = image.bytesOf(image.section(name)!)!;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

describe("sorted in place", () => {
  test("exceptions by instruction, each entry still naming the places it named", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 30, size: "max" }), (places) => {
        const bytes = new Uint8Array(12 * places.length);
        const view = new DataView(bytes.buffer);
        places.forEach((place, i) => {
          view.setInt32(12 * i, place - 12 * i, true);
          view.setInt32(12 * i + 4, place + 7 - (12 * i + 4), true);
          view.setInt32(12 * i + 8, place ^ 5, true);
        });
        const image = imageOf([{ name: "__ex_table", flags: 2, bytes, align: 4 }]);
        sortTables(image);
        const sorted = viewOf(image, "__ex_table");
        const seen = places.map((_, i) => [
          sorted.getInt32(12 * i, true) + 12 * i,
          sorted.getInt32(12 * i + 4, true) + 12 * i + 4,
          sorted.getInt32(12 * i + 8, true),
        ]);
        expect(seen).toEqual([...places].sort((a, b) => a - b).map((place) => [place, place + 7, place ^ 5]));
      }),
      { numRuns: 50 },
    );
  });

  test("ORC entries by address with their data, an end before what begins there", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(20), register: fc.constantFrom(0, 5) }), {
          minLength: 1,
          maxLength: 30,
          size: "max",
        }),
        (entries) => {
          const ips = new Uint8Array(4 * entries.length);
          const data = new Uint8Array(6 * entries.length);
          entries.forEach(({ at, register }, i) => {
            new DataView(ips.buffer).setInt32(4 * i, at - 4 * i, true);
            data.set([at, i, 0, 0, register, 0], 6 * i);
          });
          const image = imageOf([
            { name: ".orc_unwind_ip", flags: 2, bytes: ips },
            { name: ".orc_unwind", flags: 2, bytes: data },
          ]);
          sortTables(image);
          const [where, what] = [viewOf(image, ".orc_unwind_ip"), viewOf(image, ".orc_unwind")];
          const seen = entries.map((_, i) => ({
            at: where.getInt32(4 * i, true) + 4 * i,
            data: what.getUint8(6 * i),
            register: what.getUint8(6 * i + 4) & 15,
          }));
          expect(seen.every(({ at, data: told }) => at === told)).toBe(true);
          for (let i = 1; i < seen.length; i++) {
            const [a, b] = [seen[i - 1]!, seen[i]!];
            expect(a.at < b.at || (a.at === b.at && (a.register === 0 || b.register !== 0))).toBe(true);
          }
          expect(seen.map(({ at }) => at)).toEqual(entries.map(({ at }) => at).sort((a, b) => a - b));
        },
      ),
      { numRuns: 50 },
    );
  });

  test("ftrace sites by address", () => {
    const bytes = new Uint8Array(24);
    [7n, 3n, 5n].forEach((site, i) => new DataView(bytes.buffer).setBigUint64(8 * i, site, true));
    const image = imageOf([{ name: "__mcount_loc", flags: 2, bytes, align: 8 }]);
    sortTables(image);
    expect([0, 8, 16].map((at) => viewOf(image, "__mcount_loc").getBigUint64(at, true))).toEqual([3n, 5n, 7n]);
  });
});

describe("dependencies", () => {
  test("modules.dep gives needs by name", () => {
    const needs = readModulesDep(
      "kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\nkernel/lib/libcrc32c.ko:\n\nkernel/net/nf-tables.ko.xz: kernel/net/nfnetlink.ko.xz kernel/lib/libcrc32c.ko\n",
    );
    expect([...needs]).toEqual([
      ["xfs", ["libcrc32c"]],
      ["libcrc32c", []],
      ["nf_tables", ["nfnetlink", "libcrc32c"]],
    ]);
    expect(moduleName("/a/b/snd-pcm.ko.zst")).toBe("snd_pcm");
  });

  test("each module comes after all it needs, once, else in the order asked", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.nat(9), { maxLength: 3 }), { minLength: 10, maxLength: 10 }),
        fc.shuffledSubarray([...Array(10).keys()]),
        (needs, wanted) => {
          // Needs of n are below n: no cycles.
          const graph = new Map(
            needs.map((list, n) => [`m${n}`, list.filter((need) => need < n).map((need) => `m${need}`)]),
          );
          const order = loadOrder(
            wanted.map((n) => `m${n}`),
            (name) => graph.get(name),
          );
          expect(new Set(order).size).toBe(order.length);
          for (const name of order)
            for (const need of graph.get(name)!) expect(order.indexOf(need)).toBeLessThan(order.indexOf(name));
          for (const n of wanted) expect(order).toContain(`m${n}`);
        },
      ),
    );
  });

  test("a cycle and a missing module are named", () => {
    const code = (graph: Record<string, string[]>): string => {
      try {
        loadOrder(["a"], (name) => graph[name]);
      } catch (error) {
        return (error as ModuleError).code;
      }
      return "none";
    };
    expect(code({ a: ["b"], b: ["c"], c: ["a"] })).toBe("dependency-cycle");
    expect(code({ a: ["b"] })).toBe("missing-dependency");
  });
});

test("per-CPU room never overlaps, is aligned, and comes back", () => {
  const step = fc.record({
    take: fc.boolean(),
    bytes: fc.integer({ min: 1, max: 40 }),
    align: fc.constantFrom(1, 8, 64),
    which: fc.nat(5),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const reserve = new PercpuReserve(100, 256);
      const live: { at: number; bytes: number }[] = [];
      for (const { take, bytes, align, which } of steps) {
        if (take) {
          const at = reserve.take(bytes, align);
          const free = [...Array(256).keys()]
            .map((n) => n + 100)
            .find(
              (place) =>
                place % align === 0 &&
                place + bytes <= 356 &&
                !live.some((each) => place < each.at + each.bytes && each.at < place + bytes),
            );
          expect(at).toBe(free);
          if (at !== undefined) live.push({ at, bytes });
        } else if (live.length > 0) reserve.give(live.splice(which % live.length, 1)[0]!.at);
        expect(reserve.used).toBe(live.reduce((sum, each) => sum + each.bytes, 0));
      }
    }),
  );
});

test("a namespace of modules is for those it names, a star for all that begin so", () => {
  const named = (namespace: string, ...modules: string[]): boolean[] =>
    modules.map((module) => isNamed(namespace, module));
  expect(named("module:kvm,kvm-amd", "kvm", "kvm_amd", "kvm-amd", "kvm_intel", "kv")).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(named("module:kvm-*", "kvm", "kvm_amd", "kvm-intel")).toEqual([false, true, true]);
  expect(named("CXL", "CXL", "cxl")).toEqual([false, false]);
});

describe("exports", () => {
  test("entries lead from their own place to value, name, namespace; checksums go with them", () => {
    const bytes = new Uint8Array(200);
    const view = new DataView(bytes.buffer);
    const base = -0x4000_0000;
    bytes.set([...Buffer.from("alpha\0beta\0NS\0", "latin1")], 100);
    [
      [0x1000, 100, 0],
      [0x1fbc0 - base, 106, 111],
    ].forEach(([value, name, space], i) => {
      view.setInt32(12 * i, value! - 12 * i, true);
      view.setInt32(12 * i + 4, name! - (12 * i + 4), true);
      view.setInt32(12 * i + 8, space === 0 ? 0 : space! - (12 * i + 8), true);
    });
    view.setUint32(60, 0xdead_beef, true);
    view.setUint32(64, 7, true);
    const source = {
      bytes: (address: number, length: number) =>
        address >= base && address + length <= base + 200
          ? bytes.subarray(address - base, address - base + length)
          : undefined,
    };
    expect(readExports(source, { start: base, bytes: 24, gpl: true, checksums: base + 60 }, "owner")).toEqual([
      { name: "alpha", value: base + 0x1000, gpl: true, namespace: "", checksum: 0xdead_beef, owner: "owner" },
      { name: "beta", value: 0x1fbc0, gpl: true, namespace: "NS", checksum: 7, owner: "owner" },
    ]);
    // One table for all, as in 7.2: a byte an entry says which are for GPL modules only.
    bytes.set([2, 3], 80);
    expect(
      readExports(source, { start: base, bytes: 24, gpl: false, flags: base + 80 }, "owner")!.map(({ gpl }) => gpl),
    ).toEqual([false, true]);
    expect(readExports(source, { start: base, bytes: 24, gpl: false, flags: base + 199 }, "owner")).toBeUndefined();
    expect(readExports(source, { start: base + 190, bytes: 24, gpl: false }, undefined)).toBeUndefined();
  });

  test("from a list of symbols: exported when the list has its ksymtab entry", () => {
    const exports = exportsFromSymbols([
      ["a", 0xffffffff81000000n],
      ["b", 0xffffffff81000010n],
      ["hidden", 0xffffffff81000020n],
      ["__ksymtab_a", 0xffffffff82000000n],
      ["__start___ksymtab_gpl", 0xffffffff82000100n],
      ["__ksymtab_b", 0xffffffff82000100n],
      ["__stop___ksymtab_gpl", 0xffffffff82000200n],
    ]);
    expect(exports.map(({ name, gpl, value }) => [name, gpl, value])).toEqual([
      ["a", false, -0x7f00_0000],
      ["b", true, -0x7eff_fff0],
    ]);
  });

  test("a module whose export table leads outside it is refused", async () => {
    const { loaderKernel } = await import("./support/kernel.js");
    const file = readModule(
      tinyModule({ sections: [{ name: "__ksymtab", flags: 2, bytes: new Uint8Array(12).fill(0x70), align: 4 }] }),
    );
    expect(() => loaderKernel().loader.load(file, 0)).toThrow("names a symbol outside");
  });
});

describe("thunks for indirect branches", () => {
  const base = 0xffff_ffff_c000_0000n;
  const make = (pages: number): { thunks: ItsThunks; taken: () => number } => {
    let taken = 0;
    return {
      thunks: new ItsThunks(() =>
        taken < pages ? ({ start: base + BigInt(taken++) * 0x2000n } as VmArea) : undefined,
      ),
      taken: () => taken,
    };
  };
  test("never in a lower half, never overlapping, filled with INT3 between", () => {
    const { thunks, taken } = make(100);
    let last = 0n;
    for (let nth = 0; nth < 2000; nth++) {
      const register = (nth * 7) % 16;
      const length = register >= 8 ? 4 : 3;
      const at = thunks.take(register)!;
      expect(at).toBeGreaterThan(last);
      const end = at + BigInt(length) - 1n;
      expect([at & 0x20n, end & 0x20n, at >> 6n]).toEqual([0x20n, 0x20n, end >> 6n]);
      last = end;
      const page = thunks.pages.at(-1)!;
      const offset = Number(at - page.area.start);
      expect([...page.bytes.subarray(offset, offset + length)]).toEqual([
        ...(register >= 8 ? [0x41] : []),
        0xff,
        0xe0 + (register & 7),
        0xcc,
      ]);
      expect(page.bytes[offset + length] ?? 0xcc).toBe(0xcc);
    }
    // 32 bytes of each line hold at most ten of three bytes and eight of four.
    expect(taken()).toBeGreaterThanOrEqual(Math.ceil(2000 / (64 * 10)));
    expect(taken()).toBeLessThanOrEqual(Math.ceil(2000 / (63 * 8)) + 1);
  });
  test("none when there is no page, and a page only when it is needed", () => {
    const none = make(0);
    expect([none.thunks.take(0), none.taken()]).toEqual([undefined, 0]);
    const one = make(1);
    while (one.thunks.take(3) !== undefined);
    expect(one.thunks.pages.length).toBe(1);
  });
});
