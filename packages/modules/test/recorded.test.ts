/// <reference types="node" />
/**
 * Eight modules as a real 6.1.0-56 kernel had them loaded (test/data: section addresses, /proc/modules, kallsyms): our
 * layout, address allocation, symbol values and relocations must give the same. Needs the very package that was
 * recorded.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { NO_TABLES } from "@kreplica/text-patch/api";
import { Vmalloc, vmalloc, type VmArea } from "@kreplica/vmalloc";
import { fakeKernel, fakeLayout } from "@kreplica/vmalloc/testing";
import {
  addressOf,
  layoutCoreInit,
  ModuleImage,
  readPatchTables,
  relocateModule,
  resolveSymbols,
  signedOf,
  SymbolTable,
  type ModuleFile,
} from "../src/index.js";
import { kernelPackage, moduleAt, modulePaths } from "./support/kernel-package.js";

const RECORDED = "6.1.192-2";
const data = (name: string): string => readFileSync(new URL(`data/${name}`, import.meta.url), "utf8");

const found = kernelPackage();
const usable = typeof found !== "string" && found.version === RECORDED;
if (typeof found !== "string" && !usable)
  console.error(
    `SKIPPED: the package of the day is ${found.version}, the recording is of ${RECORDED}; other builds lie elsewhere`,
  );

/** Newest first in the file, oldest first here. */
const loaded = data("proc-modules.txt")
  .trim()
  .split("\n")
  .map((line) => {
    const [name, bytes, , , , base] = line.split(" ");
    return { name: name!, bytes: Number(bytes), base: BigInt(base!) };
  })
  .reverse();
const sections = new Map<string, Map<string, bigint>>();
for (const line of data("module-sections.txt").trim().split("\n")) {
  const [, module, section, address] = line.split(" ");
  if (!sections.has(module!)) sections.set(module!, new Map());
  sections.get(module!)!.set(section!, BigInt(address!));
}
const page = (address: bigint): bigint => address & ~0xfffn;

describe.skipIf(!usable)("the recorded modules", () => {
  const paths = typeof found === "string" ? new Map<string, string>() : modulePaths(found.modules);
  const fileOf = (name: string): ModuleFile => moduleAt(paths.get(name)!);
  const basesOf = (name: string): { core: bigint; init: bigint } => ({
    core: loaded.find((each) => each.name === name)!.base,
    init: [...sections.get(name)!]
      .filter(([section]) => section.startsWith(".init") || section === ".symtab")
      .map(([, address]) => page(address))
      .sort()[0]!,
  });

  test.each(loaded.map(({ name }) => name))(
    "%s: every section lies where the kernel put it, and the size is the kernel's",
    (name) => {
      const file = fileOf(name);
      const layout = layoutCoreInit(file);
      const bases = basesOf(name);
      const recorded = sections.get(name)!;
      let checked = 0;
      for (const section of file.sections) {
        const place = layout.places[section.index];
        const wanted = recorded.get(section.name);
        if (wanted === undefined) continue;
        expect(`${section.name} ${(bases[place!.part] + BigInt(place!.offset)).toString(16)}`).toBe(
          `${section.name} ${wanted.toString(16)}`,
        );
        checked++;
      }
      expect(checked).toBe(recorded.size);
      // Nothing but empty sections is kept and not recorded.
      for (const section of file.sections)
        if (layout.places[section.index] && section.size > 0) expect(recorded.has(section.name)).toBe(true);
      expect(layout.bytes.core).toBe(loaded.find((each) => each.name === name)!.bytes);
    },
  );

  test("the allocator gives the recorded addresses: lowest gap, guard pages, init memory freed in between", () => {
    const kernel = fakeKernel({ holders: [0, 1], framesPerNode: 0x4000, plugins: [vmalloc] });
    const vm = kernel.assembly.get(Vmalloc);
    const take = (bytes: number): VmArea =>
      vm.allocate({
        bytes,
        low: fakeLayout.modulesStart,
        high: fakeLayout.modulesEnd,
        placement: { node: 0 },
        purpose: "module",
        resetPermissions: true,
      });
    // What lay there before: one pack for BPF programs, 2 MiB for each of the two nodes. @source kernel/bpf/core.c
    // BPF_PROG_PACK_SIZE
    expect(take(2 * 0x20_0000).start).toBe(fakeLayout.modulesStart);
    let freedLater: VmArea | undefined;
    for (const { name, base } of loaded) {
      const layout = layoutCoreInit(fileOf(name));
      const core = take(layout.bytes.core);
      expect(`${name} ${core.start.toString(16)}`).toBe(`${name} ${base.toString(16)}`);
      const init = take(layout.bytes.init);
      expect(`${name} init ${init.start.toString(16)}`).toBe(`${name} init ${basesOf(name).init.toString(16)}`);
      // A worker frees init memory when it gets round to it. For three modules the next came first: that much is read
      // off the recording, three yes-or-no answers for sixteen addresses.
      if (freedLater) vm.free(freedLater);
      freedLater = undefined;
      if (["xfs", "nf_tables", "dummy"].includes(name)) freedLater = init;
      else vm.free(init);
    }
  });

  test("every symbol of the eight has the address kallsyms recorded", () => {
    const kallsyms = new Map<string, Set<string>>();
    for (const line of gunzipSync(readFileSync(new URL("data/kallsyms-modules.txt.gz", import.meta.url)))
      .toString("latin1")
      .trim()
      .split("\n")) {
      const [address, , name, owner] = line.split(/[\s]+/);
      const key = `${owner!.replace(/[[\]]/g, "")} ${name}`;
      if (!kallsyms.has(key)) kallsyms.set(key, new Set());
      kallsyms.get(key)!.add(address!);
    }
    let checked = 0;
    for (const { name } of loaded) {
      const file = fileOf(name);
      const layout = layoutCoreInit(file);
      const image = new ModuleImage(file, layout.places, layout.bytes, (part) => signedOf(basesOf(name)[part]));
      // Any value will do for the kernel's symbols here.
      const all = new SymbolTable(
        file.symbols
          .filter((symbol) => symbol.section === 0 && symbol.name !== "")
          .map((symbol) => ({
            name: symbol.name,
            value: -0x7f00_0000,
            gpl: false,
            namespace: "",
            checksum: undefined,
            owner: undefined,
          })),
      );
      const { values } = resolveSymbols(image, all, 0x3_4000);
      for (const symbol of file.symbols) {
        const recorded = kallsyms.get(`${name} ${symbol.name}`);
        if (!recorded || symbol.section === 0 || symbol.name === "") continue;
        const ours = addressOf(values[symbol.index]!).toString(16).padStart(16, "0");
        if (Number.isNaN(image.sectionAddress[symbol.section]!)) continue;
        expect([...recorded], `${name} ${symbol.name}`).toContain(ours);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(9000);
  });

  test.each(loaded.map(({ name }) => name))(
    "%s: relocated at its address, each relocated word leads where its symbol is, and no other byte changed",
    (name) => {
      const file = fileOf(name);
      const layout = layoutCoreInit(file);
      const image = new ModuleImage(file, layout.places, layout.bytes, (part) => signedOf(basesOf(name)[part]));
      const before = image.parts.map(({ bytes }) => bytes.slice());
      const all = new SymbolTable(
        file.symbols
          .filter((symbol) => symbol.section === 0 && symbol.name !== "")
          .map((symbol, i) => ({
            name: symbol.name,
            value: -0x7f00_0000 + i * 16,
            gpl: false,
            namespace: "",
            checksum: undefined,
            owner: undefined,
          })),
      );
      const { values } = resolveSymbols(image, all, 0x3_4000);
      relocateModule(image, values);
      const touched = image.parts.map(({ bytes }) => new Uint8Array(bytes.length));
      for (const section of file.sections) {
        for (const relocations of Number.isNaN(image.sectionAddress[section.index]!)
          ? []
          : file.elf.relocationsOf(section)) {
          for (let i = 0; i < relocations.count; i++) {
            const place = image.sectionAddress[section.index]! + relocations.offset[i]!;
            const width = relocations.type[i] === 1 || relocations.type[i] === 24 ? 8 : 4;
            const word = image.bytes(place, width)!;
            // Independently of the code under test, in exact 64-bit arithmetic.
            const view = new DataView(word.buffer, word.byteOffset, width);
            const target = BigInt(values[relocations.symbol[i]!]!) + BigInt(relocations.addend[i]!);
            const relative = relocations.type[i] === 2 || relocations.type[i] === 4 || relocations.type[i] === 24;
            const wanted = BigInt.asUintN(width * 8, relative ? target - BigInt(place) : target);
            expect(width === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true))).toBe(wanted);
            image.parts.forEach((part, p) => {
              if (place >= part.base && place < part.base + part.bytes.length)
                touched[p]!.fill(1, place - part.base, place - part.base + width);
            });
          }
        }
      }
      image.parts.forEach(({ bytes }, p) => {
        for (let i = 0; i < bytes.length; i++)
          if (bytes[i] !== before[p]![i] && touched[p]![i] === 0)
            throw new Error(`${name}: byte ${i} of part ${p} changed outside a relocation`);
      });
      expect(readPatchTables(image)).not.toEqual(NO_TABLES);
    },
  );
});
