/**
 * Kernel text changed while CPUs of several nodes execute it: static keys, static calls, traced functions, probes, a
 * debugger. Group P: the witness beside text patching looks after each stored byte, this family at what CPUs meet, at
 * probes and at what the boot patched.
 */
import { bytesAt, hexBytes } from "@kreplica/hw-x86/api";
import { countText } from "@kreplica/inputs";
import { staleInstructions } from "@kreplica/invariants";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory";
import {
  DebuggerBreakpoints,
  type Emulation,
  Ftrace,
  InsnPages,
  JumpLabels,
  Kprobes,
  plainPatchState,
  type PokeItem,
  StaticCalls,
  textPatch,
  TextPoke,
  TextReader,
  WitnessedTextPoke,
} from "@kreplica/text-patch";
import { Vmalloc, VmallocError } from "@kreplica/vmalloc";
import type { Subject } from "../subject.js";
import { cpusOfNodes, ExecutingCpu, ExecutionPages } from "../executing-cpu.js";
import type { FamilyAtWork, OperationFamily } from "../family.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import { splitDirectMap } from "./splits.js";
import { patchedAtBoot, patchWhileBooting } from "./boot-patches.js";
import { CALL_KEY, KEY, patchedText, type PatchedText } from "./patched-text.js";

const CHANGES = ["key", "static-call", "trace", "probe", "debugger"] as const;
export type PatchingOperation =
  | { readonly op: "patch"; readonly change: (typeof CHANGES)[number]; readonly nth: number; readonly cpu: number }
  | { readonly op: "execute"; readonly cpu: number; readonly steps: number };

/** CPUs that execute: more would not meet more. */
const EXECUTING = 3;
/** Longest way round the loop with everything switched on, in instructions and traps. */
const ROUND = 200;
/** A way round it with nothing switched on. */
const LOOP_STEPS = 30;

export const patchingFamily: OperationFamily<PatchingOperation> = {
  name: "patching",
  rare: true,
  kinds: {
    patch: { weight: 4, fields: { change: CHANGES, nth: "number", cpu: "number" }, alone: true },
    execute: { weight: 4, fields: { cpu: "number", steps: "number" }, alone: true },
  },
  draw: (op, drawing) =>
    op === "patch"
      ? { op, change: drawing.oneOf(CHANGES), nth: drawing.random(4), cpu: drawing.cpu() }
      : { op, cpu: drawing.cpu(), steps: 1 + drawing.random(12) },
  describe(o) {
    if (o.op === "execute") return `CPU ${o.cpu} executes ${countText(o.steps, "instruction")} of text that is patched`;
    const what = {
      key: "a static key is switched",
      "static-call": `a static call is aimed at function ${o.nth % 3}`,
      trace: "tracing of two functions is switched",
      probe: `a probe is armed or disarmed (${o.nth % 2})`,
      debugger: "a debugger's breakpoint is set or removed",
    };
    return `${what[o.change]} by CPU ${o.cpu}, while others execute`;
  },
  plugins: [...AREA_PLUGINS, textPatch],
  beforeBoot: patchWhileBooting,
  start: (system) => new PatchingAtWork(system),
};

class PatchingAtWork implements FamilyAtWork<PatchingOperation> {
  private readonly text: PatchedText;
  private readonly poke: WitnessedTextPoke;
  private readonly cpus: readonly ExecutingCpu[];
  private readonly keys: JumpLabels;
  private readonly calls: StaticCalls;
  private readonly tracer: Ftrace;
  private readonly probes: Kprobes;
  private readonly debuggers: DebuggerBreakpoints;
  private readonly pages: InsnPages;
  private readonly vmalloc: Vmalloc;
  private readonly armed = new Set<bigint>();
  private readonly broken = new Set<bigint>();
  private aimed: bigint;
  private trampoline: bigint | undefined;
  private pending = new Map<bigint, Uint8Array>();
  private hits = 0;
  /** Whether the run has done anything here. */
  private used = false;
  private turn = 0;
  private begun = false;
  private phase = "";
  private batches = -1;
  /** A CPU that stands still at a site, for so many steps of the patch. */
  private stalled: { readonly cpu: ExecutingCpu; left: number } | undefined;

  constructor(private readonly system: Subject) {
    const { parts } = system;
    const { assembly, layout } = parts;
    this.text = patchedText(parts.image, layout.imageOffset);
    this.poke = new WitnessedTextPoke(assembly.get(TextPoke), parts, {
      fail: ({ id, detail }) => system.fail(id, detail),
      begin: (items: readonly PokeItem[]) => {
        this.pending = new Map(items.map(({ address, bytes }) => [address, bytes]));
        if (this.begun) this.batches++;
        this.stall("before");
      },
      step: (step) => {
        if (step.synchronised) this.serialised();
        this.goOn();
        if (step.phase === "tail" && this.phase !== "tail") this.stall("behind");
        this.phase = step.phase;
        this.others(1 + (this.turn % 3));
        if (step.synchronised) this.settle();
      },
    });
    this.vmalloc = assembly.get(Vmalloc);
    splitDirectMap(system);
    const insns = (bytes: number): InsnPages =>
      new InsnPages(this.vmalloc, assembly.get(SetMemory), this.poke, layout, bytes, parts.view.master);
    this.pages = insns(64);
    this.probes = new Kprobes(this.poke, insns(32), insns(128), () => {
      this.leaveGenerated();
    });
    this.keys = new JumpLabels(this.poke, this.text.jumpLabels, () => 0);
    this.calls = new StaticCalls(this.poke, this.text.staticCalls, [], plainPatchState);
    this.tracer = new Ftrace(this.poke, this.pages, this.text.ftrace, () => {
      this.leaveGenerated();
    });
    this.debuggers = new DebuggerBreakpoints(this.poke);
    this.aimed = this.text.leaf;
    for (const { id, detail } of patchedAtBoot(parts, this.text)) system.fail(id, detail);
    const chosen = cpusOfNodes(parts.machine, EXECUTING);
    const execution = new ExecutionPages(parts, chosen.length);
    this.cpus = chosen.map(
      (id, which) =>
        new ExecutingCpu(
          execution,
          id,
          which,
          (site) => this.answer(site),
          (detail) => system.fail(/exception/.test(detail) ? "E11" : "P4", detail),
        ),
    );
    for (const cpu of this.cpus) cpu.goTo(this.text.loop, cpu.stack);
    // Tables for pages of generated code are there before the first run.
    this.perform({ op: "patch", change: "probe", nth: 0, cpu: 0 });
    this.undo();
    // What comes of that is looked for when operations do it: CPUs begin with nothing fetched.
    for (const cpu of this.cpus) cpu.fetched.serialise();
    this.begun = true;
  }

  perform(o: PatchingOperation): void {
    const { watch, parts } = this.system;
    const { kernelStores } = watch;
    this.used = true;
    const before = parts.cpus.current;
    parts.cpus.current = this.system.cpu(o.cpu);
    try {
      if (o.op === "execute") this.others(o.steps);
      else this.patch(o.change, o.nth);
    } catch (error) {
      // No page for a slot: nothing was changed.
      if (!(error instanceof VmallocError || error instanceof SetMemoryError)) throw error;
    } finally {
      parts.cpus.current = before;
      this.pending.clear();
      this.stalled = undefined;
      // The poking alias and pages of generated code: both are looked at here.
      watch.kernelStores = kernelStores;
    }
  }

  compare(): void {
    if (this.used) this.poke.compare((page) => this.inText(page));
  }

  afterStep(): void {
    if (this.used) this.serialised();
  }

  undo(): void {
    if (!this.used) return;
    this.used = false;
    this.settle();
    for (const cpu of this.cpus) {
      // One that is off line comes back through a reset.
      if (!this.system.parts.cpus.online.has(cpu.id)) cpu.fetched.serialise();
      let left = ROUND;
      while (cpu.rip !== this.text.loop && left-- > 0) cpu.step();
      if (cpu.rip !== this.text.loop || cpu.rsp !== cpu.stack)
        this.system.fail(
          "P4",
          `CPU ${cpu.id} does not come round to the start of its loop, but is at 0x${cpu.rip.toString(16)} with ${cpu.stack - cpu.rsp} bytes on its stack`,
        );
    }
    for (const address of [...this.armed]) this.disarm(address);
    for (const address of [...this.broken]) this.toggleBreakpoint(address);
    if (this.keys.enabled(KEY)) this.keys.decrement(KEY);
    if (this.aimed !== this.text.leaf) this.aim(this.text.leaf);
    if (this.trampoline !== undefined) this.trace();
    this.vmalloc.purge();
  }

  private patch(change: (typeof CHANGES)[number], nth: number): void {
    const { text } = this;
    switch (change) {
      case "key":
        return this.keys.enabled(KEY) ? this.keys.decrement(KEY) : this.keys.increment(KEY);
      case "static-call":
        return this.aim([text.leaf, text.other, 0n][nth % 3]!);
      case "trace":
        return this.trace();
      case "probe": {
        const address = text.probes[nth % text.probes.length]!;
        return this.armed.has(address) ? this.disarm(address) : this.arm(address);
      }
      case "debugger":
        return this.toggleBreakpoint(text.breakpoints[nth % text.breakpoints.length]!);
    }
  }

  private aim(target: bigint): void {
    this.calls.update(CALL_KEY, target);
    this.aimed = target;
  }

  private trace(): void {
    if (this.trampoline === undefined) {
      // inc rcx; ret
      const trampoline = this.tracer.trampoline(() => Uint8Array.of(0x48, 0xff, 0xc1, 0xc3));
      this.executableEverywhere(trampoline);
      this.tracer.enable(this.text.ftrace, trampoline);
      this.trampoline = trampoline;
      return;
    }
    this.tracer.disable(this.text.ftrace);
    this.tracer.dropTrampoline(this.trampoline);
    this.trampoline = undefined;
  }

  /** B6 for generated code: read-only and executable, on every root. */
  private executableEverywhere(address: bigint): void {
    const { view, tables } = this.system.parts;
    for (const node of view.holders) {
      const leaf = tables.lookup(node, address);
      if (!leaf?.executable || leaf.writable)
        this.system.fail(
          "B6",
          `generated code at 0x${address.toString(16)} is ${leaf?.writable ? "writable" : "not executable"} on node ${node}`,
        );
    }
  }

  /** P10, first half: armed by one CPU, hit by CPUs of every node. */
  private arm(address: bigint): void {
    this.probes.arm(address);
    this.armed.add(address);
    const action = this.probes.hit(address);
    if (action && action.kind !== "emulate") this.executableEverywhere(action.slot);
    for (const cpu of this.cpus) {
      if (!this.runs(cpu)) continue;
      const { rip, rsp } = cpu;
      const hits = this.hits;
      cpu.goTo(address, rsp);
      let left = 6;
      for (cpu.step(); cpu.rip !== address + 3n && left-- > 0;) cpu.step();
      if (this.hits !== hits + 1 || cpu.rip !== address + 3n)
        this.system.fail(
          "P10",
          `CPU ${cpu.id} ran over the probe at 0x${address.toString(16)}: ${this.hits - hits} hits, it is at 0x${cpu.rip.toString(16)}`,
        );
      cpu.goTo(rip, rsp);
    }
  }

  /** P10, second half: the original is back in every copy. */
  private disarm(address: bigint): void {
    this.probes.disarm(address);
    this.armed.delete(address);
    const reader = new TextReader(this.system.parts);
    for (const node of this.system.parts.view.holders) {
      const found = reader.bytes(node, bytesAt(address, 1))[0]!;
      if (found !== 0x48)
        this.system.fail(
          "P10",
          `node ${node} has 0x${found.toString(16)} at 0x${address.toString(16)} after the probe was disarmed`,
        );
    }
  }

  private toggleBreakpoint(address: bigint): void {
    // All CPUs stand still, none of them in a handler.
    this.settle();
    if (this.broken.delete(address)) this.debuggers.remove(address);
    else {
      this.debuggers.set(address);
      this.broken.add(address);
    }
    // They stood still in an NMI, and come back from it by IRET.
    for (const cpu of this.cpus) cpu.fetched.serialise();
  }

  /** What the kernel's handler does about a breakpoint. */
  private answer(site: bigint): Emulation | undefined {
    const patch = this.poke.breakpoint(site);
    if (patch) return patch;
    const probe = this.probes.hit(site);
    if (probe) {
      this.hits++;
      if (probe.kind === "emulate") return probe.effect;
      return { kind: "jump", to: probe.slot };
    }
    // The debugger steps over a no-op of two bytes.
    if (this.broken.has(site)) return { kind: "jump", to: site + 2n };
    return undefined;
  }

  /**
   * One CPU has come as far as a site, and fetched what lies before it and with it, or has gone over the last one's
   * INT3 and fetched what lies behind it and with its tail; there it stands, as one whose hypervisor runs another,
   * until some later step of the patch. Of three patches one is without, and each CPU has its turn.
   */
  private stall(where: "before" | "behind"): void {
    if (!this.begun || ["", "before", "behind"][this.batches % 3] !== where) return;
    const cpu = this.cpus[Math.floor(this.batches / 3) % this.cpus.length]!;
    if (!this.runs(cpu)) return;
    const [last, bytes] = [...this.pending].at(-1)!;
    const there = (): boolean =>
      where === "before" ? this.pending.has(cpu.rip) : cpu.rip === last + BigInt(bytes.length);
    for (let left = ROUND; !there() && left > 0; left--) this.go(cpu);
    if (where === "behind") this.go(cpu);
    // One that stands behind goes on when first bytes are written: before that nothing new is there to meet.
    const stores = [...this.pending.values()].reduce((sum, each) => sum + each.length, 0);
    const left =
      where === "behind" ? stores * this.system.parts.view.holders.length - 1 : 1 + ((5 * this.batches) % 23);
    this.stalled = { cpu, left };
  }

  /** Counts down, and has the CPU that stood still go round the loop once. */
  private goOn(): void {
    const { stalled } = this;
    if (!stalled || --stalled.left > 0) return;
    this.stalled = undefined;
    for (let left = LOOP_STEPS; left > 0; left--) this.go(stalled.cpu);
  }

  private runs(cpu: ExecutingCpu): boolean {
    if (this.stalled?.cpu === cpu) return false;
    return this.system.parts.cpus.online.has(cpu.id) && cpu.id !== this.system.parts.cpus.current;
  }

  /** CPUs that do not patch execute, in turn. */
  private others(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const cpu = this.cpus[this.turn++ % this.cpus.length]!;
      if (this.runs(cpu)) this.go(cpu);
    }
  }

  private go(cpu: ExecutingCpu): void {
    this.meets(cpu);
    cpu.step();
  }

  /** P4: what a CPU is about to execute at a site is the old code, the trap or the new code. */
  private meets(cpu: ExecutingCpu): void {
    const next = this.pending.get(cpu.rip);
    if (!next) return;
    const now = cpu.bytes(bytesAt(cpu.rip, next.length));
    const old = this.poke.single.bytes(bytesAt(cpu.rip, next.length));
    const is = (bytes: Uint8Array): boolean => now.every((byte, i) => byte === bytes[i]);
    if (now[0] !== 0xcc && !is(next) && !is(old))
      this.system.fail(
        "P4",
        `CPU ${cpu.id} executes ${hexBytes(now)} at 0x${cpu.rip.toString(16)}, neither ${hexBytes(old)} nor ${hexBytes(next)}`,
      );
  }

  /** P15, of CPUs that execute: the one that patches serialises as it leaves the poking tables. */
  private serialised(): void {
    if (!this.begun) return;
    const { parts } = this.system;
    for (const { id } of this.cpus) {
      if (!parts.cpus.online.has(id) || id === parts.cpus.current) continue;
      for (const stale of staleInstructions(parts, id, (address) => this.inText(address)))
        this.system.fail("P15", stale);
    }
  }

  /** A synchronisation waits until every CPU has left its handler. */
  private settle(): void {
    for (const cpu of this.cpus) if (cpu.trapped) cpu.step();
  }

  /** What a grace period waits for: nobody is in generated code. */
  private leaveGenerated(): void {
    for (const cpu of this.cpus) while (cpu.trapped || !this.inText(cpu.rip)) cpu.step();
  }

  private inText(address: bigint): boolean {
    return address >= this.text.loop - 0x1000n && address < this.text.other + 0x1000n;
  }
}
