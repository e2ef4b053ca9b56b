/// <reference types="node" />
/**
 * Defects of the series laid over a real kernel's patching and rodata are seen by the invariants; firmware calls run on
 * every node.
 */
import type { KernelFile } from "@kreplica/kernel-files";
import { beforeAll, describe, expect, test } from "vitest";
import { bytesAt, NONE } from "@kreplica/hw-x86";
import { EfiTables } from "@kreplica/efi";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { KernelCaller, Scratch } from "./kernel-calls.js";
import { bootPatched, type PatchedKernel } from "./patched-kernel.js";

let real: { vmlinuz: string } | undefined;
try {
  real = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel: ${(error as Error).message}`);
}

describe.skipIf(!real)("a real kernel", () => {
  let kernel: KernelFile;
  let sound: PatchedKernel;
  beforeAll(async () => {
    kernel = await readKernelFile(real!.vmlinuz);
    sound = bootPatched(kernel);
  });
  const violated = (booted: PatchedKernel): string[] => booted.checkInvariants().violated.map(({ id }) => id);

  /**
   * Bytes of text that differ between two nodes, by feature (word * 32 + bit) of the alternative they lie in; 0x90 in
   * the copy left behind.
   */
  function leftBehind(features?: (feature: number) => boolean): Map<number, number> {
    const features1 = new Map<bigint, number>();
    const broken = bootPatched(kernel, { n1: true, ...(features ? { features } : {}) });
    for (const { address, length, feature } of broken.tablesOfSites.alternatives)
      for (let i = 0; i < length; i++) features1.set(address + BigInt(i), feature);
    expect(violated(broken)).toContain("A1");
    const [a, b] = [new Uint8Array(4096), new Uint8Array(4096)];
    const found = new Map<number, number>();
    for (let address = broken.image.stext; address < broken.image.etext; address += 4096n) {
      const [first, second] = broken.view.holders.map((node) => broken.view.replicaFrame(address, node)!);
      if (broken.machine.memory.equalFrames(first!, second!)) continue;
      broken.machine.memory.readBytes(BigInt(first!) << 12n, a);
      broken.machine.memory.readBytes(BigInt(second!) << 12n, b);
      for (let i = 0; i < 4096; i++) {
        if (a[i] === b[i]) continue;
        // The copy that was left behind still has one-byte no-ops there, and an alternative lists the place.
        expect(b[i]).toBe(0x90);
        const feature = features1.get(address + BigInt(i))!;
        expect(feature).toBeDefined();
        found.set(feature, (found.get(feature) ?? 0) + 1);
      }
    }
    return found;
  }
  const total = (of: Map<number, number>): number => [...of.values()].reduce((sum, each) => sum + each, 0);

  test("N1: no-ops optimised in the boot CPU's copy alone leave replicas that differ, in no-ops only, and A1 says so", () => {
    expect(violated(sound)).not.toContain("A1");
    const plain = leftBehind();
    // Of what is left, stac and clac take the place of three no-ops each where the CPU has SMAP.
    const smap = leftBehind((feature) => feature === SMAP);
    const others = (of: Map<number, number>): number => total(of) - (of.get(XENPV) ?? 0);
    console.log(
      `N1 laid over: ${total(plain)} bytes of text differ between two nodes; ${plain.get(XENPV)!} in alternatives of Xen PV, ${others(plain)} in others (${[
        ...plain,
      ]
        .filter(([feature]) => feature !== XENPV)
        .sort(([, x], [, y]) => y - x)
        .slice(0, 5)
        .map(([feature, bytes]) => `${Math.floor(feature / 32)}*32+${feature % 32}: ${bytes}`)
        .join(", ")}), ${others(smap)} of them with SMAP`,
    );
    // Calls through pv_ops that became one native instruction and padding: a kernel built without Xen PV has none.
    expect(plain.get(XENPV)!).toBeGreaterThan(0.8 * total(plain));
    expect(others(smap)).toBeGreaterThan(100);
    expect(others(smap)).toBeLessThan(1000);
  });
  /** X86_FEATURE_XENPV, X86_FEATURE_SMAP. @source arch/x86/include/asm/cpufeatures.h */
  const XENPV = 8 * 32 + 16,
    SMAP = 9 * 32 + 20;

  test("D16: a stray write to rodata after it was copied diverges, and A5 says so", () => {
    expect(violated(sound)).not.toContain("A5");
    const booted = bootPatched(kernel);
    const frame = booted.view.replicaFrame(booted.image.startRodata + 0x1000n, 1)!;
    booted.machine.memory.writeBytes(BigInt(frame) << 12n, Uint8Array.of(0x42, 0x42, 0x42, 0x42));
    expect(violated(booted)).toContain("A5");
  });

  test("N2 and D5: a page whose permissions differ between nodes, and B6 says so", () => {
    expect(violated(sound)).not.toContain("B6");
    const booted = bootPatched(kernel);
    const address = kernel.symbol("idt_table")!;
    const root = booted.view.kernelRoot(1);
    const { table, index, lo, hi } = findEntry(booted, root, address);
    booted.entries.write(table, index, (lo | 2) >>> 0, hi);
    expect(violated(booted)).toContain("B6");
  });

  test("toggling jump labels at run time leaves text as a single-copy kernel's, in every copy", () => {
    const single = bootPatched(kernel, { policy: "single-copy" });
    const sites = sound.tablesOfSites.jumpLabels
      .filter(({ address }) => address >= sound.image.stext && address < sound.image.etext && address % 7n === 0n)
      .slice(0, 60);
    for (const booted of [sound, single]) {
      for (const on of [true, false, true]) {
        for (const { address, target } of sites) {
          const old = booted.poke.read(bytesAt(address, 5));
          const long = old[0] === 0xe9 || (old[0] === 0x0f && old[1] === 0x1f);
          const distance = Number(BigInt.asIntN(32, target - address - (long ? 5n : 2n)));
          const jump = long
            ? Uint8Array.of(0xe9, ...new Uint8Array(Int32Array.of(distance).buffer))
            : Uint8Array.of(0xeb, distance & 255);
          const nop = long ? Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0) : Uint8Array.of(0x66, 0x90);
          booted.poke.batch([{ address, bytes: on ? jump : nop }]);
        }
      }
    }
    const [a, b] = [new Uint8Array(4096), new Uint8Array(4096)];
    // The single copy is not filled to 2 MiB; up to its end the two are one text.
    for (let address = single.image.stext; address + 4096n <= single.image.etext; address += 4096n) {
      single.machine.memory.readBytes(BigInt(single.view.replicaFrame(address, 0)!) << 12n, a);
      for (const node of sound.view.holders) {
        sound.machine.memory.readBytes(BigInt(sound.view.replicaFrame(address, node)!) << 12n, b);
        if (Buffer.compare(a, b) !== 0)
          throw new Error(`node ${node} differs from the single copy at ${address.toString(16)}`);
      }
    }
    expect(sites.length).toBe(60);
  });

  test("a firmware service runs on every node and calls back into kernel text: the master's with one root, local with one for each holder", () => {
    for (const perHolder of [false, true]) {
      const { machine, entries, allocator, view, layout, switcher, cpus } = sound;
      const efi = new EfiTables(
        machine,
        entries,
        allocator,
        view,
        layout,
        { nodes: (holders, master) => (perHolder ? holders : [master]) },
        switcher,
        cpus,
      );
      const frame = allocator.allocate(view.master, 0, { purpose: "kernel", zero: true });
      expect(frame).not.toBe(NONE);
      // push rbx; mov rbx,rsi; call rbx (a function of the kernel, with our first argument); add rax,1000; pop rbx; ret
      machine.memory.writeBytes(
        BigInt(frame) << 12n,
        Uint8Array.of(0x53, 0x48, 0x89, 0xf3, 0xff, 0xd3, 0x48, 0x05, 0xe8, 0x03, 0, 0, 0x5b, 0xc3),
      );
      const service = efi.map({ physical: BigInt(frame) << 12n, pages: 1, writable: false, executable: true });
      expect(service).toBeGreaterThan(0xffff_ffef_0000_0000n);
      const scratch = (shared ??= new Scratch(sound, view.master));
      scratch.reset();
      const text = scratch.put("firmware");
      for (const cpu of machine.cpuIds) {
        const caller = new KernelCaller(sound, scratch, cpu);
        machine.cpu(cpu).flushTranslations();
        caller.fetched.clear();
        expect(efi.call(cpu, () => caller.call(service, [text, kernel.symbol("strlen")! + layout.imageOffset]))).toBe(
          1008n,
        );
        const strlen = sound.view.holders.find((node) =>
          caller.fetched.has(view.replicaFrame(kernel.symbol("strlen")! + layout.imageOffset, node)!),
        );
        expect(strlen).toBe(perHolder ? caller.node : view.master);
        // Kernel text is global: with the master's root its frames stay in this CPU's TLB after the call, and its own
        // copy is not used.
        caller.fetched.clear();
        caller.call(kernel.symbol("strlen")! + layout.imageOffset, [text]);
        expect([...caller.fetched].map((each) => machine.memory.nodeOf(each))).toContain(
          perHolder ? caller.node : view.master,
        );
        // Back on its own root, the service is not there.
        expect(() => caller.call(service, [text, 0n], 1000)).toThrow();
      }
    }
  });
  let shared: Scratch | undefined;
});

/** The entry that maps an address, after splitting nothing. */
function findEntry(
  booted: PatchedKernel,
  root: number,
  address: bigint,
): { table: number; index: number; lo: number; hi: number } {
  let table = root;
  for (let level = 4; ; level--) {
    const index = Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
    const [lo, hi] = [booted.entries.low(table, index), booted.entries.high(table, index)];
    if (level === 1 || (lo & 0x80) !== 0) return { table, index, lo, hi };
    table = ((lo >>> 12) | ((hi & 0xf_ffff) << 20)) >>> 0;
  }
}
