/// <reference types="node" />
/**
 * CPUs of three nodes execute a real kernel's functions from their own replicas while these are patched: a static key,
 * a static call, tracing, live patching, probes. Small functions: every interleaving of single instructions and stored
 * bytes; larger ones: random schedules. Each call must give what the old code gives or what the new code gives, and
 * every copy passes through the protocol's steps.
 */
import { ExecutingCpu, ExecutionPages } from "@kreplica/check";
import type { KernelFile } from "@kreplica/kernel-files";
import { SetMemory } from "@kreplica/set-memory";
import {
  type Emulation,
  Ftrace,
  InsnPages,
  JumpLabels,
  Kprobes,
  Livepatch,
  StaticCalls,
  WitnessedTextPoke,
} from "@kreplica/text-patch";
import { seededRandom } from "@kreplica/mm-core";
import { Vmalloc } from "@kreplica/vmalloc";
import { createHash } from "node:crypto";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fetchKernel } from "../../../../scripts/fetch-kernel.mjs";
import { readKernelFile } from "../../src/inputs/kernel-file.js";
import { Scratch } from "./kernel-calls.js";
import { bootPatched, type PatchedKernel } from "./patched-kernel.js";

let real: { vmlinuz: string } | undefined;
try {
  real = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel to patch while it runs: ${(error as Error).message}`);
}
const PROOF = process.env.KREPLICA_PROOF === "1";
const RAX = 0,
  RCX = 1,
  RDX = 2,
  ARGUMENTS = [7, 6, 2, 1];
const GS_BASE = 0xc000_0101n;

/** A call to be made again and again, and what it may give. */
interface Call {
  readonly name: string;
  readonly target: bigint;
  readonly args: readonly bigint[];
  readonly results: Set<string>;
  read?(): string;
}

describe.skipIf(!real)("a real kernel patched while it runs", () => {
  let kernel: KernelFile;
  let booted: PatchedKernel;
  let scratch: Scratch;
  let poke: WitnessedTextPoke;
  let cpus: ExecutingCpu[];
  let calls: Map<ExecutingCpu, Call>;
  let probes: Kprobes;
  let insns: (bytes: number) => InsnPages;
  let onStep: (() => void) | undefined;
  /** At a synchronisation, while every place a CPU can be in is followed. */
  let exploring: (() => void) | undefined;
  /** Nobody is in generated code any more: what a grace period waits for. */
  let drain: () => void;
  const inText = (address: bigint): boolean =>
    (address >= booted.image.stext && address < booted.image.etext) ||
    (address >= scratch.start && address < scratch.start + 4096n);
  let hits = 0;
  let finished = 0;
  let traps = 0;
  const symbol = (name: string): bigint => kernel.symbol(name)! + booted.layout.imageOffset;
  const broken = new Map<bigint, Emulation>();

  beforeAll(async () => {
    kernel = await readKernelFile(real!.vmlinuz);
    booted = bootPatched(kernel, { nodes: 3 });
    scratch = new Scratch(booted, booted.view.master);
    // Tables and pages of generated code come from the assembly; the witness fails the test at once.
    poke = new WitnessedTextPoke(booted.poke, booted, {
      fail({ id, detail }) {
        throw new Error(`${id}: ${detail}`);
      },
      step(step) {
        onStep?.();
        if (!step.synchronised) return;
        if (exploring) return exploring();
        settle();
      },
    });
    insns = (bytes) =>
      new InsnPages(
        booted.assembly.get(Vmalloc),
        booted.assembly.get(SetMemory),
        poke,
        booted.layout,
        bytes,
        booted.view.master,
      );
    probes = new Kprobes(poke, insns(64), insns(256), () => drain());
    const pages = new ExecutionPages(booted, 3);
    const ids = booted.machine.nodes.map((node) =>
      booted.machine.cpuIds.find((cpu) => booted.machine.nodeOfCpu(cpu) === node)!,
    );
    cpus = ids.map(
      (id, which) =>
        new ExecutingCpu(pages, id, which, answer, (detail) => {
          throw new Error(detail);
        }),
    );
    for (const cpu of cpus) {
      // The stack protector's canary and per-CPU words: a page of zeros each.
      const area = scratch.take(4096);
      cpu.interpreter.setRegister(RCX, GS_BASE);
      cpu.interpreter.setRegister(RAX, area & 0xffff_ffffn);
      cpu.interpreter.setRegister(RDX, area >> 32n);
      cpu.goTo(scratch.start, cpu.stack);
      cpu.step();
    }
  });
  beforeEach(() => {
    calls = new Map();
    hits = finished = traps = 0;
    onStep = undefined;
    booted.cpus.current = cpus[0]!.id;
  });

  function answer(site: bigint): Emulation | undefined {
    traps++;
    const patch = poke.breakpoint(site);
    if (patch) return patch;
    const probe = probes.hit(site);
    if (!probe) return broken.get(site);
    hits++;
    return probe.kind === "emulate" ? probe.effect : { kind: "jump", to: probe.slot };
  }
  const settle = (): void => {
    for (const cpu of cpus) if (cpu.trapped) cpu.step();
  };
  const stacks = new Map<ExecutingCpu, bigint>();
  const begin = (cpu: ExecutingCpu, call: Call): void => {
    calls.set(cpu, call);
    let stack = stacks.get(cpu);
    if (stack === undefined) stacks.set(cpu, (stack = scratch.take(16_384) + 16_384n - 64n));
    scratch.setQuad(stack - 8n, scratch.start + 0x100n);
    // Nothing of an earlier call is left in a register.
    for (let register = 0; register < 16; register++) if (register !== 4) cpu.interpreter.setRegister(register, 0n);
    call.args.forEach((value, i) => cpu.interpreter.setRegister(ARGUMENTS[i]!, value));
    cpu.interpreter.flags = 2n;
    cpu.goTo(call.target, stack - 8n);
  };
  const returned = (cpu: ExecutingCpu): boolean => cpu.rip === scratch.start + 0x100n;
  const resultOf = (cpu: ExecutingCpu, call: Call): string =>
    call.read?.() ?? cpu.interpreter.register(RAX).toString(16);
  /** Steps a CPU; a call that has returned is judged, and begun anew. */
  const step = (cpu: ExecutingCpu): void => {
    const call = calls.get(cpu)!;
    if (returned(cpu)) {
      const result = resultOf(cpu, call);
      if (!call.results.has(result))
        throw new Error(`${call.name} on CPU ${cpu.id} gave ${result}, not ${[...call.results].join(" or ")}`);
      finished++;
      begin(cpu, call);
      return;
    }
    cpu.step();
  };
  const untilReturned = (cpu: ExecutingCpu): void => {
    for (let left = 200_000; !returned(cpu); left--) {
      if (left === 0) throw new Error(`CPU ${cpu.id} does not return`);
      cpu.step();
    }
  };
  /** What a call gives now, on every node alike; added to what it may give. */
  const learn = (call: Call): string => {
    const results = cpus.map((cpu) => {
      begin(cpu, call);
      untilReturned(cpu);
      return resultOf(cpu, call);
    });
    expect(new Set(results).size).toBe(1);
    call.results.add(results[0]!);
    return results[0]!;
  };
  const call = (name: string, ...args: bigint[]): Call => ({ name, target: symbol(name), args, results: new Set() });

  /** A CPU between two instructions: all that decides what it does next. */
  interface State {
    readonly rip: bigint;
    readonly registers: readonly bigint[];
    readonly flags: bigint;
    readonly stack: readonly bigint[];
  }
  const save = (cpu: ExecutingCpu): State => {
    const registers = Array.from({ length: 16 }, (_, i) => cpu.interpreter.register(i));
    const stack: bigint[] = [];
    // A trapped CPU stands on its frame, which lies below, aligned.
    for (let at = cpu.rsp; at < stacks.get(cpu)!; at += 8n) stack.push(scratch.quad(at));
    return { rip: cpu.rip, registers, flags: cpu.interpreter.flags, stack };
  };
  const restore = (cpu: ExecutingCpu, state: State): void => {
    state.registers.forEach((value, i) => cpu.interpreter.setRegister(i, value));
    cpu.interpreter.flags = state.flags;
    cpu.interpreter.rip = state.rip;
    state.stack.forEach((word, i) => scratch.setQuad(state.registers[4]! + BigInt(8 * i), word));
  };
  const keyOf = (state: State): string => `${state.rip}/${state.registers.join()}/${state.flags}/${state.stack.join()}`;

  /** Every place a CPU can be in while it makes a call over and over and a patch goes on beside it. */
  function everyInterleaving(made: Call, patch: () => void): { states: number; results: Set<string> } {
    const reach = cpus.map(() => new Map<string, State>());
    const results = new Set<string>();
    let states = 0;
    const explore = (): void =>
      cpus.forEach((cpu, i) => {
        if (cpu.id === booted.cpus.current) return;
        const open = [...reach[i]!.values()];
        for (let state = open.pop(); state; state = open.pop()) {
          restore(cpu, state);
          if (returned(cpu)) {
            const result = resultOf(cpu, made);
            results.add(result);
            if (!made.results.has(result))
              throw new Error(`${made.name} on CPU ${cpu.id} gave ${result}, not ${[...made.results].join(" or ")}`);
            begin(cpu, made);
          } else cpu.step();
          states++;
          const then = save(cpu);
          const key = keyOf(then);
          if (reach[i]!.has(key)) continue;
          reach[i]!.set(key, then);
          open.push(then);
        }
      });
    cpus.forEach((cpu, i) => {
      begin(cpu, made);
      const start = save(cpu);
      reach[i]!.set(keyOf(start), start);
    });
    explore();
    // A synchronisation waits for handlers: nobody is in one afterwards.
    const steps = onStep;
    onStep = explore;
    exploring = () =>
      cpus.forEach((cpu, i) => {
        for (const [key, state] of reach[i]!) {
          restore(cpu, state);
          if (cpu.trapped) reach[i]!.delete(key);
        }
      });
    // Whoever was in generated code has run on to where others have been before.
    drain = () =>
      reach.forEach((states) => {
        for (const [key, { rip }] of states) if (!inText(rip)) states.delete(key);
      });
    try {
      patch();
    } finally {
      onStep = steps;
      exploring = undefined;
    }
    explore();
    return { states, results };
  }

  test("every interleaving: a static key read by a function, on and off", () => {
    const made = call("sched_clock_stable");
    const sites = booted.tablesOfSites.jumpLabels
      .filter(
        ({ key }) =>
          key ===
          booted.tablesOfSites.jumpLabels.find(
            ({ address }) => address >= symbol("sched_clock_stable") && address < symbol("sched_clock_stable") + 0x40n,
          )!.key,
      )
      .filter(({ address }) => address >= booted.image.stext && address < booted.image.etext);
    const here = sites.filter(({ address }) => address >= made.target && address < made.target + 0x40n);
    expect(here.length).toBeGreaterThan(0);
    const keys = new JumpLabels(poke, here, () => 0);
    const key = here[0]!.key;
    const off = learn(made);
    keys.increment(key);
    const on = learn(made);
    keys.decrement(key);
    expect(learn(made)).toBe(off);
    expect([off, on].sort()).toEqual(["0", "1"]);
    const up = everyInterleaving(made, () => keys.increment(key));
    const down = everyInterleaving(made, () => keys.decrement(key));
    for (const { results } of [up, down]) expect([...results].sort()).toEqual(["0", "1"]);
    expect(traps).toBeGreaterThan(10);
    console.log(
      `sched_clock_stable and its key: ${up.states + down.states} steps of ${cpus.length - 1} CPUs between stored bytes, ${traps} through the trap`,
    );
  });

  test("every interleaving: a function traced, and live-patched to another", () => {
    const made = call("gcd", 1071n, 462n);
    const site = booted.tablesOfSites.ftrace.find((each) => each >= made.target && each < made.target + 8n)!;
    const ftrace = new Ftrace(poke, insns(64), [site], () => drain());
    expect(learn(made)).toBe((21).toString(16));
    // inc r11; ret: what a tracer may touch at a function's entry.
    const trampoline = ftrace.trampoline(() => Uint8Array.of(0x49, 0xff, 0xc3, 0xc3));
    const up = everyInterleaving(made, () => ftrace.enable([site], trampoline));
    const down = everyInterleaving(made, () => ftrace.disable([site]));
    expect(up.states + down.states).toBeGreaterThan(1000);
    const live = new Livepatch(ftrace);
    // Not lcm, which calls gcd.
    const power = learn(call("int_pow", 1071n, 462n));
    made.results.add(power);
    const patched = everyInterleaving(made, () => live.apply(site, symbol("int_pow")));
    expect(patched.results.size).toBe(2);
    made.results.delete("15");
    expect(learn(made)).toBe(power);
    made.results.add("15");
    expect(everyInterleaving(made, () => live.revert(site)).results.size).toBe(2);
    made.results.delete(power);
    expect(learn(made)).toBe("15");
    console.log(
      `gcd traced and live-patched to int_pow: ${up.states + down.states + patched.states} steps of ${cpus.length - 1} CPUs`,
    );
  });

  test("random schedules: probes, tracing, a static call, on functions that take long", () => {
    const random = seededRandom(7);
    const data = new Uint8Array(200).map(() => random(256));
    const input = scratch.put(data);
    const outs = new Map(cpus.map((cpu) => [cpu, scratch.take(32)]));
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    const digest = createHash("sha256").update(data).digest("hex");
    const clock = call("sched_clock");
    const calling = booted.tablesOfSites.staticCalls.find(
      ({ address }) => address >= clock.target && address < clock.target + 0x20n,
    )!;
    const statics = new StaticCalls(poke, [calling], [], {
      ...booted.state,
      staticCallReturn0: booted.state.staticCallReturn0,
      indirectThunks: 0n,
      defaultReturnThunk: booted.state.defaultReturnThunk,
    });
    for (const target of ["native_sched_clock", "dummy_steal_clock"].filter(
      (name) => kernel.symbol(name) !== undefined,
    )) {
      statics.update(calling.key, symbol(target));
      learn(clock);
    }
    const targets = ["native_sched_clock", "dummy_steal_clock"]
      .filter((name) => kernel.symbol(name) !== undefined)
      .map(symbol);
    const root = call("int_sqrt", 1_000_003n);
    expect(learn(root)).toBe((1000).toString(16));
    const entry = (name: string): bigint =>
      booted.tablesOfSites.ftrace.find((each) => each >= symbol(name) && each < symbol(name) + 8n)!;
    const ftrace = new Ftrace(poke, insns(64), [entry("sha256"), entry("int_sqrt")], () => drain());
    const trampoline = ftrace.trampoline(() => Uint8Array.of(0x49, 0xff, 0xc3, 0xc3));
    const digests = new Map(
      cpus.map((cpu): [ExecutingCpu, Call] => [
        cpu,
        {
          name: "sha256",
          target: symbol("sha256"),
          args: [input, BigInt(data.length), outs.get(cpu)!],
          results: new Set([digest]),
          read: () => hex(scratch.read(outs.get(cpu)!, 32)),
        },
      ]),
    );
    begin(cpus[0]!, root);
    begin(cpus[1]!, digests.get(cpus[1]!)!);
    begin(cpus[2]!, clock);
    onStep = () => {
      for (let steps = 1 + random(20); steps > 0; steps--) {
        const cpu = cpus[random(cpus.length)]!;
        if (cpu.id !== booted.cpus.current) step(cpu);
      }
    };
    // Behind the entry of each function: an instruction that stands by itself.
    const probed = ["int_sqrt", "sha256"].map((name) => entry(name) + 5n);
    const armed = new Set<bigint>();
    let traced = false;
    let aim = 0;
    drain = () => {
      for (const cpu of cpus) while (cpu.trapped || !inText(cpu.rip)) cpu.step();
    };
    const rounds = PROOF ? 150 : 20;
    for (let round = 0; round < rounds; round++) {
      const poker = cpus[random(cpus.length)]!;
      // Whoever patches is not in the middle of a handler.
      if (poker.trapped) poker.step();
      booted.cpus.current = poker.id;
      switch (random(3)) {
        case 0: {
          const address = probed[random(probed.length)]!;
          if (armed.delete(address)) probes.disarm(address);
          else {
            probes.arm(address);
            armed.add(address);
          }
          break;
        }
        case 1: {
          const sites = [entry("sha256"), entry("int_sqrt")];
          if (traced) ftrace.disable(sites);
          else ftrace.enable(sites, trampoline);
          traced = !traced;
          break;
        }
        default:
          statics.update(calling.key, targets[aim++ % targets.length]!);
      }
      for (let steps = 0; steps < 1500; steps++) step(cpus[random(cpus.length)]!);
    }
    drain();
    poke.compare((page) => page >= booted.image.stext && page < booted.image.etext);
    for (const cpu of cpus) untilReturned(cpu);
    console.log(
      `${rounds} patches while CPUs of ${cpus.length} nodes execute int_sqrt, sha256 and sched_clock: ${finished} calls, ${traps} traps, ${hits} probe hits`,
    );
    expect(finished).toBeGreaterThan(rounds);
    expect(hits).toBeGreaterThan(0);
    expect(traps).toBeGreaterThan(hits);
  });
});
