/// <reference types="node" />
/** BPF on a kernel with real tables: programs, packs and trampolines on CPUs of every node, replicated and not. */
import { type AddressRange, bytesAt } from "@kreplica/hw-x86/api";
import { PageAllocator, TextUsers } from "@kreplica/mm-core";
import { Vmalloc } from "@kreplica/vmalloc";
import { describe, expect, test } from "vitest";
import {
  assemble,
  CodeAreas,
  CodePermissions,
  CodeWriter,
  Helpers,
  KernelDispatcher,
  KernelStructOps,
  KernelTrampolines,
  LoadedObject,
  Packs,
  readObject,
  Outcome,
  compile,
} from "../src/index.js";
import { buildObject, haveClang } from "./support/clang.js";
import { leaves, makeKernel, NODES } from "./support/kernel.js";

const words = (...values: bigint[]): Uint8Array => {
  const b = new Uint8Array(96);
  values.forEach((v, i) => new DataView(b.buffer).setBigUint64(8 * i, BigInt.asUintN(64, v), true));
  return b;
};
describe.each([
  [[0, 1, 2, 3], false],
  [[0, 1, 2, 3], true],
  [[1, 3], true],
  [[0], true],
] as const)("holders %j, replicate %s", (holders, replicate) => {
  test.skipIf(!haveClang)(
    "programs from clang run compiled on a CPU of each node, with maps in the machine's memory",
    () => {
      const k = makeKernel(holders, replicate),
        object = readObject(buildObject("maps"));
      const frames = (): number[] =>
        k.machine.nodes.map((node) => k.assembly.get(PageAllocator).usedFrames(node, "module"));
      const before = frames(),
        areas = k.assembly.get(Vmalloc).areas().length;
      const loaded = new LoadedObject(object, k.host, {
        packs: k.assembly.get(Packs),
        helperAddress: (id) => k.assembly.get(Helpers).address(id),
      });
      const context = k.memory.allocate(96, "context");
      for (let cpu = 0; cpu < NODES; cpu++) {
        k.memory.write(context, words(BigInt(cpu)));
        const { outcome, result, reason } = k.call(cpu, loaded.program("count").entry, context, loaded);
        expect([outcome, reason, result]).toEqual(["exit", "", 1n]);
        expect(k.call(cpu, loaded.program("remember").entry, context, loaded).result).toBe(0n);
        // The interpreter goes on where the compiled program left the same map.
        const next = loaded.interpret(loaded.program("remember"), context);
        expect([next.outcome, next.result]).toEqual([Outcome.Exit, BigInt(cpu * 3 + 1)]);
        expect(k.call(cpu, loaded.program("remember").entry, context, loaded).result).toBe(BigInt(cpu * 3 + 2));
      }
      for (const program of loaded.programs) {
        const at = leaves(k, program.entry);
        expect(new Set(at.map((leaf) => leaf.allows))).toEqual(new Set(["rx"])); // E10
        if (replicate && holders.length > 1)
          for (const [node, leaf] of at.entries())
            expect(leaf.owner).toBe((holders as readonly number[]).includes(node) ? node : holders[0]);
        else expect(new Set(at.map((leaf) => leaf.frame)).size).toBe(1);
        for (const node of k.machine.nodes) {
          const bytes = new Uint8Array(program.machineCode!.length),
            leaf = at[node]!;
          k.machine.memory.readBytes(
            BigInt(leaf.frame) * 4096n + (program.entry & 0xfffn),
            bytes.subarray(0, Math.min(bytes.length, 4096 - Number(program.entry & 0xfffn))),
          );
          expect(bytes.subarray(0, 5)).toEqual(program.machineCode!.subarray(0, 5));
        }
      }
      loaded.unload();
      k.memory.release(context);
      k.assembly.get(Packs).dispose();
      k.assembly.get(Helpers).dispose();
      k.assembly.get(Vmalloc).purge();
      expect(frames()).toEqual(before);
      expect(k.assembly.get(Vmalloc).areas().length).toBe(areas);
      expect(k.memory.inUse).toBe(0);
    },
  );

  test("trampolines and struct_ops images on every node: executed, equal permissions, regenerated, all pages back", () => {
    const k = makeKernel(holders, replicate),
      packs = k.assembly.get(Packs),
      trampolines = k.assembly.get(KernelTrampolines),
      areas = k.assembly.get(CodeAreas);
    const seen = k.memory.allocate(64, "seen");
    const store = (offset: number, from: number) => {
      const code = assemble(
        `r2 = *(u64 *)(r1 + ${from}); r3 = 0x${seen.toString(16)} ll; *(u64 *)(r3 + ${offset}) = r2; r0 = 0; exit`,
      );
      const make = (address: bigint) =>
        compile({ code, functions: [0], stackBytes: [0], address, helperAddress: () => undefined }).bytes;
      const place = packs.allocate(make(0n).length);
      packs.write(place, make(place.address));
      return place;
    };
    const traced = areas.allocate(4096, "traced")!;
    areas.write(traced, Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0, 0x48, 0x8d, 0x04, 0x7f, 0xc3));
    k.assembly.get(CodePermissions).readOnlyExecutable({ start: traced, pages: 1 });
    const target = { address: traced, arguments: 1 },
      entry = store(0, 0),
      exit = store(8, 8);
    const run = (cpu: number): bigint[] => {
      k.memory.write(seen, new Uint8Array(16));
      const { result, outcome } = k.call(cpu, traced, 14n);
      expect(outcome).toBe("exit");
      const v = new DataView(k.memory.read(bytesAt(seen, 16))!.buffer);
      return [result, v.getBigUint64(0, true), v.getBigUint64(8, true)];
    };
    for (let cpu = 0; cpu < NODES; cpu++) expect(run(cpu)).toEqual([42n, 0n, 0n]);
    trampolines.attach(target, "entry", entry.address);
    for (let cpu = 0; cpu < NODES; cpu++) expect(run(cpu)).toEqual([42n, 14n, 0n]);
    trampolines.attach(target, "exit", exit.address);
    for (let cpu = 0; cpu < NODES; cpu++) expect(run(cpu)).toEqual([42n, 14n, 42n]);
    const image = trampolines.imageOf(target)!;
    expect(new Set(leaves(k, image).map((leaf) => leaf.allows))).toEqual(new Set(["rx"]));
    trampolines.detach(target, entry.address);
    for (let cpu = 0; cpu < NODES; cpu++) expect(run(cpu)).toEqual([42n, 0n, 42n]);
    trampolines.detach(target, exit.address);
    expect(k.assembly.get(CodeWriter).read(bytesAt(traced, 5))).toEqual(Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0));
    const images = k.assembly.get(KernelStructOps);
    const ops = images.publish(
      { name: "s", structure: "s", value: new Uint8Array(8), members: [{ name: "f", offset: 0, program: "p" }] },
      new Map([["p", entry.address]]),
    );
    for (let cpu = 0; cpu < NODES; cpu++) {
      k.memory.write(seen, new Uint8Array(8));
      expect(k.call(cpu, ops.address, 77n).outcome).toBe("exit");
      expect(k.memory.read(bytesAt(seen, 1))![0]).toBe(77);
    }
    expect(new Set(leaves(k, ops.address).map((leaf) => leaf.allows))).toEqual(new Set(["rx"]));
    images.retract(ops);
    packs.free(entry);
    packs.free(exit);
    packs.dispose();
    areas.release(traced);
    k.memory.release(seen);
    k.assembly.get(Helpers).dispose();
    k.assembly.get(Vmalloc).purge();
    expect(k.assembly.get(Vmalloc).areas()).toEqual([]);
  });

  test("the dispatcher leads each node's CPUs to the program that they name, through every change, its page equal everywhere", () => {
    const k = makeKernel(holders, replicate),
      packs = k.assembly.get(Packs),
      dispatcher = k.assembly.get(KernelDispatcher),
      context = k.memory.allocate(96, "context");
    const programs = Array.from({ length: 6 }, (_, i) => {
      const make = (address: bigint) =>
        compile({
          code: assemble(`r0 = *(u64 *)(r1 + 0); r0 += ${100 + i}; exit`),
          functions: [0],
          stackBytes: [0],
          address,
          helperAddress: () => undefined,
        }).bytes;
      const place = packs.allocate(make(0n).length);
      packs.write(place, make(place.address));
      return place;
    });
    k.memory.write(context, words(1000n));
    const known = new Set<number>();
    const check = (): void => {
      if (dispatcher.entry === undefined) return;
      const at = leaves(k, dispatcher.entry);
      expect(new Set(at.map((leaf) => leaf.allows))).toEqual(new Set(["rx"]));
      for (const [node, leaf] of at.entries())
        expect(leaf.owner).toBe(replicate && (holders as readonly number[]).includes(node) ? node : holders[0]);
      for (let cpu = 0; cpu < NODES; cpu++)
        programs.forEach((program, i) => {
          // What it does not know it jumps to as named, so that every program is reached.
          const { outcome, result } = k.call(cpu, dispatcher.entry!, context, undefined, program.address);
          expect([outcome, result]).toEqual(["exit", BigInt(1100 + i)]);
        });
      // Known ones are reached without that: with each `jmp rdx` (ff e2) made an undefined instruction the others stop
      // the CPU.
      const writer = k.assembly.get(CodeWriter),
        code = writer.read(bytesAt(dispatcher.entry, 2048));
      writer.copy(
        dispatcher.entry,
        code.map((byte, i) =>
          byte === 0xff && code[i + 1] === 0xe2 ? 0x0f : byte === 0xe2 && code[i - 1] === 0xff ? 0x0b : byte,
        ),
      );
      for (let cpu = 0; cpu < NODES; cpu++)
        for (const i of known)
          expect(k.call(cpu, dispatcher.entry, context, undefined, programs[i]!.address).result).toBe(BigInt(1100 + i));
      writer.copy(dispatcher.entry, code);
    };
    for (const i of [0, 3, 5, 1, 2, 4]) {
      dispatcher.add(programs[i]!.address);
      known.add(i);
      check();
    }
    for (const i of [3, 0, 4]) {
      dispatcher.remove(programs[i]!.address);
      known.delete(i);
      check();
    }
    dispatcher.dispose();
    expect(dispatcher.entry).toBeUndefined();
    for (const program of programs) packs.free(program);
    packs.dispose();
    k.memory.release(context);
    k.assembly.get(Helpers).dispose();
    k.assembly.get(Vmalloc).purge();
    expect(k.assembly.get(Vmalloc).areas()).toEqual([]);
  });
});

describe.each([
  [[0, 1, 2, 3], true],
  [[1, 3], false],
] as const)("text that goes, holders %j, replicate %s", (holders, replicate) => {
  test("stays while a program is attached to it, whole; goes when it is detached", () => {
    const k = makeKernel(holders, replicate),
      trampolines = k.assembly.get(KernelTrampolines),
      areas = k.assembly.get(CodeAreas),
      users = k.assembly.get(TextUsers);
    const place = k.assembly.get(Packs).allocate(64);
    const traced = areas.allocate(8192, "traced")!;
    const entries = [traced + 0x40n, traced + 4096n];
    areas.write(traced, new Uint8Array(8192).fill(0x90));
    for (const address of entries) areas.write(address, Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0, 0xc3));
    k.assembly.get(CodePermissions).readOnlyExecutable({ start: traced, pages: 2 });
    const [first, second] = entries.map((address) => ({ address, arguments: 0 }));
    const sites = (): bigint[] =>
      [...users.all].flatMap((user) => [...user.sites()]).filter((site) => site >= traced && site < traced + 8192n);
    const refusal = (range: AddressRange): string => {
      try {
        users.release([range]);
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    };
    trampolines.attach(first!, "entry", place.address);
    trampolines.attach(second!, "entry", place.address);
    expect(sites()).toEqual(entries);
    const says = (address: bigint): string => `a BPF program is attached to 0x${address.toString(16)}: detach it first`;
    // The border: the page before, the second page alone, both; a range that ends at the entry or begins behind it is
    // none of it.
    expect(refusal({ start: traced, end: traced + 4096n })).toContain(says(entries[0]!));
    expect(refusal({ start: traced + 4096n, end: traced + 8192n })).toContain(says(entries[1]!));
    for (const [start, end] of [
      [traced, entries[0]!],
      [entries[0]! + 1n, entries[1]!],
      [traced + 8192n, traced + 12288n],
    ] as const)
      expect(refusal({ start, end })).toBe("");
    expect(() => {
      areas.release(traced);
    }).toThrow(says(entries[0]!));
    // All as it was: the area lives, the call leads to the image.
    expect([
      k.assembly.get(CodeWriter).read(bytesAt(entries[0]!, 1))[0],
      sites(),
      trampolines.imageOf(first!) !== undefined,
    ]).toEqual([0xe8, entries, true]);
    trampolines.detach(first!, place.address);
    expect(sites()).toEqual([entries[1]]);
    expect(() => {
      areas.release(traced);
    }).toThrow(says(entries[1]!));
    trampolines.detach(second!, place.address);
    areas.release(traced);
    expect(k.assembly.get(Vmalloc).find(traced)).toBeUndefined();
  });
});

test("code that a program may not write: a store into its own image stops the CPU, on every node", () => {
  const k = makeKernel([0, 1, 2, 3], true),
    packs = k.assembly.get(Packs);
  const place = packs.allocate(64);
  const code = assemble(`r2 = 0x${place.address.toString(16)} ll; *(u64 *)(r2 + 0) = 1; r0 = 0; exit`);
  packs.write(
    place,
    compile({ code, functions: [0], stackBytes: [0], address: place.address, helperAddress: () => undefined }).bytes,
  );
  for (let cpu = 0; cpu < NODES; cpu++) expect(k.call(cpu, place.address, 0n).outcome).toBe("stopped");
});
