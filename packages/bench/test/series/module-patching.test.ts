/// <reference types="node" />
/**
 * Probes, tracing, static keys and static calls in functions of real loaded modules: every copy has them, CPUs of every
 * node meet them.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { bootWithModules, type ModuleKernel } from "@kreplica/kernel";
import { ITS_FEATURES, type KernelFile, type ModuleDirectory, moduleHost } from "@kreplica/kernel-files";
import { loadModules } from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { checkModules, layoutModule, type LoadedModule } from "@kreplica/modules";
import { SetMemory } from "@kreplica/set-memory";
import {
  Ftrace,
  InsnPages,
  JumpLabels,
  Kprobes,
  moveInstruction,
  StaticCalls,
  TextPoke,
  textPatch,
} from "@kreplica/text-patch";
import { checkAreas, VmallocError } from "@kreplica/vmalloc";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { moduleDirectory } from "../../src/inputs/kernel-modules/directory.js";
import { filesInOrder } from "../real/files-in-order.js";
import { Scratch } from "../real/kernel-calls.js";
import { interruptTables, ProbedCaller } from "./probed-cpu.js";

const NODES = 3;
const found = ((): { vmlinuz: string; modules: string } | undefined => {
  try {
    return fetchKernel() as { vmlinuz: string; modules: string };
  } catch (error) {
    console.error(`SKIPPED, no kernel package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();

describe.skipIf(!found)("in a loaded module", () => {
  let file: KernelFile;
  let directory: ModuleDirectory;
  beforeAll(async () => {
    file = await readKernelFile(found!.vmlinuz);
    directory = moduleDirectory(found!.modules);
  });

  const start = async (
    ...names: string[]
  ): Promise<{ kernel: ModuleKernel; poke: TextPoke; pages: (bytes: number) => InsnPages }> => {
    const kernel = bootWithModules({
      spec: tinyMachine({ nodes: NODES, coresPerNode: 1 }),
      policy: "per-node",
      kernel: file,
      host: moduleHost(file),
      plugins: [textPatch],
    });
    expect(loadModules(kernel, await filesInOrder(directory, names), 0, () => 0).refused).toEqual([]);
    const poke = kernel.assembly.get(TextPoke);
    return {
      kernel,
      poke,
      pages: (bytes) => new InsnPages(kernel.vmalloc, kernel.assembly.get(SetMemory), poke, kernel.layout, bytes, 0),
    };
  };
  const findings = (kernel: ModuleKernel): string[] =>
    [...checkModules(kernel), ...checkAreas({ ...kernel, memory: kernel.machine.memory })].map(
      ({ id, detail }) => `${id}: ${detail}`,
    );
  /** Bytes as each holder's CPUs have them. */
  const seen = (kernel: ModuleKernel, module: LoadedModule, address: bigint, length: number): string[] =>
    kernel.view.holders.map((holder) => {
      const { area } = [...module.memories.values()].find(
        (memory) => address >= memory.area.start && address < memory.area.start + BigInt(memory.area.pages) * 4096n,
      )!;
      const bytes = new Uint8Array(length);
      kernel.vmalloc.read(holder, area, Number(address - area.start), bytes);
      return Buffer.from(bytes).toString("hex");
    });
  const inText = (module: LoadedModule, address: bigint): boolean => {
    const { area } = module.memories.get("text")!;
    return address >= area.start && address < area.start + BigInt(area.pages) * 4096n;
  };

  const crc = (bytes: Uint8Array): bigint => {
    let value = 0;
    for (const byte of bytes) {
      value ^= byte << 8;
      for (let bit = 0; bit < 8; bit++)
        value = (value & 0x8000) !== 0 ? ((value << 1) ^ 0x1021) & 0xffff : (value << 1) & 0xffff;
    }
    return BigInt(value);
  };

  test("a probe is hit by CPUs of every node, and the function still computes what it should; disarmed, by none", async () => {
    const { kernel, poke, pages } = await start("crc_itu_t");
    const module = kernel.loader.find("crc_itu_t")!;
    const entry = module.symbol("crc_itu_t")!;
    const probes = new Kprobes(poke, pages(32), pages(128));
    const scratch = new Scratch(kernel, 0);
    const message = Uint8Array.from({ length: 50 }, (_, i) => (i * 37 + 11) & 255);
    const at = scratch.put(message);
    const tables = interruptTables(scratch);
    const stack = scratch.take(4096) + 4000n;
    const cpus = kernel.machine.cpuIds.map(
      (cpu) => new ProbedCaller(kernel, scratch, cpu, tables, (site) => probes.hit(site)),
    );
    const all = (expected: readonly bigint[]): void => {
      for (const each of cpus) {
        each.hits.length = 0;
        each.caller.fetched.clear();
        expect(each.call(entry, [0, at, message.length], stack) & 0xffffn).toBe(crc(message));
        expect(each.hits).toEqual(expected);
        const text = module.memories.get("text")!.area;
        const own = text.node === each.caller.node ? text.frames : text.copies.get(each.caller.node)!;
        // Of the module's frames it fetched its own node's alone; probe slots are one page for all.
        const fetched = [text.frames, ...text.copies.values()].flat().filter((frame) => each.caller.fetched.has(frame));
        expect(fetched.length).toBeGreaterThan(0);
        expect(fetched.every((frame) => own.includes(frame))).toBe(true);
      }
    };
    all([]);
    // The first instruction, and the one behind it.
    const second = entry + BigInt(moveInstruction(poke.read(bytesAt(entry, 15)), entry, entry).length);
    const before = seen(kernel, module, entry, 8);
    probes.arm(entry);
    all([entry]);
    probes.arm(second);
    all([entry, second]);
    expect(new Set(seen(kernel, module, entry, 8)).size).toBe(1);
    expect(findings(kernel)).toEqual([]);
    probes.disarm(entry);
    all([second]);
    probes.disarm(second);
    all([]);
    expect(seen(kernel, module, entry, 8)).toEqual(before);
    kernel.loader.unload("crc_itu_t");
    expect(findings(kernel)).toEqual([]);
    expect([kernel.vmalloc.counters.used, kernel.vmalloc.counters.areas]).toEqual([0, 0]);
  });

  test("traced, the function calls the trampoline on CPUs of every node; and no longer when tracing ends", async () => {
    const { kernel, poke, pages } = await start("nls_cp437");
    const module = kernel.loader.find("nls_cp437")!;
    // int char2uni(const unsigned char *rawstring, int boundlen, wchar_t *uni)
    const entry = module.symbol("char2uni")!;
    expect(module.patchTables.ftrace).toContain(entry);
    const ftrace = new Ftrace(
      poke,
      pages(64),
      module.patchTables.ftrace.filter((site) => inText(module, site)),
    );
    const scratch = new Scratch(kernel, 0);
    const counter = scratch.take(8);
    const out = scratch.take(8);
    // C with cedilla, sharp s, and a letter that is the same everywhere. @source code page 437 to Unicode,
    // www.unicode.org/Public/MAPPINGS
    const letters = [
      [0x80, 0xc7],
      [0xe1, 0xdf],
      [0x41, 0x41],
    ] as const;
    const raw = letters.map(([byte]) => scratch.put(Uint8Array.of(byte)));
    const stack = scratch.take(4096) + 4000n;
    const tables = interruptTables(scratch);
    // push rax; movabs rax, counter; inc qword [rax]; pop rax; ret
    const trampoline = ftrace.trampoline(() =>
      Uint8Array.of(
        0x50,
        0x48,
        0xb8,
        ...Array.from({ length: 8 }, (_, i) => Number((counter >> BigInt(8 * i)) & 255n)),
        0x48,
        0xff,
        0x00,
        0x58,
        0xc3,
      ),
    );
    const cpus = kernel.machine.cpuIds.map((cpu) => new ProbedCaller(kernel, scratch, cpu, tables, () => undefined));
    const counted = (): bigint[] =>
      cpus.map((each) => {
        const before = scratch.quad(counter);
        letters.forEach(([, letter], nth) => {
          expect(each.call(entry, [raw[nth]!, 1, out], stack) & 0xffff_ffffn).toBe(1n);
          expect(scratch.quad(out)).toBe(BigInt(letter));
        });
        return scratch.quad(counter) - before;
      });
    expect(counted()).toEqual(cpus.map(() => 0n));
    ftrace.enable([entry], trampoline);
    expect(counted()).toEqual(cpus.map(() => 3n));
    expect(findings(kernel)).toEqual([]);
    ftrace.disable([entry]);
    expect(counted()).toEqual(cpus.map(() => 0n));
    ftrace.dropTrampoline(trampoline);
  });

  test("indirect branches that end in the lower half of a line go through thunks of the module's own, copied with its text", async () => {
    const kernel = bootWithModules({
      spec: tinyMachine({ nodes: NODES, coresPerNode: 1 }),
      policy: "per-node",
      kernel: file,
      host: moduleHost(file, ITS_FEATURES, true),
    });
    expect(loadModules(kernel, await filesInOrder(directory, ["xfs"]), 1, () => 0).refused).toEqual([]);
    const module = kernel.loader.find("xfs")!;
    const { area } = module.memories.get("text")!;
    const bytes = new Uint8Array(area.pages * 4096);
    kernel.vmalloc.read(2, area, 0, bytes);
    const view = new DataView(bytes.buffer);
    const thunks = new Set<bigint>();
    let plain = 0;
    for (const site of module.patchTables.retpolines.filter((each) => inText(module, each))) {
      const at = Number(site - area.start);
      const prefix = bytes[at] === 0x2e ? 1 : 0;
      const opcode = bytes[at + prefix]!;
      if (opcode === 0xe8 || opcode === 0xe9) {
        const target = site + BigInt(prefix) + 5n + BigInt(view.getInt32(at + prefix + 1, true));
        const page = module.thunkPages.find(({ start }) => target >= start && target < start + 4096n);
        expect(page).toBeDefined();
        // A thunk each, `jmp *register`, wholly in an upper half.
        expect(thunks.has(target)).toBe(false);
        thunks.add(target);
        expect(target & 0x20n).toBe(0x20n);
        const code = new Uint8Array(4);
        kernel.vmalloc.read(0, page!, Number(target - page!.start), code);
        const rex = code[0] === 0x41 ? 1 : 0;
        expect([code[rex], code[rex + 1]! & 0xf8, code[rex + 2]]).toEqual([0xff, 0xe0, 0xcc]);
        expect((target + BigInt(rex) + 1n) & 0x20n).toBe(0x20n);
      } else {
        // call *reg or jmp *reg in place: it ends in an upper half.
        const rex = opcode === 0x41 ? 1 : 0;
        expect(bytes[at + rex]).toBe(0xff);
        expect((site + BigInt(rex) + 1n) & 0x20n).toBe(0x20n);
        plain++;
      }
    }
    console.log(`xfs: ${thunks.size} thunks on ${module.thunkPages.length} pages, ${plain} branches in place`);
    expect([thunks.size > 100, plain > 100]).toEqual([true, true]);
    for (const page of module.thunkPages) expect([page.state, page.copies.size]).toEqual(["replicated", NODES - 1]);
    expect(findings(kernel)).toEqual([]);
    for (const each of [...kernel.loader.loaded].reverse()) kernel.loader.unload(each.name);
    expect([kernel.vmalloc.counters.used, kernel.vmalloc.counters.areas]).toEqual([0, 0]);
  });

  test("without memory for a thunk's page the kernel's shared thunk does", async () => {
    const kernel = bootWithModules({
      spec: tinyMachine({ nodes: NODES, coresPerNode: 1 }),
      policy: "per-node",
      kernel: file,
      host: moduleHost(file, ITS_FEATURES, true),
    });
    const allocate = kernel.vmalloc.allocate.bind(kernel.vmalloc);
    const [libcrc] = await filesInOrder(directory, ["nls_cp437"]);
    // Every area of the module comes before the first thunk.
    let areas = 0;
    const needed = Object.values(layoutModule(libcrc!).bytes).filter((bytes) => bytes > 0).length;
    kernel.vmalloc.allocate = (request) => {
      if (areas++ >= needed) throw new VmallocError("out-of-frames", 0n, "refused by the test");
      return allocate(request);
    };
    expect(loadModules(kernel, [libcrc!], 0, () => 0).refused).toEqual([]);
    expect(kernel.loader.find("nls_cp437")!.thunkPages).toEqual([]);
    expect(findings(kernel)).toEqual([]);
  });

  test("a static key of its own, and a static call, switched after it was loaded: the sites change in every copy and change back", async () => {
    const { kernel, poke } = await start("kvm");
    const module = kernel.loader.find("kvm")!;
    const { jumpLabels, staticCalls } = module.patchTables;
    const areaOf = (key: bigint) =>
      [...module.memories.values()].find(
        ({ area }) => key >= area.start && key < area.start + BigInt(area.pages) * 4096n,
      )?.area;
    const enabled = (key: bigint): number => {
      const area = areaOf(key);
      const word = Buffer.alloc(4);
      if (area) kernel.vmalloc.read(0, area, Number(key - area.start), word);
      return word.readInt32LE();
    };
    const labels = new JumpLabels(
      poke,
      jumpLabels.filter(({ address }) => inText(module, address)),
      enabled,
    );
    const own = labels.keys.filter((key) => areaOf(key));
    expect(own.length).toBeGreaterThan(0);
    for (const key of own) {
      const sites = labels.sitesOf(key);
      const state = (): string[][] => sites.map(({ address }) => seen(kernel, module, address, 2));
      const before = state();
      const isOn = labels.enabled(key);
      if (isOn) labels.decrement(key);
      else labels.increment(key);
      const on = state();
      for (const [nth, copies] of on.entries()) {
        expect(new Set(copies).size).toBe(1);
        expect(copies[0]).not.toBe(before[nth]![0]);
      }
      if (isOn) labels.increment(key);
      else labels.decrement(key);
      expect(state()).toEqual(before);
    }
    const state = moduleHost(file).patching!;
    const sites = staticCalls.filter(({ address }) => inText(module, address));
    const calls = new StaticCalls(poke, sites, [], state);
    const key = calls.keys[0]!;
    const mine = sites.filter((site) => site.key === key && !site.tail);
    expect(mine.length).toBeGreaterThan(0);
    const target = module.memories.get("text")!.area.start + 64n;
    calls.update(key, target);
    for (const { address } of mine) {
      const distance = Buffer.alloc(4);
      distance.writeInt32LE(Number(BigInt.asIntN(32, target - address - 5n)));
      expect(seen(kernel, module, address, 5)).toEqual(Array(NODES).fill(`e8${distance.toString("hex")}`));
    }
    expect(findings(kernel)).toEqual([]);
    console.log(
      `kvm: ${own.length} keys of its own with ${own.reduce((sum, each) => sum + labels.sitesOf(each).length, 0)} sites, ${calls.keys.length} static calls with ${sites.length} sites`,
    );
  });
});
