/// <reference types="node" />
/**
 * Modules as a running kernel has them, byte for byte: a guest loads real modules under QEMU, its memory is saved, and
 * every byte of their text and rodata is compared with what our layout, linking, sorting and patching predict at the
 * same addresses.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { moduleHost, stateOf } from "@kreplica/kernel-files";
import { describe, expect, test } from "vitest";
import {
  layoutCoreInit,
  moduleExports,
  ModuleImage,
  readPatchTables,
  relocateModule,
  resolveSymbols,
  signedOf,
  sortTables,
  TablePatcher,
  addressOf,
  type ModuleFile,
  type ModuleHost,
} from "@kreplica/modules";
import type { SiteClass } from "@kreplica/text-patch/api";
import { bootGuest } from "../../../../scripts/boot-guest.mjs";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { moduleDirectory } from "../../src/inputs/kernel-modules/directory.js";
import { filesInOrder } from "../real/files-in-order.js";

const missing = ["qemu-system-x86_64", "gcc"].filter((tool) => {
  try {
    execFileSync("sh", ["-c", `command -v ${tool}`]);
    return false;
  } catch {
    return true;
  }
});
const found = ((): { vmlinuz: string; modules: string } | undefined => {
  if (missing.length > 0) {
    console.error(`SKIPPED: ${missing.join(" and ")} missing: no guest to compare modules with`);
    return undefined;
  }
  try {
    return fetchKernel() as { vmlinuz: string; modules: string };
  } catch (error) {
    console.error(`SKIPPED, no kernel package: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
})();

const GUEST_BYTES = 0x4000_0000;
const KERNEL_MAP = 0xffff_ffff_8000_0000n;
const WANTED = ["xfs", "loop", "nf_tables", "overlay", "dummy", "tun", "kvm", "sctp", "tipc", "ceph"];

/** The guest's memory in a file, read through its own page tables. */
class GuestMemory {
  constructor(
    private readonly file: number,
    private readonly root: bigint,
  ) {}

  physical(address: bigint, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.file, bytes, 0, length, Number(address));
    return bytes;
  }
  /** 4096 bytes of the page, undefined for a hole. */
  page(address: bigint): Buffer | undefined {
    let table = this.root;
    for (let level = 4; level >= 1; level--) {
      const entry = this.physical(table + ((address >> BigInt(12 + 9 * (level - 1))) & 511n) * 8n, 8).readBigUInt64LE();
      if ((entry & 1n) === 0n) return undefined;
      const frame = entry & 0x000f_ffff_ffff_f000n;
      if (level === 1) return this.physical(frame, 4096);
      if (level < 4 && (entry & 0x80n) !== 0n)
        return this.physical(
          (frame & ~((1n << BigInt(12 + 9 * (level - 1))) - 1n)) +
            (address & ((1n << BigInt(12 + 9 * (level - 1))) - 1n) & ~0xfffn),
          4096,
        );
      table = frame;
    }
    return undefined;
  }
  bytes(address: bigint, length: number): Buffer | undefined {
    const parts: Buffer[] = [];
    for (let at = address & ~0xfffn; at < address + BigInt(length); at += 4096n) {
      const page = this.page(at);
      if (!page) return undefined;
      parts.push(page);
    }
    return Buffer.concat(parts).subarray(Number(address & 0xfffn), Number(address & 0xfffn) + length);
  }
  quad(address: bigint): bigint {
    return this.bytes(address, 8)!.readBigUInt64LE();
  }
}

describe.skipIf(!found)("a guest's modules", () => {
  test.each([
    ["max,la57=off", ""],
    ["max,la57=off", "mitigations=off"],
  ])("-cpu %s %s: text and rodata are predicted", async (cpu, append) => {
    const directory = moduleDirectory(found!.modules);
    const files = await filesInOrder(directory, WANTED);
    const cache = join(fileURLToPath(import.meta.url), "../../../../../.cache/guest");
    mkdirSync(cache, { recursive: true });
    const out = join(cache, `modules-${process.pid}.bin`);
    await bootGuest({
      vmlinuz: found!.vmlinuz,
      out,
      start: 0n,
      bytes: GUEST_BYTES,
      cpu,
      append,
      modules: files.map((file) => readFileSync(directory.path(file.name)!)),
    });
    const opened = openSync(out, "r");
    try {
      const kernel = await readKernelFile(found!.vmlinuz);
      const guest = new GuestMemory(opened, kernel.symbol("init_top_pgt")! - KERNEL_MAP);
      // The whole image as it runs: features, keys and calls are read from it.
      const running = new Uint8Array(guest.physical(kernel.base - KERNEL_MAP, kernel.memory.length));
      const known = moduleHost(kernel);
      const state = stateOf(kernel, running, kernel.base);
      const insideKernel = (address: bigint): boolean =>
        address >= kernel.base && address + 8n <= kernel.base + BigInt(running.length);
      const host: ModuleHost = {
        ...known,
        patching: {
          ...state,
          has: (feature) => state.has(feature),
          returnThunk: (site) => state.returnThunk(site),
          paravirt: (type) => state.paravirt(type),
          cpus: 4,
          keyEnabled: (key) =>
            insideKernel(key) ? state.keyEnabled(key) : (guest.bytes(key, 4)?.readInt32LE() ?? 0) > 0,
          staticCallTarget: (key) =>
            insideKernel(key) ? state.staticCallTarget(key) : (guest.bytes(key, 8)?.readBigUInt64LE() ?? 0n),
        },
      };
      const bases = loadedModules(guest, kernel.symbol("modules")!, files);
      expect([...bases.keys()].sort()).toEqual(files.map(({ name }) => name).sort());

      let compared = 0;
      let patched = 0;
      const unpredicted: string[] = [];
      const counts: Partial<Record<SiteClass, number>> = {};
      for (const file of files) {
        const layout = layoutCoreInit(file);
        const core = bases.get(file.name)!;
        const init = initBase(guest, file, core);
        const image = new ModuleImage(file, layout.places, layout.bytes, (part) =>
          signedOf(part === "core" ? core : init),
        );
        const { values } = resolveSymbols(image, host.symbols, 0x3_4000);
        relocateModule(image, values);
        sortTables(image);
        const plain = image.parts.map(({ bytes }) => bytes.slice());
        const tables = readPatchTables(image);
        for (const [name, times] of Object.entries(new TablePatcher(host).finalize(image, tables)))
          counts[name as SiteClass] = (counts[name as SiteClass] ?? 0) + times;
        host.symbols.add(moduleExports(image));
        for (const section of file.sections) {
          const place = layout.places[section.index];
          if (!place || place.part !== "core" || section.size === 0 || section.writable) continue;
          const address = core + BigInt(place.offset);
          const theirs = guest.bytes(address, section.size)!;
          const ours = image.bytesOf(section)!;
          const before = plain[image.parts.findIndex(({ part }) => part === "core")]!.subarray(
            place.offset,
            place.offset + section.size,
          );
          for (let i = 0; i < section.size; i++) {
            compared++;
            if (theirs[i] !== before[i]) patched++;
            if (theirs[i] !== ours[i])
              unpredicted.push(
                `${file.name} ${section.name} + 0x${i.toString(16)}: guest ${theirs[i]!.toString(16)}, predicted ${ours[i]!.toString(16)}, unpatched ${before[i]!.toString(16)}`,
              );
          }
        }
      }
      console.log(
        `${files.length} modules, ${compared} bytes compared, ${patched} patched in the guest, ${unpredicted.length} not predicted; sites written ${JSON.stringify(counts)}`,
      );
      const bySection = new Map<string, number>();
      for (const line of unpredicted)
        bySection.set(line.split(" + ")[0]!, (bySection.get(line.split(" + ")[0]!) ?? 0) + 1);
      if (unpredicted.length > 0)
        console.log(
          [...bySection].map(([where, times]) => `${where} ${times}`).join("\n") +
            "\n" +
            unpredicted.slice(0, 20).join("\n"),
        );
      expect(compared).toBeGreaterThan(1_000_000);
      expect(patched).toBeGreaterThan(10_000);
      expect(unpredicted.slice(0, 20)).toEqual([]);
    } finally {
      closeSync(opened);
      rmSync(out, { force: true });
    }
  });
});

/**
 * Where init memory was before it was freed: one entry of .return_sites that names init text says it, and everything
 * else that depends on it (ORC order, ftrace sites, all other entries) is then predicted.
 */
function initBase(guest: GuestMemory, file: ModuleFile, core: bigint): bigint {
  const layout = layoutCoreInit(file);
  const [sites, text] = [".return_sites", ".init.text"].map((name) =>
    file.sections.find((section) => section.name === name),
  );
  for (const relocations of sites && text ? file.elf.relocationsOf(sites) : []) {
    for (let i = 0; i < relocations.count; i++) {
      const symbol = file.symbols[relocations.symbol[i]!]!;
      if (symbol.section !== text!.index) continue;
      const place = core + BigInt(layout.places[sites!.index]!.offset) + BigInt(relocations.offset[i]!);
      const value = BigInt.asUintN(64, place + BigInt(guest.bytes(place, 4)!.readInt32LE()));
      return value - BigInt(relocations.addend[i]!) - symbol.value - BigInt(layout.places[text!.index]!.offset);
    }
  }
  return core + BigInt(layout.bytes.core) + 0x1000n;
}

/**
 * Walks the kernel's list of modules: struct module has its list at 8 and its name at 24, and lies where
 * .gnu.linkonce.this_module is.
 */
function loadedModules(guest: GuestMemory, head: bigint, files: readonly ModuleFile[]): Map<string, bigint> {
  const bases = new Map<string, bigint>();
  for (let entry = guest.quad(head); entry !== head && bases.size < 100; entry = guest.quad(entry)) {
    const module = entry - 8n;
    const name = guest
      .bytes(module + 24n, 56)!
      .toString("latin1")
      .split("\0")[0]!;
    const file = files.find((each) => each.name === name);
    if (!file) continue;
    const section = file.sections.find((each) => each.name === ".gnu.linkonce.this_module")!;
    bases.set(name, addressOf(signedOf(module)) - BigInt(layoutCoreInit(file).places[section.index]!.offset));
  }
  return bases;
}
