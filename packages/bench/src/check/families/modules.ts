/** Modules: loaded, brought to life, run on CPUs, unloaded; E3 to E6, E8 and strict permissions after every step on them. */
import { checkLoaded, type LoadedModule, type ModuleFile, ModuleError, type ModuleFinding, ModuleLoader, readModule, tinyModule, watchFormation } from "@kreplica/modules";
import { PgdPlan } from "@kreplica/mm-core";
import { checkArea, checkPageCounts, Vmalloc } from "@kreplica/vmalloc";
import type { Subject } from "../subject.js";
import type { Drawing } from "../drawing.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../family.js";
import { MODULE_PLUGINS } from "./area-plugins.js";
import type { RefusalOperation } from "./refusal.js";
import { fullCheckNowAndThen, quietly, splitDirectMap } from "./splits.js";

export type ModuleOperation =
  | { readonly op: "modload"; readonly module: number; readonly node: number }
  | { readonly op: "modlive" | "modunload"; readonly module: number }
  | { readonly op: "modcall"; readonly module: number; readonly cpu: number };

/** The second uses the first. */
const FILES: readonly ModuleFile[] = [tinyModule({ name: "a", exports: ["from_a"] }), tinyModule({ name: "b", symbols: [{ name: "from_a" }] }), tinyModule({ name: "c" })].map((bytes) => readModule(bytes));
/** Refusals any order of operations may meet. */
const EXPECTED = new Set(["already-loaded", "unknown-symbol", "no-memory", "not-loaded", "in-use"]);

export const moduleFamily: OperationFamily<ModuleOperation> = {
  name: "modules",
  kinds: {
    modload: { weight: 1, fields: { module: "number", node: "number" } },
    modlive: { weight: 1, fields: { module: "number" } },
    modunload: { weight: 1, fields: { module: "number" } },
    modcall: { weight: 1, fields: { module: "number", cpu: "number" } },
  },
  draw(op, drawing) {
    const module = drawing.random(FILES.length);
    switch (op) {
      case "modload": return { op, module, node: drawing.random(8) };
      case "modlive": case "modunload": return { op, module };
      case "modcall": return { op, module, cpu: drawing.cpu() };
    }
  },
  describe(o) {
    switch (o.op) {
      case "modload": return `module ${o.module} is loaded on node ${o.node}`;
      case "modlive": return `module ${o.module}'s init has run`;
      case "modunload": return `module ${o.module} is unloaded`;
      case "modcall": return `CPU ${o.cpu} runs module ${o.module}`;
    }
  },
  rare: true,
  scenes: [refusedScene],
  plugins: MODULE_PLUGINS,
  start: (system) => new ModulesAtWork(system),
};

/** Memory gives out anywhere in the life of a module: a load asks for up to about forty frames. */
function refusedScene(drawing: Drawing): Operation[] {
  const module = drawing.random(FILES.length);
  const refuse = (): RefusalOperation => ({ op: "refuse", nth: 1 + drawing.random(40) });
  const steps: (ModuleOperation | RefusalOperation)[] = [
    { op: "modunload", module }, refuse(), { op: "modload", module, node: drawing.random(8) }, refuse(), { op: "modlive", module },
    { op: "modcall", module, cpu: drawing.cpu() }, { op: "modunload", module }, { op: "refuse", nth: 0 },
  ];
  return steps;
}

class ModulesAtWork implements FamilyAtWork<ModuleOperation> {
  private readonly loader: ModuleLoader;
  private readonly vmalloc: Vmalloc;
  private readonly order: readonly ModuleFinding[];
  private readonly ownRootsOnly: boolean;

  constructor(private readonly system: Subject) {
    const { assembly } = system.parts;
    this.loader = assembly.get(ModuleLoader);
    this.vmalloc = assembly.get(Vmalloc);
    this.ownRootsOnly = assembly.get(PgdPlan).initial(system.holders, system.holders[0]!).length === system.holders.length;
    this.order = watchFormation({ ...system.parts, vmalloc: this.vmalloc });
    splitDirectMap(system);
    // The first table of the window is there before the first run; all modules fit under it.
    const { layout } = system.parts;
    const area = this.vmalloc.allocate({ bytes: 4096, low: layout.modulesStart, high: layout.modulesEnd, placement: { node: system.holders[0]! }, purpose: "module" });
    this.vmalloc.free(area);
    this.vmalloc.purge();
  }

  perform(o: ModuleOperation): void { quietly(this.system, () => { this.do(o); }); }

  compare(): void {
    this.check();
    fullCheckNowAndThen(this.system);
  }

  undo(): void {
    quietly(this.system, () => {
      for (const file of [...FILES].reverse()) if (this.loader.find(file.name)) this.loader.unload(file.name);
      this.vmalloc.purge();
    });
  }

  private do(o: ModuleOperation): void {
    const file = FILES[o.module % FILES.length]!;
    const module = this.loader.find(file.name);
    try {
      switch (o.op) {
        case "modload": this.loader.load(file, this.system.holders[o.node % this.system.holders.length]!); break;
        case "modlive": if (module?.state === "coming") this.loader.finishInit(module); break;
        case "modunload": this.loader.unload(file.name); break;
        case "modcall": if (module) this.call(module, o.cpu); return;
      }
    } catch (error) {
      if (!(error instanceof ModuleError) || !EXPECTED.has(error.code)) throw error;
    }
    this.check();
  }

  /** A CPU fetches the module's code, from its own node's copy. */
  private call(module: LoadedModule, number: number): void {
    const { system } = this;
    const { machine, view } = system.parts;
    const cpu = system.cpu(number);
    const core = machine.cpu(cpu);
    const { area } = module.memories.get("text")!;
    const outcome = core.fetch(Number(area.start & 0xffff_ffffn), Number(area.start >> 32n));
    if (outcome !== 0) system.fail("C1", `CPU ${cpu} cannot run module ${module.name}`);
    const wanted = (area.copies.get(view.nearest(machine.nodeOfCpu(cpu))) ?? area.frames)[0];
    if (this.ownRootsOnly && core.lastFrame !== wanted) system.fail("E2", `CPU ${cpu} of node ${machine.nodeOfCpu(cpu)} runs module ${module.name} from frame ${core.lastFrame}, not ${wanted}`);
  }

  private check(): void {
    const { parts } = this.system;
    const subject = { ...parts, loader: this.loader, vmalloc: this.vmalloc, memory: parts.machine.memory };
    const fail = (found: { readonly id: string; readonly detail: string } | undefined): void => { if (found) this.system.fail(found.id, found.detail); };
    fail(this.order[0]);
    for (const module of this.loader.loaded) {
      for (const { area } of module.memories.values()) fail(checkArea(subject, area)[0]);
      fail(checkLoaded(subject, module)[0]);
    }
    fail(checkPageCounts(subject)[0]);
  }
}
