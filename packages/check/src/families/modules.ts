/**
 * Modules: loaded, brought to life, run on CPUs, unloaded; E3 to E6, E8 and strict permissions after every step on
 * them.
 */
import { bytesAt, PAGE } from "@kreplica/hw-x86/api";
import type { NodeId } from "@kreplica/hw-x86";
import type { Finding } from "@kreplica/invariants";
import {
  checkLoaded,
  type LoadedModule,
  type ModuleFile,
  ModuleError,
  ModuleLoader,
  readModule,
  tinyModule,
  watchFormation,
} from "@kreplica/modules";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory";
import { InsnPages, Kprobes, nops, TextPoke } from "@kreplica/text-patch";
import { checkArea, checkPageCounts, Vmalloc, VmallocError } from "@kreplica/vmalloc";
import type { Subject } from "../subject.js";
import type { Drawing } from "../drawing.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../family.js";
import { MODULE_PLUGINS } from "./area-plugins.js";
import type { RefusalOperation } from "./refusal.js";
import { fetchFromArea, ownRootsOnly } from "./own-copy.js";
import { firstWindowTable, fullCheckNowAndThen, quietly, splitDirectMap } from "./splits.js";

export type ModuleOperation =
  | { readonly op: "modload"; readonly module: number; readonly node: number }
  | { readonly op: "modlive" | "modunload" | "modprobe"; readonly module: number }
  | { readonly op: "modpatch"; readonly module: number; readonly step: number }
  | { readonly op: "modcall"; readonly module: number; readonly cpu: number };

/** The second uses the first. */
const FILES: readonly ModuleFile[] = [
  tinyModule({ name: "a", exports: ["from_a"] }),
  tinyModule({ name: "b", symbols: [{ name: "from_a" }] }),
  tinyModule({ name: "c" }),
].map((bytes) => readModule(bytes));
/** Refusals any order of operations may meet. */
const EXPECTED = new Set(["already-loaded", "unknown-symbol", "no-memory", "not-loaded", "in-use", "text-in-use"]);

export const moduleFamily: OperationFamily<ModuleOperation> = {
  name: "modules",
  kinds: {
    modload: { weight: 1, fields: { module: "number", node: "number" } },
    modlive: { weight: 1, fields: { module: "number" } },
    modunload: { weight: 1, fields: { module: "number" } },
    modcall: { weight: 1, fields: { module: "number", cpu: "number" } },
    modprobe: { weight: 1, fields: { module: "number" } },
    modpatch: { weight: 1, fields: { module: "number", step: "number" } },
  },
  draw(op, drawing) {
    const module = drawing.random(FILES.length);
    switch (op) {
      case "modload":
        return { op, module, node: drawing.random(8) };
      case "modlive":
      case "modunload":
      case "modprobe":
        return { op, module };
      case "modpatch":
        return { op, module, step: drawing.random(16) };
      case "modcall":
        return { op, module, cpu: drawing.cpu() };
    }
  },
  describe(o) {
    const { name } = FILES[o.module % FILES.length]!;
    switch (o.op) {
      case "modload":
        return `module ${name} is loaded on node ${o.node}`;
      case "modlive":
        return `module ${name}'s init has run`;
      case "modunload":
        return `module ${name} is unloaded`;
      case "modprobe":
        return `a probe is armed or disarmed in module ${name}`;
      case "modpatch":
        return `module ${name}'s text is patched, and in step ${o.step} somebody wants to unload it`;
      case "modcall":
        return `CPU ${o.cpu} runs module ${name}`;
    }
  },
  rare: true,
  scenes: [refusedScene, probedScene],
  plugins: MODULE_PLUGINS,
  start: (system) => new ModulesAtWork(system),
};

/** Memory gives out anywhere in the life of a module: a load asks for up to about forty frames. */
function refusedScene(drawing: Drawing): Operation[] {
  const module = drawing.random(FILES.length);
  const refuse = (): RefusalOperation => ({ op: "refuse", nth: 1 + drawing.random(40) });
  const steps: (ModuleOperation | RefusalOperation)[] = [
    { op: "modunload", module },
    refuse(),
    { op: "modload", module, node: drawing.random(8) },
    refuse(),
    { op: "modlive", module },
    { op: "modcall", module, cpu: drawing.cpu() },
    { op: "modunload", module },
    { op: "refuse", nth: 0 },
  ];
  return steps;
}

/** A probe sits in a module that is unloaded; another takes its place, and somebody takes the probe away. */
function probedScene(drawing: Drawing): ModuleOperation[] {
  const module = drawing.random(FILES.length);
  const node = drawing.random(8);
  return [
    { op: "modload", module, node },
    { op: "modprobe", module },
    { op: "modpatch", module, step: drawing.random(16) },
    { op: "modunload", module },
    { op: "modload", module: drawing.random(FILES.length), node },
    { op: "modprobe", module },
  ];
}

class ModulesAtWork implements FamilyAtWork<ModuleOperation> {
  private readonly loader: ModuleLoader;
  private readonly vmalloc: Vmalloc;
  private readonly order: readonly Finding[];
  private readonly ownRootsOnly: boolean;
  private readonly poke: TextPoke;
  private readonly probes: Kprobes;
  /** Where probes are, with what they stand on. */
  private readonly armed = new Map<bigint, Uint8Array>();

  constructor(private readonly system: Subject) {
    const { assembly } = system.parts;
    this.loader = assembly.get(ModuleLoader);
    this.vmalloc = assembly.get(Vmalloc);
    this.ownRootsOnly = ownRootsOnly(system);
    this.poke = assembly.get(TextPoke);
    const slots = (bytes: number): InsnPages =>
      new InsnPages(
        this.vmalloc,
        assembly.get(SetMemory),
        this.poke,
        system.parts.layout,
        bytes,
        system.parts.view.master,
      );
    this.probes = new Kprobes(this.poke, slots(32), slots(128));
    this.order = watchFormation({ ...system.parts, vmalloc: this.vmalloc });
    splitDirectMap(system);
    firstWindowTable(system, this.vmalloc);
  }

  told(o: ModuleOperation): Readonly<Record<string, number>> {
    return "node" in o ? { node: this.holder(o.node) } : {};
  }

  perform(o: ModuleOperation): void {
    quietly(this.system, () => {
      this.do(o);
    });
  }

  compare(): void {
    this.check();
    fullCheckNowAndThen(this.system);
  }

  undo(): void {
    quietly(this.system, () => {
      // What is in modules still goes with them.
      this.armed.clear();
      for (const file of [...FILES].reverse()) if (this.loader.find(file.name)) this.loader.unload(file.name);
      this.vmalloc.purge();
    });
  }

  private holder(number: number): NodeId {
    return this.system.holders[number % this.system.holders.length]!;
  }

  private do(o: ModuleOperation): void {
    const file = FILES[o.module % FILES.length]!;
    const module = this.loader.find(file.name);
    try {
      switch (o.op) {
        case "modload":
          this.loader.load(file, this.holder(o.node));
          break;
        case "modlive":
          if (module?.state === "coming") this.loader.finishInit(module);
          break;
        case "modunload":
          this.unload(file.name, module);
          break;
        case "modprobe":
          if (module) this.probe(module);
          break;
        case "modpatch":
          if (module) this.unloadWhilePatched(module, o.step);
          break;
        case "modcall":
          if (module) this.call(module, o.cpu);
          return;
      }
    } catch (error) {
      const noMemory = error instanceof VmallocError || error instanceof SetMemoryError;
      if (!noMemory && (!(error instanceof ModuleError) || !EXPECTED.has(error.code))) throw error;
    }
    this.check();
  }

  /** P14: nobody keeps an address of it afterwards. */
  private unload(name: string, module: LoadedModule | undefined): void {
    const text = module?.memories.get("text")?.area;
    this.loader.unload(name);
    if (!text) return;
    for (const address of [...this.armed.keys()])
      if (address >= text.start && address < text.start + BigInt(text.pages) * PAGE) this.armed.delete(address);
    this.system.checkRules(["P14"]);
  }

  private probe(module: LoadedModule): void {
    const { start } = module.memories.get("text")!.area;
    const original = this.armed.get(start);
    if (!original) {
      const bytes = this.poke.read(bytesAt(start, 16));
      this.probes.arm(start);
      this.armed.set(start, bytes);
      return;
    }
    this.armed.delete(start);
    this.probes.disarm(start);
    this.poke.verify(start, original);
  }

  /** P14 for a patch under way: the module stays until it is done. The patch writes what is there. */
  private unloadWhilePatched(module: LoadedModule, step: number): void {
    const { start } = module.memories.get("text")!.area;
    const bytes = this.poke.read(bytesAt(start, 5));
    let nth = 0;
    for (const _ of this.poke.batchSteps([{ address: start, bytes, emulate: nops(5) }])) {
      if (nth++ !== step || this.poke.underWay.length === 0) continue;
      let refusal: string | undefined;
      try {
        this.loader.unload(module.name);
      } catch (error) {
        refusal = error instanceof ModuleError ? error.code : undefined;
      }
      if (refusal === undefined || !EXPECTED.has(refusal))
        this.system.fail(
          "P14",
          `module ${module.name} was unloaded while 0x${start.toString(16)} in its text is being patched`,
        );
    }
  }

  /** A CPU fetches the module's code, from its own node's copy. */
  private call({ name, memories }: LoadedModule, cpu: number): void {
    const { area } = memories.get("text")!;
    const how = { own: this.ownRootsOnly, rule: "C1", can: `run module ${name}`, does: `runs module ${name}` };
    fetchFromArea(this.system, cpu, area, area.start, how);
  }

  private check(): void {
    const { parts } = this.system;
    const subject = { ...parts, loader: this.loader, vmalloc: this.vmalloc, memory: parts.machine.memory };
    const fail = (found: Finding | undefined): void => {
      if (found) this.system.fail(found.id, found.detail);
    };
    fail(this.order[0]);
    for (const module of this.loader.loaded) {
      for (const { area } of module.memories.values()) fail(checkArea(subject, area)[0]);
      fail(checkLoaded(subject, module)[0]);
    }
    fail(checkPageCounts(subject)[0]);
  }
}
