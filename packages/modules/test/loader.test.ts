/** The loader on a fake kernel: states, permissions, errors, and nothing left behind whatever fails. */
import { describe, expect, test } from "vitest";
import { InvariantError, type Protection } from "@kreplica/mm-core/api";
import { checkAreas, type VmArea } from "@kreplica/vmalloc";
import {
  checkModules,
  layoutModule,
  modulePolicy,
  placements,
  readModule,
  replications,
  watchFormation,
  type LoadedModule,
  type MemoryType,
} from "../src/index.js";
import { tinyHost, tinyModule, type TinyModule } from "../src/testing.js";
import { loaderKernel, type LoaderKernel } from "./support/kernel.js";
import { nothingLeft, refusal } from "./support/refused.js";

const file = (options: TinyModule = {}) => readModule(tinyModule(options));
const load = (kernel: LoaderKernel, options: TinyModule = {}, node = 0): LoadedModule =>
  kernel.loader.load(file(options), node);
const findings = (kernel: LoaderKernel): string[] =>
  [...checkModules({ ...kernel, vmalloc: kernel.vm }), ...checkAreas({ ...kernel, vmalloc: kernel.vm })].map(
    ({ id, detail }) => `${id}: ${detail}`,
  );
const types = (module: LoadedModule): MemoryType[] => [...module.memories.keys()];

describe.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2]]])("on holders %j", (holders) => {
  test("text and rodata get a copy each, nothing else does; init goes, ro_after_init is sealed, all comes back", () => {
    const kernel = loaderKernel({ holders });
    const module = load(kernel, {}, holders[0]);
    expect([module.state, types(module)]).toEqual([
      "coming",
      ["text", "data", "rodata", "ro-after-init", "init-text", "init-data"],
    ]);
    expect(findings(kernel)).toEqual([]);
    const state = holders.length > 1 ? "replicated" : "unshared";
    expect([...module.memories.values()].map(({ type, area }) => `${type} ${area.state}`)).toEqual([
      `text ${state}`,
      `data ${holders.length > 1 ? "shared" : "unshared"}`,
      `rodata ${state}`,
      ...["ro-after-init", "init-text", "init-data"].map(
        (type) => `${type} ${holders.length > 1 ? "shared" : "unshared"}`,
      ),
    ]);
    kernel.loader.finishInit(module);
    expect([module.state, types(module)]).toEqual(["live", ["text", "data", "rodata", "ro-after-init"]]);
    expect(findings(kernel)).toEqual([]);
    const sealed = module.memories.get("ro-after-init")!.area.start;
    for (const holder of holders) expect(kernel.tables.lookup(holder, sealed)!.writable).toBe(false);
    expect(kernel.loader.containing(module.symbol("cleanup_module")!)).toBe(module);
    kernel.loader.unload("tiny");
    nothingLeft(kernel);
  });

  test("a store to data on one node is seen on all, and constants are the file's on all", () => {
    const kernel = loaderKernel({ holders });
    const module = load(kernel);
    const data = module.memories.get("data")!.area;
    kernel.vm.write(data, 0, Uint8Array.of(0xab));
    for (const holder of holders) {
      const [seen, constant] = [new Uint8Array(1), new Uint8Array(100)];
      kernel.vm.read(holder, data, 0, seen);
      kernel.vm.read(holder, module.memories.get("rodata")!.area, 0, constant);
      expect(seen[0]).toBe(0xab);
      expect(constant.every((byte) => byte === 7)).toBe(true);
    }
  });
});

test("relocated words say what the psABI says", () => {
  const kernel = loaderKernel();
  const module = load(kernel);
  const text = module.memories.get("text")!.area;
  const table = module.memories.get("rodata")!.area.start + 4n;
  const bytes = new Uint8Array(64);
  kernel.vm.read(1, text, 0, bytes);
  const view = new DataView(bytes.buffer);
  const at = (offset: number): bigint => text.start + BigInt(offset);
  expect(BigInt.asUintN(64, at(20) + BigInt(view.getInt32(16, true)))).toBe(0xffffffff81001000n); // a call: the next instruction plus the distance
  expect(BigInt.asUintN(64, at(20) + BigInt(view.getInt32(20, true)))).toBe(table + 8n);
  expect(BigInt.asUintN(64, BigInt(view.getInt32(24, true)))).toBe(table);
  expect(view.getBigUint64(32, true)).toBe(table + 16n);
  expect(BigInt.asUintN(64, at(40) + view.getBigInt64(40, true))).toBe(table);
  expect(Object.fromEntries(module.relocations)).toEqual({ 1: 1, 2: 1, 4: 1, 11: 1, 24: 1 });
});

describe("symbols between modules", () => {
  test("a later module links to an earlier one, which cannot go before it", () => {
    const kernel = loaderKernel();
    const base = load(kernel, { name: "base", exports: ["shared_a", "shared_b"] });
    const user = load(kernel, { name: "user", symbols: [{ name: "shared_b" }] });
    expect([[...user.uses], [...base.users]]).toEqual([["base"], ["user"]]);
    expect(kernel.host.symbols.find("shared_b")).toMatchObject({
      owner: "base",
      value: Number(BigInt.asIntN(64, base.memories.get("text")!.area.start)) + 65,
    });
    expect(refusal(() => kernel.loader.unload("base"))).toBe("in-use EWOULDBLOCK");
    expect(refusal(() => load(kernel, { name: "twin", exports: ["shared_a"] }))).toBe("duplicate-export ENOEXEC");
    expect(kernel.host.symbols.find("shared_a")!.owner).toBe("base");
    kernel.loader.unload("user");
    kernel.loader.unload("base");
    expect(kernel.host.symbols.find("shared_a")).toBeUndefined();
    nothingLeft(kernel);
  });
});

describe("refused as Linux refuses, with nothing left", () => {
  const cases: [string, TinyModule, string][] = [
    ["another kernel's", { vermagic: "6.6.0 SMP mod_unload modversions " }, "vermagic ENOEXEC"],
    ["an unknown symbol", { symbols: [{ name: "nobody_has_this" }] }, "unknown-symbol ENOENT"],
    [
      "a GPL symbol, license proprietary",
      { license: "Proprietary", symbols: [{ name: "gpl_only" }] },
      "unknown-symbol ENOENT",
    ],
    ["a namespace not imported", { symbols: [{ name: "in_namespace" }] }, "namespace EINVAL"],
    [
      "a checksum that differs",
      { versions: { with_checksum: 5 }, symbols: [{ name: "with_checksum" }] },
      "version EINVAL",
    ],
    ["another struct module", { versions: { module_layout: 5 } }, "vermagic ENOEXEC"],
    ["a common symbol", { symbols: [{ name: "common", section: 0xfff2, value: 8 }] }, "common-symbol ENOEXEC"],
    ["a section number that is none", { symbols: [{ name: "odd", section: 0xff77 }] }, "bad-symbol ENOEXEC"],
    [
      "a relocation nobody knows",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8),
            relocations: [{ offset: 0, type: 9, symbol: "table", addend: 0 }],
          },
        ],
      },
      "unknown-relocation ENOEXEC",
    ],
    [
      "a relocation outside its section",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8),
            relocations: [{ offset: 5, type: 2, symbol: "table", addend: 0 }],
          },
        ],
      },
      "relocation-outside ENOEXEC",
    ],
    [
      "a relocation over bytes that are not zero",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8).fill(1),
            relocations: [{ offset: 0, type: 2, symbol: "table", addend: 0 }],
          },
        ],
      },
      "relocation-target ENOEXEC",
    ],
    [
      "an unsigned address that does not fit",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8),
            relocations: [{ offset: 0, type: 10, symbol: "table", addend: 0 }],
          },
        ],
      },
      "relocation-overflow ENOEXEC",
    ],
    [
      "a signed address that does not fit",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8),
            relocations: [{ offset: 0, type: 11, symbol: "table", addend: -0x8000_0000 }],
          },
        ],
      },
      "relocation-overflow ENOEXEC",
    ],
    [
      "a symbol that is not in the table",
      {
        sections: [
          {
            name: ".text.odd",
            flags: 6,
            bytes: new Uint8Array(8),
            relocations: [{ offset: 0, type: 2, symbol: "not there", addend: 0 }],
          },
        ],
      },
      "bad-symbol ENOEXEC",
    ],
    [
      "a return site outside the module",
      { sections: [{ name: ".return_sites", flags: 2, bytes: Uint8Array.of(0, 0, 0, 0x70) }] },
      "bad-site ENOEXEC",
    ],
    [
      "a cut table of sites",
      { sections: [{ name: ".return_sites", flags: 2, bytes: Uint8Array.of(0, 0, 0) }] },
      "bad-site ENOEXEC",
    ],
    [
      "more per-CPU data than there is",
      { sections: [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(9000), align: 8 }] },
      "no-memory ENOMEM",
    ],
  ];
  test.each(cases)("%s", (_, options, wanted) => {
    const kernel = loaderKernel({
      host: tinyHost([
        { name: "gpl_only", gpl: true },
        { name: "in_namespace", namespace: "CRYPTO_INTERNAL" },
        { name: "with_checksum", checksum: 4 },
        { name: "module_layout", checksum: 4 },
      ]),
    });
    expect(refusal(() => load(kernel, options))).toBe(wanted);
    nothingLeft(kernel);
  });

  test("what the same cases need to be accepted", () => {
    const kernel = loaderKernel({
      host: tinyHost([
        { name: "gpl_only", gpl: true },
        { name: "in_namespace", namespace: "CRYPTO_INTERNAL" },
        { name: "with_checksum", checksum: 4 },
      ]),
    });
    const symbols = [
      { name: "gpl_only" },
      { name: "in_namespace" },
      { name: "with_checksum" },
      { name: "weak_and_missing", binding: 2 },
      { name: "absolute", section: 0xfff1, value: 77 },
    ];
    const module = load(kernel, {
      imports: ["CRYPTO_INTERNAL"],
      versions: { with_checksum: 4 },
      symbols,
      vermagic: "6.6.6-other SMP mod_unload modversions ",
      sections: [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(8192), align: 8 }],
    });
    expect(module.symbol("absolute")).toBe(77n);
  });

  test("twice, unknown, permanent", () => {
    const kernel = loaderKernel();
    load(kernel, { permanent: true });
    expect(refusal(() => load(kernel))).toBe("already-loaded EEXIST");
    expect(refusal(() => kernel.loader.unload("tiny"))).toBe("permanent EBUSY");
    expect(refusal(() => kernel.loader.unload("nobody"))).toBe("not-loaded ENOENT");
  });
});

test("refused at every n, a module is loaded whole or not at all; only copies may be missing", () => {
  let refused = 0;
  let shared = 0;
  for (let n = 1; n < 80; n++) {
    for (const repeat of [true, false]) {
      const kernel = loaderKernel({ holders: [0, 1, 2] });
      kernel.allocator.refuse(n, repeat);
      const outcome = refusal(() => load(kernel));
      kernel.allocator.refuse(0);
      expect(findings(kernel)).toEqual([]);
      if (outcome === "none") {
        const module = kernel.loader.find("tiny")!;
        if ([...module.memories.values()].some(({ replication }) => replication === "no-memory")) shared++;
        kernel.loader.finishInit(module);
        kernel.loader.unload("tiny");
      } else {
        expect(outcome).toBe("no-memory ENOMEM");
        refused++;
      }
      nothingLeft(kernel);
    }
  }
  expect(refused).toBeGreaterThan(10);
  expect(shared).toBeGreaterThan(3);
});

test("loaded and unloaded again and again, counts stay where they were", () => {
  const kernel = loaderKernel();
  const used: number[] = [];
  for (let round = 0; round < 5; round++) {
    const module = load(kernel, { exports: ["a"] });
    kernel.loader.finishInit(module);
    kernel.loader.unload("tiny");
    used.push(kernel.allocator.used);
  }
  expect(new Set(used).size).toBe(1);
  expect(kernel.host.symbols.size).toBe(1);
});

describe("policy", () => {
  const states = (policy: Parameters<typeof modulePolicy>, options: { node?: number; nodes?: number[] } = {}) => {
    const kernel = loaderKernel({ policy: modulePolicy(...policy), nodes: options.nodes ?? [0, 1] });
    const module = load(kernel, {}, options.node ?? 0);
    expect(findings(kernel)).toEqual([]);
    const { area } = module.memories.get("text")!;
    return {
      state: area.state,
      node: area.node,
      on: area.frames.map((frame) => kernel.memory.nodeOf(frame)),
      data: module.memories.get("data")!.area.frames.map((frame) => kernel.memory.nodeOf(frame)),
    };
  };
  test("base copy where the loader runs, on a given node, on the first, or interleaved", () => {
    expect(states(["", placements.local, replications.all], { node: 1 })).toMatchObject({
      node: 1,
      on: [1, 1],
      data: [1],
    });
    expect(states(["", placements.given(1), replications.all])).toMatchObject({ node: 1, on: [1, 1] });
    expect(states(["", placements.first, replications.all], { node: 1 })).toMatchObject({ node: 0, on: [0, 0] });
    // Interleaved and shared, pages alternate; replicated, every holder has its own.
    expect(states(["", placements.interleaved, replications.none])).toMatchObject({ state: "shared", on: [0, 1] });
    expect(states(["", placements.interleaved, replications.all])).toMatchObject({ state: "replicated", on: [0, 0] });
  });
  test("copies by size, distance or name", () => {
    const bytes = 5000 + 1 + 100;
    expect(states(["", placements.local, replications.fromBytes(bytes + 1)]).state).toBe("shared");
    expect(states(["", placements.local, replications.fromBytes(5000)]).state).toBe("replicated");
    expect(states(["", placements.local, replications.upToBytes(4000)]).state).toBe("shared");
    expect(states(["", placements.local, replications.fromDistance(21)]).state).toBe("replicated");
    expect(states(["", placements.local, replications.fromDistance(22)]).state).toBe("shared");
    expect(states(["", placements.local, replications.named(new Set(["other"]))]).state).toBe("shared");
  });
});

test("copies are made after the last direct write and before the code is sealed or runs", () => {
  const kernel = loaderKernel();
  const seen: string[] = [];
  const { vm } = kernel;
  const replicateAll = vm.replicateAll.bind(vm);
  const write = vm.write.bind(vm);
  vm.write = (area, offset, bytes) => {
    seen.push("write");
    write(area, offset, bytes);
  };
  vm.replicateAll = (areas) => {
    for (const area of areas) {
      const leaf = kernel.tables.lookup(1, area.start)!;
      seen.push(
        `replicate ${leaf.writable ? "writable" : "sealed"} ${leaf.executable ? "executable" : "not executable"}`,
      );
    }
    return replicateAll(areas);
  };
  const module = load(kernel);
  kernel.loader.finishInit(module);
  const last = seen.lastIndexOf("write");
  expect(seen.slice(last + 1)).toEqual(["replicate writable not executable", "replicate writable not executable"]);
  expect(seen.slice(0, last).every((each) => each === "write")).toBe(true);
});

describe("E3 is seen as it happens", () => {
  const watched = (act: (kernel: LoaderKernel, area: VmArea) => void): string[] => {
    const kernel = loaderKernel();
    const findings = watchFormation({ ...kernel, vmalloc: kernel.vm });
    const area = kernel.vm.allocate({
      bytes: 8192,
      low: kernel.layout.modulesStart,
      high: kernel.layout.modulesEnd,
      placement: { node: 0 },
      purpose: "module",
    });
    kernel.vm.write(area, 0, Uint8Array.of(1));
    act(kernel, area);
    return findings.map(({ id, detail }) => `${id}: ${detail}`);
  };
  const seal = (kernel: LoaderKernel, area: VmArea, change: Partial<Protection>, page = 1n): void => {
    kernel.tables.edit((editor) => editor.protect({ start: area.start + page * 4096n, pages: 1 }, change));
  };
  test("the right order is no finding, nor are whole loads", () => {
    expect(
      watched((kernel, area) => {
        kernel.vm.replicate(area);
        seal(kernel, area, { writable: false, executable: true });
      }),
    ).toEqual([]);
    expect(
      watched((kernel) => {
        kernel.loader.finishInit(load(kernel));
        kernel.loader.unload("tiny");
      }),
    ).toEqual([]);
  });
  test("copies of a page that is read-only, or executable", () => {
    expect(
      watched((kernel, area) => {
        seal(kernel, area, { writable: false });
        kernel.vm.replicate(area);
      }),
    ).toEqual([expect.stringMatching(/^E3: .*given copies when 0xffffffffc0001000 is read-only on node 0/)]);
    expect(
      watched((kernel, area) => {
        seal(kernel, area, { executable: true });
        kernel.vm.replicateAll([area]);
      }),
    ).toEqual([expect.stringMatching(/^E3: .*is executable on node 0/)]);
  });
  test("a direct write to what is sealed, or has copies", () => {
    expect(
      watched((kernel, area) => {
        seal(kernel, area, { writable: false });
        kernel.vm.write(area, 9, Uint8Array.of(1));
      }),
    ).toEqual([expect.stringMatching(/^E3: .*\+ 0x9 is written directly when .* is read-only/)]);
    expect(
      watched((kernel, area) => {
        kernel.vm.replicate(area);
        expect(() => kernel.vm.write(area, 0, Uint8Array.of(1))).toThrow(InvariantError);
      }),
    ).toEqual([expect.stringMatching(/^E3: .*when it has copies/)]);
  });
});

test("a load takes one flush for its copies and one for its permissions", () => {
  const kernel = loaderKernel({ holders: [0, 1, 2] });
  const before = kernel.tables.flushes;
  const module = load(kernel);
  expect(module.replicationCost.flushes).toBe(1);
  expect(kernel.tables.flushes - before).toBe(2);
});

describe("per-CPU data", () => {
  const percpu = {
    sections: [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(5000), align: 64 }],
    symbols: [{ name: "counter", section: ".data..percpu", value: 24 }],
  };
  test("symbols are offsets into every CPU's unit, and the room comes back", () => {
    const kernel = loaderKernel();
    for (let round = 0; round < 3; round++) {
      expect(load(kernel, percpu).symbol("counter")).toBe(0x3_4000n + 24n);
      // Two such modules do not fit at once.
      expect(refusal(() => load(kernel, { ...percpu, name: "second" }))).toBe("no-memory ENOMEM");
      kernel.loader.unload("tiny");
    }
    nothingLeft(kernel);
  });
  test("their symbols stay for kallsyms, as all but those of init do", () => {
    const counts = [{}, percpu, { symbols: [{ name: "at_init", section: ".init.data" }] }].map(
      (options: TinyModule) => layoutModule(file(options)).coreSymbols,
    );
    expect(counts).toEqual([counts[0]!, counts[0]! + 1, counts[0]!]);
  });
});

test("tables are sorted before they are copied: every node has them in order", () => {
  const kernel = loaderKernel();
  const bytes = new Uint8Array(16);
  const module = load(kernel, {
    exports: ["first", "second"],
    sections: [
      {
        name: "__mcount_loc",
        flags: 2,
        bytes,
        align: 8,
        relocations: [
          { offset: 0, type: 1, symbol: "second", addend: 0 },
          { offset: 8, type: 1, symbol: "first", addend: 0 },
        ],
      },
    ],
  });
  const { area } = module.memories.get("rodata")!;
  for (const holder of [0, 1]) {
    const seen = new Uint8Array(area.pages * 4096);
    kernel.vm.read(holder, area, 0, seen);
    const view = new DataView(seen.buffer);
    const words = [...Array(seen.length / 8).keys()].map((i) => view.getBigUint64(8 * i, true));
    const at = words.indexOf(module.symbol("first")!);
    expect(at).toBeGreaterThanOrEqual(0);
    expect(words[at + 1]).toBe(module.symbol("second"));
  }
});

test("the upper half of an eight-byte place has to be zero too", () => {
  const bytes = new Uint8Array(8);
  bytes[6] = 1;
  const kernel = loaderKernel();
  expect(
    refusal(() =>
      load(kernel, {
        sections: [
          { name: ".data.odd", flags: 3, bytes, relocations: [{ offset: 0, type: 1, symbol: "table", addend: 0 }] },
        ],
      }),
    ),
  ).toBe("relocation-target ENOEXEC");
});
