/// <reference types="node" />
/**
 * Every module of a real kernel package in a modelled kernel with real tables: loaded, checked, executed, patched,
 * unloaded.
 */
import { bootWithModules, type ModuleKernel, type ModuleKernelOptions } from "@kreplica/kernel";
import { type KernelFile, type ModuleDirectory, moduleHost } from "@kreplica/kernel-files";
import { loadModules, totalOf } from "@kreplica/replay";
import { beforeAll, describe, expect, test } from "vitest";
import { bytesAt, type Frame } from "@kreplica/hw-x86";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { SectionType } from "@kreplica/elf";
import {
  checkModules,
  layoutModule,
  type ModuleError,
  moduleExports,
  ModuleImage,
  readPatchTables,
  relocateModule,
  resolveSymbols,
  signedOf,
  TablePatcher,
  type LoadedModule,
  type MemoryType,
  type ModuleFile,
} from "@kreplica/modules";
import { SetMemory } from "@kreplica/set-memory";
import { TextPoke, textPatch } from "@kreplica/text-patch";
import { AREA_DEFECTS } from "@kreplica/series-as-posted";
import { checkAreas } from "@kreplica/vmalloc";

import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { moduleDirectory } from "../../src/inputs/kernel-modules/directory.js";
import { filesInOrder } from "../real/files-in-order.js";
import { KernelCaller, Scratch } from "../real/kernel-calls.js";

interface Package {
  readonly vmlinuz: string;
  readonly modules: string;
}
const packageOfTheDay = ((): Package | undefined => {
  try {
    return fetchKernel() as Package;
  } catch (error) {
    console.error(`SKIPPED, no kernel package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();

describe.skipIf(!packageOfTheDay)("real modules", () => {
  let kernelFile: KernelFile;
  let directory: ModuleDirectory;
  let files: ModuleFile[];
  beforeAll(async () => {
    kernelFile = await readKernelFile(packageOfTheDay!.vmlinuz);
    directory = moduleDirectory(packageOfTheDay!.modules);
    files = await filesInOrder(directory, directory.names);
  });

  const bootOn = (nodes: number, more: Partial<ModuleKernelOptions> = {}): ModuleKernel =>
    bootWithModules({
      spec: tinyMachine({ nodes, coresPerNode: 1 }),
      policy: "per-node",
      kernel: kernelFile,
      host: moduleHost(kernelFile),
      ...more,
    });
  const named = (names: string[]): Promise<ModuleFile[]> => filesInOrder(directory, names);
  const findings = (kernel: ModuleKernel): string[] =>
    [...checkModules(kernel), ...checkAreas({ ...kernel, memory: kernel.machine.memory })].map(
      ({ id, detail }) => `${id}: ${detail}`,
    );
  const frames = (kernel: ModuleKernel, purpose: "module" | "page-table"): number[] =>
    kernel.machine.nodes.map((node) => kernel.allocator.usedFrames(node, purpose));
  const unloadAll = (kernel: ModuleKernel): string[] => {
    const permanent: string[] = [];
    for (const module of [...kernel.loader.loaded].reverse()) {
      try {
        kernel.loader.unload(module.name);
      } catch (error) {
        expect(["permanent", "in-use"]).toContain((error as ModuleError).code);
        permanent.push(module.name);
      }
    }
    return permanent;
  };

  test("all of them load, hold every invariant, and go; frames and tables are back where they were", () => {
    const kernel = bootOn(2);
    // Relocations the files ask for, counted without the code under test.
    let wanted = 0;
    for (const file of files) {
      for (const section of file.sections) {
        const target = file.sections[section.info];
        if (
          section.type === SectionType.Rela &&
          target?.allocated &&
          ![".modinfo", "__versions", ".data..percpu"].includes(target.name)
        )
          wanted += section.size / 24;
      }
    }
    const before = { modules: frames(kernel, "module"), tables: frames(kernel, "page-table") };
    const costs = loadModules(kernel, files, 0, () => performance.now());
    expect(costs.refused).toEqual([]);
    const total = totalOf(costs.modules);
    console.log(
      `${costs.modules.length} modules, ${total.relocations} relocations, ${total.patched} of ${total.sites} sites written, ${(costs.milliseconds / 1000).toFixed(1)} s`,
    );
    expect(costs.modules.length).toBe(directory.names.length);
    expect(total.relocations).toBe(wanted);
    expect(costs.milliseconds).toBeLessThan(60_000);
    for (const module of kernel.loader.loaded) {
      for (const { type, area, replication } of module.memories.values()) {
        expect(`${module.name} ${type} ${area.state}`).toBe(
          `${module.name} ${type} ${type === "text" || type === "rodata" ? "replicated" : "shared"}`,
        );
        expect(replication).toBe(type === "text" || type === "rodata" ? "replicated" : undefined);
      }
    }
    expect(findings(kernel)).toEqual([]);

    const permanent = unloadAll(kernel);
    // What cannot go has an init function and no exit function, or is used by one that cannot go.
    for (const name of permanent) {
      const module = kernel.loader.find(name)!;
      expect(module.users.size > 0 || module.symbol("cleanup_module") === undefined).toBe(true);
    }
    const left = kernel.loader.loaded
      .flatMap((module) => [...module.memories.values()])
      .flatMap(({ area }) => [area.frames, ...area.copies.values()])
      .flat();
    const leftOn = kernel.machine.nodes.map(
      (node) => left.filter((frame) => kernel.machine.memory.nodeOf(frame) === node).length,
    );
    expect(frames(kernel, "module")).toEqual(before.modules.map((count, i) => count + leftOn[i]!));
    expect(kernel.vmalloc.counters.used).toBe(left.length);
    expect(findings(kernel)).toEqual([]);

    // A second time: no more table pages than the first time left. E9.
    const tables = frames(kernel, "page-table");
    const again = files.filter((file) => !kernel.loader.find(file.name)).slice(0, 300);
    expect(loadModules(kernel, again, 1, () => 0).refused).toEqual([]);
    unloadAll(kernel);
    expect(
      frames(kernel, "page-table")
        .map((count, i) => count - tables[i]!)
        .every((more) => more <= 16),
    ).toBe(true);
    console.log(
      `table pages: ${before.tables.join(" + ")} before, ${tables.join(" + ")} after all, ${frames(kernel, "page-table").join(" + ")} after 300 again`,
    );
  });

  test("what loading left in tables can be had back to the page: empty tables given up, split leaves joined", async () => {
    const kernel = bootOn(2);
    const setMemory = kernel.assembly.get(SetMemory);
    const { layout, tables } = kernel;
    const tidy = (): number[] => {
      for (let start = layout.modulesStart; start < layout.modulesEnd; start += 0x20_0000n)
        tables.makeRoomForLarge({ start, pages: 512 });
      for (const { first, frames: count } of kernel.machine.memory.ranges)
        setMemory.join({ start: layout.pageOffset + BigInt(first) * 4096n, pages: count });
      return frames(kernel, "page-table");
    };
    const before = tidy();
    expect(loadModules(kernel, await named(["xfs", "nf_tables", "overlay", "kvm_intel"]), 1, () => 0).refused).toEqual(
      [],
    );
    const loaded = frames(kernel, "page-table");
    expect(unloadAll(kernel)).toEqual([]);
    const after = frames(kernel, "page-table");
    expect(after).toEqual(loaded);
    expect(tidy()).toEqual(before);
    expect(findings(kernel)).toEqual([]);
    console.log(
      `table pages: ${before.join(" + ")} before, ${after.join(" + ")} with all unloaded, ${before.join(" + ")} when tidied`,
    );
    // And it still works.
    expect(loadModules(kernel, await named(["xfs"]), 0, () => 0).refused).toEqual([]);
    expect(findings(kernel)).toEqual([]);
  });

  test("every byte that patching changes lies in a listed site", () => {
    const host = moduleHost(kernelFile);
    const patcher = new TablePatcher(host);
    let modules = 0;
    let changed = 0;
    let base = signedOf(0xffff_ffff_c000_0000n);
    // In the order of their needs, one behind the other: each finds the symbols of those before it.
    for (const file of files) {
      const layout = layoutModule(file);
      const image = new ModuleImage<MemoryType>(
        file,
        layout.places.map((place) => place && { part: place.type, offset: place.offset }),
        layout.bytes,
        (type) => {
          const here = base;
          base += Math.ceil(layout.bytes[type] / 4096) * 4096 + 4096;
          return here;
        },
      );
      relocateModule(image, resolveSymbols(image, host.symbols, 0x3_4000).values);
      host.symbols.add(moduleExports(image));
      modules++;
      const tables = readPatchTables(image);
      const before = image.parts.map(({ bytes }) => bytes.slice());
      patcher.finalize(image, tables);
      const listed = image.parts.map(({ bytes }) => new Uint8Array(bytes.length));
      const mark = (address: bigint, length: number): void =>
        image.parts.forEach((part, p) => {
          const at = signedOf(address) - part.base;
          if (at >= 0 && at < part.bytes.length) listed[p]!.fill(1, at, at + length);
        });
      for (const site of [...tables.alternatives, ...tables.paravirt]) mark(site.address, site.length);
      for (const site of [...tables.returns, ...tables.ftrace, ...tables.jumpLabels.map(({ address }) => address)])
        mark(site, 5);
      for (const site of [...tables.retpolines, ...tables.staticCalls.map(({ address }) => address)]) mark(site, 6);
      for (const site of tables.smpLocks) mark(site, 1);
      image.parts.forEach(({ part, bytes }, p) => {
        for (let at = 0; at < bytes.length; at++) {
          if (bytes[at] === before[p]![at]) continue;
          changed++;
          if (listed[p]![at] === 0)
            throw new Error(`${file.name} ${part} + 0x${at.toString(16)} changed and no table lists it`);
        }
      });
    }
    console.log(`${changed} bytes of ${modules} modules changed by patching`);
    expect(modules).toBe(directory.names.length);
    expect(changed).toBeGreaterThan(10_000);
  });

  test("functions of modules run on CPUs of every node from that node's frames, code and table alike", async () => {
    const kernel = bootOn(4);
    const loaded = loadModules(kernel, await named(["crc_itu_t", "crc7"]), 0, () => 0);
    expect(loaded.refused).toEqual([]);
    const scratch = new Scratch(kernel, 0);
    const message = Uint8Array.from({ length: 300 }, (_, i) => (i * 37 + 11) & 255);
    const at = scratch.put(message);
    for (const cpu of kernel.machine.cpuIds) {
      const caller = new KernelCaller(kernel, scratch, cpu);
      for (const [name, symbol, reference] of [
        ["crc_itu_t", "crc_itu_t", crc16],
        ["crc7", "crc7_be", crc7],
      ] as const) {
        const module = kernel.loader.find(name)!;
        caller.fetched.clear();
        const result = caller.call(module.symbol(symbol)!, [0, at, message.length]);
        expect(`${name} on node ${caller.node}: ${result & 0xffffn}`).toBe(
          `${name} on node ${caller.node}: ${reference(message)}`,
        );
        const text = module.memories.get("text")!.area;
        const own = (area: typeof text): readonly Frame[] =>
          area.node === caller.node ? area.frames : area.copies.get(caller.node)!;
        expect(own(text).some((frame) => caller.fetched.has(frame))).toBe(true);
        for (const frame of caller.fetched)
          if (kernel.machine.memory.nodeOf(frame) !== caller.node)
            throw new Error(
              `node ${caller.node} fetched frame ${frame} of node ${kernel.machine.memory.nodeOf(frame)}`,
            );
        // The table is read from the copy as well: spoil the others', and the result stays.
        const rodata = module.memories.get("rodata")!.area;
        for (const frame of own(rodata)) expect(kernel.machine.memory.nodeOf(frame)).toBe(caller.node);
      }
    }
    // A CPU reads its own node's table: with node 2's spoilt, only CPUs of node 2 get another sum.
    const module = kernel.loader.find("crc_itu_t")!;
    const table = module.symbol("crc_itu_t_table")!;
    const rodata = module.memories.get("rodata")!.area;
    const frame = rodata.copies.get(2)![Number((table - rodata.start) / 4096n)]!;
    for (let entry = 0n; entry < 512n; entry += 2n)
      kernel.machine.memory.writeBytes(BigInt(frame) * 4096n + (table & 0xfffn) + entry, Uint8Array.of(0xaa, 0x55));
    const right = kernel.machine.cpuIds.map(
      (cpu) =>
        Number(
          new KernelCaller(kernel, scratch, cpu).call(module.symbol("crc_itu_t")!, [0, at, message.length]) & 0xffffn,
        ) === crc16(message),
    );
    expect(right).toEqual(kernel.machine.cpuIds.map((cpu) => kernel.machine.nodeOfCpu(cpu) !== 2));
  });

  test("a breakpoint in a module's function reaches every copy, and so does its removal", async () => {
    const kernel = bootOn(3, { plugins: [textPatch] });
    loadModules(kernel, await named(["dummy"]), 1, () => 0);
    const poke = kernel.assembly.get(TextPoke);
    const module = kernel.loader.find("dummy")!;
    const { area } = module.memories.get("text")!;
    const address = module.symbol("dummy_setup")!;
    const old = poke.read(bytesAt(address, 5));
    const seen = (): number[] =>
      kernel.view.holders.map((holder) => {
        const byte = new Uint8Array(1);
        kernel.vmalloc.read(holder, area, Number(address - area.start), byte);
        return byte[0]!;
      });
    expect(old.slice(0, 2)).toEqual(Uint8Array.of(0x0f, 0x1f)); // the ftrace call, patched out while it was loaded
    poke.poke(address, Uint8Array.of(0xcc));
    expect(seen()).toEqual([0xcc, 0xcc, 0xcc]);
    expect(findings(kernel)).toEqual([]);
    poke.poke(address, old.slice(0, 1));
    expect(seen()).toEqual([old[0], old[0], old[0]]);
    // ftrace turned on: a call instead of the no-op, by the INT3 protocol.
    poke.batch([{ address, bytes: Uint8Array.of(0xe8, 1, 2, 3, 4) }]);
    poke.verify(address, Uint8Array.of(0xe8, 1, 2, 3, 4));
    expect(seen()).toEqual([0xe8, 0xe8, 0xe8]);
    kernel.loader.unload("dummy");
    expect(kernel.vmalloc.counters.used).toBe(0);
  });

  test("memory that gives out at every n: the module is whole, or gone, or shared, and nothing leaks", async () => {
    const [file] = await named(["crc_itu_t"]);
    const kernel = bootOn(2);
    // Once without refusals, so that tables and split aliases are there.
    loadModules(kernel, [file!], 0, () => 0);
    unloadAll(kernel);
    const before = frames(kernel, "module");
    const seen = { refused: 0, shared: 0, whole: 0 };
    // Each n twice: from there on everything, and that one alone, after which the load goes on.
    for (let round = 2; round < 120; round++) {
      kernel.allocator.refuse(round >> 1, (round & 1) === 0);
      let module: LoadedModule | undefined;
      try {
        module = kernel.loader.load(file!, 0);
      } catch (error) {
        expect((error as ModuleError).errno).toBe("ENOMEM");
        seen.refused++;
      }
      kernel.allocator.refuse(0);
      expect(findings(kernel)).toEqual([]);
      if (module) {
        seen[
          [...module.memories.values()].some(({ replication }) => replication === "no-memory") ? "shared" : "whole"
        ]++;
        kernel.loader.finishInit(module);
        expect(findings(kernel)).toEqual([]);
        kernel.loader.unload(module.name);
      }
      expect([frames(kernel, "module"), kernel.vmalloc.counters.used, kernel.vmalloc.counters.areas]).toEqual([
        before,
        0,
        0,
      ]);
    }
    expect(Object.values(seen).every((times) => times > 0)).toBe(true);
  });

  test("the series' way under the same refusals is caught, and its counter grows", async () => {
    const [file] = await named(["crc_itu_t"]);
    const kernel = bootOn(3, { defects: AREA_DEFECTS });
    const caught = new Set<string>();
    for (let n = 1; n < 60; n++) {
      let module: LoadedModule | undefined;
      try {
        kernel.allocator.refuse(n); // this one only: what comes after must go on with the damage
        module = kernel.loader.load(file!, 0);
      } catch {
        /* refused: nothing to look at */
      } finally {
        kernel.allocator.refuse(0);
      }
      for (const finding of findings(kernel)) caught.add(finding.slice(0, 2));
      if (caught.has("E2")) break; // frames are freed and mapped: from here on the kernel is broken
      if (module) kernel.loader.unload(module.name);
    }
    expect([...caught].sort()).toEqual(expect.arrayContaining(["E2"]));
    const fresh = bootOn(2, { defects: AREA_DEFECTS });
    for (let round = 0; round < 3; round++) {
      fresh.loader.load(file!, 0);
      fresh.loader.unload(file!.name);
    }
    expect(fresh.vmalloc.counters.used).toBeGreaterThan(0);
    expect(findings(fresh).some((finding) => finding.startsWith("E6"))).toBe(true);
  });

  test("each further node costs the same: stores, bytes and requests in step, flushes none", async () => {
    const some = await named(["xfs", "nf_tables", "overlay", "tun"]);
    const costs = [1, 2, 4, 8].map((nodes) => {
      const total = totalOf(loadModules(bootOn(nodes), some, 0, () => 0).modules);
      return {
        nodes,
        ...total.replication,
        bytes: total.bytesByNode.map(({ bytes }) => bytes),
        cycles: total.modelled.copies,
      };
    });
    for (const { nodes, stores, flushes, requests, cycles } of costs)
      console.log(
        `${nodes} nodes: ${stores} stores, ${requests} requests, ${flushes} flushes, ${Math.round(cycles.total.value)} cycles, ${Math.round(cycles.copying)} of them filling`,
      );
    expect(costs[0]).toMatchObject({ stores: 0, flushes: 0, requests: 0 });
    const [, two, ...more] = costs;
    for (const { nodes, stores, flushes, requests, bytes, cycles } of more) {
      // Base copy on the master: the boot table needs no store.
      expect(stores).toBe(two!.stores * (nodes - 1));
      expect(requests).toBe(two!.requests * (nodes - 1));
      expect(flushes).toBe(two!.flushes);
      expect(new Set(bytes.slice(1))).toEqual(new Set([two!.bytes[1]]));
      expect(bytes[0]).toBe(two!.bytes[0]);
      expect(cycles.copying / (nodes - 1) / two!.cycles.copying).toBeGreaterThan(0.8);
      expect(cycles.copying / (nodes - 1) / two!.cycles.copying).toBeLessThan(1.2);
    }
  });
});

/** CRC-16 with polynomial 0x1021, most significant bit first. @source ITU-T V.41 */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** CRC-7 with polynomial 0x09, kept in the upper seven bits of a byte. */
function crc7(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x80) !== 0 ? ((crc << 1) ^ 0x12) & 0xff : (crc << 1) & 0xff;
  }
  return crc;
}
