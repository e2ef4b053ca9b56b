/** Everything that patches text, on CPUs of several nodes that then execute it. */
import { bytesAt, isLeaf, isPresent, type NodeId } from "@kreplica/hw-x86/api";
import type { KernelLayout, ReplicaView, TableMemory } from "@kreplica/mm-core/api";
import { walk } from "@kreplica/mm-core/api";
import type { SetMemory } from "@kreplica/set-memory";
import { type PageRange } from "@kreplica/set-memory";
import type { Vmalloc } from "@kreplica/vmalloc";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  branch32,
  CALL,
  DebuggerBreakpoints,
  Ftrace,
  InsnPages,
  INT3,
  JMP32,
  JumpLabels,
  Kprobes,
  Livepatch,
  moveInstruction,
  nops,
  type PatchState,
  ReturnProbes,
  StaticCalls,
  TextPatchError,
} from "../src/api.js";
import { areasOn } from "./areas.js";
import { placeCode, type RunningCpu, startCpus } from "./cpus.js";
import { makeKernel, type PatchKernel, SHARED, TEXT } from "./kernel.js";

const HOLDERS = [0, 1, 3];
const RAX = 0,
  RCX = 1,
  RDX = 2;
const code = (run: () => unknown): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof TextPatchError ? error.code : (error as Error).message;
  }
};

/** The kernel with areas and permissions, and a CPU on each of three holders. */
function start(): {
  kernel: PatchKernel;
  areas: Vmalloc;
  permissions: SetMemory;
  pages: (bytes: number) => InsnPages;
  cpus: RunningCpu[];
  run: (cpu: RunningCpu, from: bigint, until: bigint, on?: (cpu: RunningCpu) => boolean) => void;
} {
  const kernel = makeKernel(HOLDERS);
  const { areas, permissions, pages } = areasOn(kernel);
  const cpus = startCpus(kernel, [0, 1, 3], (address) => kernel.poke.breakpoint(address));
  return {
    kernel,
    areas,
    cpus,
    permissions,
    pages,
    run(cpu, from, until, on) {
      cpu.goTo(from, cpu.stack);
      for (let step = 0; cpu.position.rip !== until; step++) {
        if (step > 100) throw new Error(`never reached ${until.toString(16)}, is at ${cpu.position.rip.toString(16)}`);
        if (on?.(cpu) !== true) cpu.step();
      }
    },
  };
}
const count = (cpu: RunningCpu, register: number, work: () => void): bigint => {
  const before = cpu.interpreter.register(register);
  work();
  return BigInt.asIntN(64, cpu.interpreter.register(register) - before);
};
const INC = { [RAX]: [0x48, 0xff, 0xc0], [RCX]: [0x48, 0xff, 0xc1], [RDX]: [0x48, 0xff, 0xc2] } as const;

test("a static key switches its branches on every node with the first user, and back with the last", () => {
  const { kernel, cpus, run } = start();
  const key = 0x1234n;
  const end = TEXT + 0x100n;
  // Two sites: one that jumps while the key is on, in five bytes; one that jumps while it is off, in two.
  const first = TEXT + 0x20n;
  const second = TEXT + 0x60n;
  placeCode(kernel, first, Uint8Array.of(...nops(5), ...INC[RAX], ...branch32(JMP32, first + 8n, second)));
  placeCode(kernel, second, Uint8Array.of(0xeb, 3, ...INC[RAX], ...INC[RCX], ...branch32(JMP32, second + 8n, end)));
  const sites = [
    { address: second, target: second + 5n, key, branch: true, init: false },
    { address: first, target: second, key, branch: false, init: false },
  ];
  const labels = new JumpLabels(kernel.poke, sites, () => 0);
  const passes = (cpu: RunningCpu): bigint[] =>
    [RAX, RCX].map((register) => count(cpu, register, () => run(cpu, first, end)));
  for (const cpu of cpus) expect(passes(cpu)).toEqual([1n, 1n]);
  labels.increment(key);
  labels.increment(key);
  expect(labels.enabled(key)).toBe(true);
  // On: the first jumps over its counter, the second falls into its own.
  for (const cpu of cpus) expect(passes(cpu)).toEqual([1n, 1n]);
  expect(kernel.poke.read(bytesAt(first, 5))[0]).toBe(JMP32);
  expect([...kernel.poke.read(bytesAt(second, 2))]).toEqual([0x66, 0x90]);
  labels.decrement(key);
  expect(kernel.poke.read(bytesAt(first, 5))[0]).toBe(JMP32);
  labels.decrement(key);
  expect([...kernel.poke.read(bytesAt(first, 5))]).toEqual([...nops(5)]);
  expect([...kernel.poke.read(bytesAt(second, 2))]).toEqual([0xeb, 3]);
  expect(code(() => labels.decrement(key))).toBe("no-site");
});

test("a static call calls what it was last aimed at, everywhere; none is a no-op, and a tail call of none returns", () => {
  const { kernel, cpus, run } = start();
  const [one, two, zero] = [TEXT + 0x400n, TEXT + 0x440n, TEXT + 0x480n];
  placeCode(kernel, one, Uint8Array.of(...INC[RCX], 0xc3));
  placeCode(kernel, two, Uint8Array.of(...INC[RDX], 0xc3));
  placeCode(kernel, zero, Uint8Array.of(0x31, 0xc0, 0xc3));
  const site = TEXT + 0xffen;
  const end = site + 5n;
  const tail = TEXT + 0x500n;
  const trampoline = TEXT + 0x540n;
  const key = 0x77n;
  placeCode(kernel, site, branch32(CALL, site, trampoline));
  placeCode(kernel, tail, branch32(JMP32, tail, trampoline));
  placeCode(kernel, trampoline, Uint8Array.of(...branch32(JMP32, trampoline, one), 0x0f, 0xb9, 0xcc));
  const caller = TEXT + 0x580n;
  placeCode(kernel, caller, branch32(CALL, caller, tail));
  const state = {
    returnThunk: () => undefined,
    defaultReturnThunk: 0n,
    staticCallReturn0: zero,
  } as unknown as PatchState;
  const calls = new StaticCalls(
    kernel.poke,
    [
      { address: site, key, tail: false, init: false },
      { address: tail, key, tail: true, init: false },
    ],
    [{ address: trampoline, key }],
    state,
  );
  const seen = (): bigint[][] =>
    cpus.map((cpu) =>
      [RCX, RDX].flatMap((register) => [
        count(cpu, register, () => run(cpu, site, end)),
        count(cpu, register, () => run(cpu, caller, caller + 5n)),
      ]),
    );
  for (const [target, expected] of [
    [one, [1n, 1n, 0n, 0n]],
    [two, [0n, 0n, 1n, 1n]],
    [0n, [0n, 0n, 0n, 0n]],
    [one, [1n, 1n, 0n, 0n]],
  ] as const) {
    calls.update(key, target);
    expect(seen()).toEqual(cpus.map(() => expected));
  }
  calls.update(key, zero);
  for (const cpu of cpus) {
    cpu.interpreter.setRegister(RAX, 55n);
    run(cpu, site, end);
    expect(cpu.interpreter.register(RAX)).toBe(0n);
  }
  expect(code(() => calls.update(1n, one))).toBe("no-site");
});

test("traced functions call their trampoline from every node, and stop; a live patch leads to the new function", () => {
  const { kernel, cpus, run, pages } = start();
  const [plain, fresh, caller] = [TEXT + 0x800n, TEXT + 0x900n, TEXT + 0xa00n];
  placeCode(kernel, plain, Uint8Array.of(...nops(5), ...INC[RCX], 0xc3));
  placeCode(kernel, fresh, Uint8Array.of(...INC[RDX], 0xc3));
  placeCode(kernel, caller, branch32(CALL, caller, plain));
  const slots = pages(64);
  const ftrace = new Ftrace(kernel.poke, slots, [plain]);
  const trampoline = ftrace.trampoline(() => Uint8Array.of(...INC[RAX], 0xc3));
  // D5: executable and read-only on every holder, not on the first alone.
  for (const node of HOLDERS)
    expect(kernel.tables.lookup(node, trampoline)).toMatchObject({ executable: true, writable: false });
  const seen = (cpu: RunningCpu): bigint[] => {
    const before = [RAX, RCX, RDX].map((register) => cpu.interpreter.register(register));
    run(cpu, caller, caller + 5n);
    return [RAX, RCX, RDX].map((register, i) => cpu.interpreter.register(register) - before[i]!);
  };
  for (const cpu of cpus) expect(seen(cpu)).toEqual([0n, 1n, 0n]);
  ftrace.enable([plain], trampoline);
  for (const cpu of cpus) expect(seen(cpu)).toEqual([1n, 1n, 0n]);
  expect(code(() => ftrace.dropTrampoline(trampoline))).toBe("taken");
  ftrace.disable([plain]);
  for (const cpu of cpus) expect(seen(cpu)).toEqual([0n, 1n, 0n]);
  const patches = new Livepatch(ftrace);
  patches.apply(plain, fresh);
  for (const cpu of cpus) expect(seen(cpu)).toEqual([0n, 0n, 1n]);
  patches.revert(plain);
  for (const cpu of cpus) expect(seen(cpu)).toEqual([0n, 1n, 0n]);
  ftrace.dropTrampoline(trampoline);
  expect(slots.areas.length).toBe(0);
  expect(code(() => ftrace.enable([caller], trampoline))).toBe("no-site");
  placeCode(kernel, plain, Uint8Array.of(0x90));
  expect(code(() => ftrace.enable([plain], trampoline))).toBe("unexpected-code");
});

describe("kprobes", () => {
  /** `inc rcx; lea rax,[rip+0x11]; inc rdx; ret` and a caller. */
  const [probed, caller] = [TEXT + 0xffcn, TEXT + 0xb00n];
  function prepare() {
    const all = start();
    placeCode(all.kernel, probed, Uint8Array.of(...INC[RCX], 0x48, 0x8d, 0x05, 0x11, 0, 0, 0, ...INC[RDX], 0xc3));
    placeCode(all.kernel, caller, branch32(CALL, caller, probed));
    const slots = all.pages(32);
    const probes = new Kprobes(all.kernel.poke, slots, all.pages(128));
    const hits: bigint[] = [];
    /** The kernel's INT3 handler: the probe's action, as a CPU does it. */
    const on = (cpu: RunningCpu): boolean => {
      if (!cpu.trapped) return false;
      const frame = cpu.position.rsp;
      const site = cpu.word(frame) - 1n;
      const action = probes.hit(site);
      if (!action) return false;
      hits.push(site);
      let rsp = cpu.word(frame + 24n);
      if (action.kind === "emulate") {
        if (action.effect.kind === "call") {
          rsp -= 8n;
          cpu.setWord(rsp, action.effect.back);
          cpu.goTo(action.effect.to, rsp);
        } else if (action.effect.kind === "return") cpu.goTo(cpu.word(rsp), rsp + 8n);
        else if (action.effect.kind === "jump") cpu.goTo(action.effect.to, rsp);
      } else {
        cpu.goTo(action.slot, rsp);
        if (action.kind === "single-step") {
          cpu.step();
          cpu.goTo(action.next, cpu.position.rsp);
        }
      }
      return true;
    };
    const check = (cpu: RunningCpu): void => {
      cpu.interpreter.setRegister(RAX, 0n);
      const before = [RCX, RDX].map((register) => cpu.interpreter.register(register));
      all.run(cpu, caller, caller + 5n, on);
      expect([RCX, RDX].map((register, i) => cpu.interpreter.register(register) - before[i]!)).toEqual([1n, 1n]);
      // Counted from the instruction's own place, wherever its copy ran.
      expect(cpu.interpreter.register(RAX)).toBe(probed + 10n + 0x11n);
    };
    return { ...all, probes, slots, hits, check };
  }

  test("armed on one node, hit on every other; the displaced instruction does what it did; disarming restores every copy", () => {
    const { kernel, probes, slots, hits, check, cpus } = prepare();
    const before = HOLDERS.map((node) => Buffer.from(kernel.bytes(node, TEXT, 0x2000)).toString("hex"));
    kernel.cpus.current = 2;
    const places = [probed, probed + 3n, probed + 13n, caller];
    for (const place of places) probes.arm(place);
    for (const cpu of cpus) {
      hits.length = 0;
      check(cpu);
      expect(hits).toEqual([caller, probed, probed + 3n, probed + 13n]);
    }
    expect([places.map((place) => probes.hit(place)!.kind)]).toEqual([["boosted", "boosted", "emulate", "emulate"]]);
    probes.arm(probed);
    probes.disarm(probed);
    expect(kernel.poke.read(bytesAt(probed, 1))[0]).toBe(INT3);
    for (const place of places) probes.disarm(place);
    expect(HOLDERS.map((node) => Buffer.from(kernel.bytes(node, TEXT, 0x2000)).toString("hex"))).toEqual(before);
    expect(slots.areas.length).toBe(0);
    expect(code(() => probes.disarm(probed))).toBe("no-site");
    kernel.poke.poke(probed, Uint8Array.of(INT3));
    expect(code(() => probes.arm(probed))).toBe("taken");
  });

  test("optimised: a jump to a detour that does the displaced instructions, and back to the INT3", () => {
    const { kernel, probes, hits, check, cpus } = prepare();
    probes.arm(probed);
    // pushfq; popfq stands for the register-saving part.
    probes.optimise(probed, Uint8Array.of(0x9c, 0x9d), probed, 14);
    expect(kernel.poke.read(bytesAt(probed, 1))[0]).toBe(JMP32);
    for (const cpu of cpus) check(cpu);
    expect(hits).toEqual([]);
    // A probe inside the covered bytes brings the INT3 back first.
    probes.arm(probed + 3n);
    expect(kernel.poke.read(bytesAt(probed, 1))[0]).toBe(INT3);
    for (const cpu of cpus) check(cpu);
    expect(hits.length).toBe(6);
    expect(code(() => probes.optimise(probed, new Uint8Array(0), probed, 14))).toBe("taken");
    probes.disarm(probed + 3n);
    probes.optimise(probed, new Uint8Array(0), probed, 14);
    probes.disarm(probed);
    for (const cpu of cpus) check(cpu);
    // The last instruction cannot be displaced: there is nothing behind it.
    probes.arm(probed + 10n);
    expect(code(() => probes.optimise(probed + 10n, new Uint8Array(0), probed, 14))).not.toBe(undefined);
  });

  test("a function that branches into the bytes a jump would cover keeps its INT3", () => {
    const { kernel, probes } = prepare();
    const loop = SHARED + 0x40n;
    // inc rcx; inc rdx; dec rcx; jnz to the second instruction; ret
    placeCode(kernel, loop, Uint8Array.of(...INC[RCX], ...INC[RDX], 0x48, 0xff, 0xc9, 0x75, 0xf8, 0xc3));
    probes.arm(loop);
    expect(code(() => probes.optimise(loop, new Uint8Array(0), loop, 12))).toBe("unexpected-code");
    expect(kernel.poke.read(bytesAt(loop, 1))[0]).toBe(INT3);
  });

  test("return probes give every return address back, innermost first", () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.bigInt(1n, 1n << 63n), { nil: undefined }), { maxLength: 40, size: "max" }),
        (events) => {
          const probes = new ReturnProbes(0x5000n);
          const stack: bigint[] = [];
          for (const back of events) {
            if (back !== undefined) {
              expect(probes.enter(back)).toBe(0x5000n);
              stack.push(back);
            } else if (stack.length > 0) expect(probes.leave()).toBe(stack.pop());
            else expect(code(() => probes.leave())).toBe("no-site");
          }
        },
      ),
    );
  });
});

/** D5: a call of set_memory_rox that reaches one node's tables alone. */
function roxOnOneNode(
  over: SetMemory,
  entries: TableMemory,
  view: ReplicaView,
  layout: KernelLayout,
  node: NodeId,
): SetMemory {
  const changed: SetMemory = Object.create(over) as SetMemory;
  changed.readOnlyExecutable = ({ start, pages }: PageRange): void => {
    for (let page = 0; page < pages; page++) {
      const { table, index, lo, hi, level } = walk(
        entries.memory,
        view.kernelRoot(node),
        layout.levels,
        start + BigInt(page) * 4096n,
      );
      if (isPresent(lo) && isLeaf(lo, level)) entries.write(table, index, (lo & ~2) >>> 0, (hi & 0x7fff_ffff) >>> 0);
    }
  };
  return changed;
}

test("D5: with permissions on one node alone, a trampoline runs there and faults on every other", () => {
  const { kernel, areas, permissions, cpus, run } = start();
  const [plain, caller] = [TEXT + 0x800n, TEXT + 0xa00n];
  placeCode(kernel, plain, Uint8Array.of(...nops(5), 0xc3));
  placeCode(kernel, caller, branch32(CALL, caller, plain));
  const slots = new InsnPages(
    areas,
    roxOnOneNode(permissions, kernel.entries, kernel.view, kernel.layout, 0),
    kernel.poke,
    { ...kernel.layout, modulesStart: 0xffff_ffff_d000_0000n },
    64,
    0,
  );
  const ftrace = new Ftrace(kernel.poke, slots, [plain]);
  const trampoline = ftrace.trampoline(() => Uint8Array.of(...INC[RAX], 0xc3));
  ftrace.enable([plain], trampoline);
  for (const cpu of cpus) {
    if (cpu.node === 0) expect(count(cpu, RAX, () => run(cpu, caller, caller + 5n))).toBe(1n);
    else expect(() => run(cpu, caller, caller + 5n)).toThrow(/exception that is no breakpoint/);
  }
});

test("the debugger's breakpoints are in every copy, and gone from every copy", () => {
  const { kernel } = start();
  placeCode(kernel, TEXT, nops(8));
  const debuggerPoints = new DebuggerBreakpoints(kernel.poke);
  debuggerPoints.set(TEXT);
  for (const node of HOLDERS) expect(kernel.bytes(node, TEXT, 1)[0]).toBe(INT3);
  expect(code(() => debuggerPoints.set(TEXT))).toBe("taken");
  debuggerPoints.remove(TEXT);
  for (const node of HOLDERS) expect(kernel.bytes(node, TEXT, 1)[0]).toBe(0x0f);
  expect(code(() => debuggerPoints.remove(TEXT))).toBe("no-site");
});

test("instruction pages: any sequence of takes and gives keeps slots apart and gives all pages back", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(20), { nil: undefined }), { maxLength: 120, size: "max" }), (events) => {
      const { areas, pages } = start();
      const slots = pages(512);
      const taken: bigint[] = [];
      for (const event of events) {
        if (event === undefined || taken.length === 0) {
          const slot = slots.take();
          expect(taken).not.toContain(slot);
          taken.push(slot);
        } else slots.give(taken.splice(event % taken.length, 1)[0]!);
        expect(slots.areas.length).toBeGreaterThanOrEqual(Math.ceil(taken.length / 8));
      }
      for (const slot of taken) slots.give(slot);
      expect(slots.areas.length).toBe(0);
      areas.purge();
      expect(areas.counters.used).toBe(0);
      expect(code(() => slots.give(SHARED))).toBe("no-slot");
    }),
    { numRuns: 10 },
  );
});

test("moved instructions keep their meaning: only what is relative to RIP changes", () => {
  const moved = moveInstruction(Uint8Array.of(0x48, 0x8b, 0x05, 0, 1, 0, 0), TEXT, TEXT + 0x1000n);
  expect([...moved.bytes]).toEqual([0x48, 0x8b, 0x05, 0, 0xf1, 0xff, 0xff]);
  // cmpl $0x12345678, 0x100(%rip): the immediate stands behind the displacement.
  expect([
    ...moveInstruction(Uint8Array.of(0x81, 0x3d, 0, 1, 0, 0, 0x78, 0x56, 0x34, 0x12), TEXT, TEXT + 0x1000n).bytes,
  ]).toEqual([0x81, 0x3d, 0, 0xf1, 0xff, 0xff, 0x78, 0x56, 0x34, 0x12]);
  expect([...moveInstruction(Uint8Array.of(0x48, 0x89, 0xc3), TEXT, TEXT + 5n).bytes]).toEqual([0x48, 0x89, 0xc3]);
  expect(code(() => moveInstruction(Uint8Array.of(0x48, 0x8b, 0x05, 0, 1, 0, 0), TEXT, 0x1000_0000_0000n))).toBe(
    "out-of-reach",
  );
  expect(code(() => moveInstruction(Uint8Array.of(0x06), TEXT, TEXT))).toBe("not-decodable");
});

test("generated code goes after a grace period: nothing leads to it any more, and it is whole still", () => {
  const { kernel, pages } = start();
  const seen: string[] = [];
  const site = TEXT + 0x500n;
  placeCode(kernel, site, Uint8Array.of(...nops(5), ...INC[RAX], ...INC[RCX], 0xc3));
  const slots = pages(32),
    detours = pages(128);
  const watched = { at: 0n, from: 0n };
  const grace = (): void => {
    const leads = kernel.poke.read(bytesAt(watched.from, 1))[0] === INT3 ? "INT3 there" : "original";
    seen.push(`${leads}, ${kernel.poke.read(bytesAt(watched.at, 1))[0] === INT3 ? "gone" : "whole"}`);
  };
  const probes = new Kprobes(kernel.poke, slots, detours, grace);
  const probe = site + 5n;
  probes.arm(probe);
  const action = probes.hit(probe)!;
  expect(action.kind).toBe("boosted");
  Object.assign(watched, { at: action.kind === "emulate" ? 0n : action.slot, from: probe });
  probes.disarm(probe);
  expect(seen).toEqual(["original, whole"]);

  const trampolines = pages(64);
  const ftrace = new Ftrace(kernel.poke, trampolines, [site], () => {
    seen.push(kernel.poke.read(bytesAt(trampoline, 1))[0] === INT3 ? "gone" : "whole");
  });
  const trampoline = ftrace.trampoline(() => Uint8Array.of(...INC[RDX], 0xc3));
  ftrace.enable([site], trampoline);
  expect(code(() => ftrace.dropTrampoline(trampoline))).toBe("taken");
  expect(seen).toHaveLength(1);
  ftrace.disable([site]);
  ftrace.dropTrampoline(trampoline);
  expect(seen[1]).toBe("whole");
});
