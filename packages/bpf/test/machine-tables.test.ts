/// <reference types="node" />
/**
 * No accepted program reads or writes outside what it may: generated programs run compiled, in packs with a copy on
 * every node, on CPUs of a kernel with real tables, and afterwards the accessed and dirty bits of that node's page
 * tables tell which pages were touched. They also give what the interpreter gives on the same memory.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { Interpreter as X86, MachinePort } from "@kreplica/hw-x86/isa";
import { ReplicaView } from "@kreplica/mm-core";
import { expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { assemble, compile, Helpers, Interpreter, Outcome, Packs, runCompiled, type CodePlace } from "../src/index.js";
import type { Code } from "../src/isa/code.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { Random } from "../src/testing/random.js";
import { verify } from "../src/verify/verifier.js";
import { executing } from "./support/flat-cpu.js";
import { type Kernel, makeKernel, NODES } from "./support/kernel.js";
import { modelHelper } from "./support/native.js";
import { place } from "./support/place.js";

const COUNT = process.env["KREPLICA_PROOF"] === "1" ? 2000 : 200;
const PAGE = 4096n,
  FRAME = 0x000f_ffff_ffff_f000n,
  PRESENT = 1n,
  ACCESSED = 0x20n,
  DIRTY = 0x40n,
  LARGE = 0x80n;

/** The leaf entries of one node's tables. */
class Leaves {
  private readonly entries: { readonly at: bigint; readonly address: bigint }[] = [];
  constructor(
    private readonly kernel: Kernel,
    node: number,
  ) {
    this.collect(BigInt(kernel.assembly.get(ReplicaView).kernelRoot(node)) * PAGE, 4, 0n);
  }
  private collect(table: bigint, level: number, base: bigint): void {
    const { memory } = this.kernel.machine;
    for (let i = 0n; i < 512n; i++) {
      const at = table + 8n * i,
        entry = memory.read64(at),
        address = base | (i << BigInt(12 + 9 * (level - 1)));
      if ((entry & PRESENT) === 0n) continue;
      if (level === 1 || (entry & LARGE) !== 0n)
        this.entries.push({ at, address: BigInt.asUintN(64, BigInt.asIntN(48, address)) });
      else this.collect(entry & FRAME, level - 1, address);
    }
  }
  clear(): void {
    const { memory } = this.kernel.machine;
    for (const { at } of this.entries) {
      const entry = memory.read64(at);
      if ((entry & (ACCESSED | DIRTY)) !== 0n) memory.write64(at, entry & ~(ACCESSED | DIRTY));
    }
  }
  /** First addresses of the pages touched since {@link clear}. */
  touched(): { read: bigint[]; written: bigint[] } {
    const { memory } = this.kernel.machine,
      read: bigint[] = [],
      written: bigint[] = [];
    for (const { at, address } of this.entries) {
      const entry = memory.read64(at);
      if ((entry & ACCESSED) !== 0n) read.push(address);
      if ((entry & DIRTY) !== 0n) written.push(address);
    }
    return { read, written };
  }
  get count(): number {
    return this.entries.length;
  }
}

class Bench {
  readonly kernel = makeKernel([0, 1, 2, 3], true);
  readonly packs = this.kernel.assembly.get(Packs);
  readonly context = this.kernel.memory.allocate(4096, "context") + PAGE - BigInt(CONTEXT_BYTES);
  readonly value = this.kernel.memory.allocate(4096, "value") + PAGE - BigInt(VALUE_BYTES);
  readonly stack = this.kernel.memory.allocate(8192, "stack");
  readonly helpers = this.kernel.assembly.get(Helpers);
  readonly stubs = this.helpers.stubs;
  private readonly cpus: { port: MachinePort; x86: X86; leaves: Leaves | undefined }[] = [];

  /** Verified code, or any code, in a pack. */
  load(code: Code, functions: readonly number[], stackBytes: readonly number[]): { place: CodePlace; bytes: number } {
    const request = { code, functions, stackBytes, helperAddress: (id: number) => this.helpers.address(id) };
    const at = this.packs.allocate(compile({ ...request, address: 0n }).bytes.length),
      { bytes } = compile({ ...request, address: at.address });
    this.packs.write(at, bytes);
    return { place: at, bytes: bytes.length };
  }

  run(cpu: number, entry: bigint): { outcome: string; result: bigint; read: bigint[]; written: bigint[] } {
    this.cpus[cpu] ??= (() => {
      const port = new MachinePort(this.kernel.machine, cpu);
      return { port, x86: new X86(port), leaves: undefined };
    })();
    const { port, x86 } = this.cpus[cpu],
      leaves = (this.cpus[cpu].leaves ??= new Leaves(this.kernel, this.kernel.machine.nodeOfCpu(cpu))),
      word = new Uint8Array(8);
    leaves.clear();
    port.invpcid(2, 0, 0, 0); // every entry of the TLB, global ones too: what is touched must be walked to
    this.kernel.host.current = cpu;
    const done = runCompiled({
      cpu: executing(x86),
      entry,
      context: this.context,
      stackTop: this.stack + 8192n,
      stubs: this.stubs,
      budget: 1_000_000,
      helper: modelHelper,
      writeWord: (address, value) => {
        new DataView(word.buffer).setBigUint64(0, value, true);
        this.kernel.memory.write(address, word);
      },
    });
    return { outcome: done.outcome, result: done.result, ...leaves.touched() };
  }
}

test("generated programs on every node: the page tables tell that only their own pages were touched, and results are the interpreter's", () => {
  const bench = new Bench(),
    { memory } = bench.kernel,
    machine = new Interpreter(memory, { helper: modelHelper, tailTarget: () => undefined });
  const data = new Set([bench.context & ~0xfffn, bench.value & ~0xfffn, bench.stack, bench.stack + PAGE]);
  const pages = (bytes: Uint8Array): Uint8Array => {
    const page = new Uint8Array(4096).fill(0x5a);
    page.set(bytes, 4096 - bytes.length);
    return page;
  };
  let accepted = 0,
    seed = 40_000_000,
    touched = 0;
  while (accepted < COUNT) {
    const { code, text } = generateProgram(seed++, {
      wild: 0,
      careful: true,
      length: 3 + (seed % 10),
      helpers: [5, 7, 8],
    });
    let verified;
    try {
      verified = verify({
        code,
        type: "syscall",
        maps: generatorMaps,
        contextBytes: CONTEXT_BYTES,
        privileged: false,
        limit: 1000,
      });
    } catch (error) {
      if (error instanceof BpfError) continue;
      throw error;
    }
    const placed = place(verified.code, bench.value),
      { place: at, bytes } = bench.load(placed, verified.functions, verified.stackBytes),
      cpu = accepted % NODES;
    const random = new Random(seed),
      fill = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => random.next());
    const inputs = [fill(CONTEXT_BYTES), fill(VALUE_BYTES)].map(pages),
      places = [bench.context, bench.value].map((address) => address & ~0xfffn);
    const put = (): void => {
        inputs.forEach((page, i) => memory.write(places[i]!, page));
      },
      get = (): (Uint8Array | undefined)[] => places.map((address) => memory.read(bytesAt(address, 4096)));
    put();
    expect(machine.run(placed, bench.context, 100_000)).toBe(Outcome.Exit);
    const wanted = get();
    put();
    const done = bench.run(cpu, at.address),
      found = get();
    if (
      done.outcome !== "exit" ||
      done.result !== machine.result ||
      found.some((page, i) => Buffer.compare(page!, wanted[i]!) !== 0)
    )
      throw new Error(
        `seed ${seed - 1} on CPU ${cpu}: ${done.outcome} ${done.result.toString(16)}, interpreter ${machine.result.toString(16)}\n${text}`,
      );
    const own = (address: bigint): boolean => address >= (at.address & ~0xfffn) && address < at.address + BigInt(bytes);
    const strayRead = done.read.filter((address) => !data.has(address) && !own(address) && address !== bench.stubs),
      strayWrite = done.written.filter((address) => !data.has(address));
    if (strayRead.length > 0 || strayWrite.length > 0)
      throw new Error(
        `seed ${seed - 1} on CPU ${cpu}: touched ${strayRead.map((each) => each.toString(16)).join(" ")}, wrote ${strayWrite.map((each) => each.toString(16)).join(" ")}\n${text}`,
      );
    touched += done.read.length;
    bench.packs.free(at);
    accepted++;
  }
  console.log(
    `page tables: ${accepted} programs, ${(touched / accepted).toFixed(1)} pages touched by each, code among them`,
  );
  expect(touched / accepted).toBeGreaterThan(3);
});

test("a program that was not verified and reads or writes another page is seen", () => {
  const bench = new Bench(),
    other = bench.kernel.memory.allocate(4096, "other");
  const run = (text: string) => {
    const { place: at } = bench.load(assemble(text), [0], [0]);
    return bench.run(2, at.address);
  };
  expect(run(`r2 = 0x${other.toString(16)} ll; r0 = *(u64 *)(r2 + 0); exit`).read).toContain(other);
  const stores = run(`r2 = 0x${other.toString(16)} ll; *(u8 *)(r2 + 5) = 1; r0 = 0; exit`);
  expect([stores.outcome, stores.written.includes(other)]).toEqual(["exit", true]);
  expect(run("r0 = 7; exit")).toMatchObject({ outcome: "exit", result: 7n, written: [bench.stack + PAGE] });
});
