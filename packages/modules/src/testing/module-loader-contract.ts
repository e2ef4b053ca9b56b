/**
 * What every implementation of ModuleLoader must do, as a property over loads and unloads of small modules that use
 * each other's symbols, and with memory refused at any request. Run it with any test library: it throws when a promise
 * is broken.
 *
 * Promised: a loaded module is `coming` and found by its name and by every address of its memories, in the order of
 * loading; on every node its code is executable and not writable, its constants neither, its data writable and not
 * executable; code and constants are the same bytes on every node, data is one for all; once its init function has run
 * it is `live`, init memories are gone, what is constant after init is; symbols link modules, and the used one goes
 * last; a name is loaded once; what goes takes everything with it; a load that is refused, for whatever reason, leaves
 * nothing, one short of memory says so or goes on with fewer copies.
 *
 * Left to the implementation: where memories lie, which are replicated, in which order they are made.
 */
import * as fc from "fast-check";
import { hex, type NodeId, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { keepsPromises, promised, type SuiteEffort } from "@kreplica/hw-x86/testing";
import type { KernelTables, PageAllocator, ReplicaView } from "@kreplica/mm-core/api";
import type { Vmalloc } from "@kreplica/vmalloc/api";
import {
  INIT_TYPES,
  type LoadedModule,
  type MemoryType,
  ModuleError,
  type ModuleHost,
  type ModuleLoader,
} from "../api.js";
import { readModule } from "../module-file.js";
import { type TinyModule, tinyModule } from "../small-module.js";

/** One kernel to be tested, fresh for every run; its host is tinyHost's. */
export interface LoaderSubject {
  readonly loader: ModuleLoader;
  readonly host: ModuleHost;
  readonly vm: Vmalloc;
  readonly tables: KernelTables;
  readonly allocator: PageAllocator;
  readonly view: ReplicaView;
}

/** `user` needs `base`; the others need nobody. */
const FILES: Record<string, TinyModule> = {
  base: { name: "base", exports: ["shared_function"] },
  user: { name: "user", symbols: [{ name: "shared_function" }] },
  other: { name: "other" },
  stays: { name: "stays", permanent: true },
};
const FOREIGN: TinyModule = { name: "foreign", vermagic: "6.6.0 SMP mod_unload modversions " };
/** [writable, executable] of each memory before and after the init function. */
const WANTED: Record<MemoryType, readonly [boolean, boolean]> = {
  text: [false, true],
  rodata: [false, false],
  data: [true, false],
  "ro-after-init": [true, false],
  "init-text": [false, true],
  "init-rodata": [false, false],
  "init-data": [true, false],
};
const step = fc.record({
  op: fc.constantFrom("load", "load", "load", "finish", "unload", "unload", "foreign", "short"),
  name: fc.constantFrom(...Object.keys(FILES)),
  node: fc.nat(3),
  nth: fc.integer({ min: 1, max: 30 }),
});

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function moduleLoaderContract(make: () => LoaderSubject, effort: SuiteEffort = {}): void {
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 14, size: "max" }), (steps) => {
      const kernel = new Loaded(make());
      for (const { op, name, node, nth } of steps) {
        if (op === "load") kernel.load(name, node);
        else if (op === "finish") kernel.finish(name);
        else if (op === "unload") kernel.unload(name);
        else if (op === "foreign")
          kernel.refused(
            () => kernel.subject.loader.load(readModule(tinyModule(FOREIGN)), kernel.home(node)),
            "vermagic",
            "a load that is refused leaves nothing",
          );
        else kernel.short(name, node, nth);
        kernel.look();
      }
      kernel.allGone();
    }),
    { runs: 40, ...effort },
  );
}

class Loaded {
  private readonly modules = new Map<string, LoadedModule>();
  private readonly start: string;
  constructor(readonly subject: LoaderSubject) {
    this.start = this.used();
  }

  home(node: number): NodeId {
    return this.subject.view.holders[node % this.subject.view.holders.length]!;
  }

  /** Areas and frames in use. */
  private used(): string {
    const { vm, allocator, view } = this.subject;
    vm.purge();
    return `${vm.counters.areas} areas, frames by node ${view.holders.map((node) => allocator.usedFrames(node, "module")).join(", ")}`;
  }

  load(name: string, node: number): void {
    const { loader, host } = this.subject;
    const bring = (): LoadedModule => loader.load(readModule(tinyModule(FILES[name])), this.home(node));
    if (this.modules.has(name)) return this.refused(bring, "already-loaded", "a name is loaded once");
    if (name === "user" && !this.modules.has("base"))
      return this.refused(bring, "unknown-symbol", "symbols link modules");
    const module = bring();
    this.modules.set(name, module);
    promised(
      module.state === "coming" && module.name === name,
      "a loaded module is coming",
      `${module.name} is ${module.state}`,
    );
    if (name === "base")
      promised(
        host.symbols.find("shared_function")?.owner === "base",
        "symbols link modules",
        "an exported symbol is not found",
      );
    if (name === "user")
      promised(
        module.uses.has("base") && this.modules.get("base")!.users.has("user"),
        "symbols link modules",
        `user uses ${[...module.uses].join(", ") || "nobody"}`,
      );
  }

  finish(name: string): void {
    const module = this.modules.get(name);
    if (module?.state !== "coming") return;
    this.subject.loader.finishInit(module);
    promised(
      (module.state as string) === "live",
      "once its init function has run a module is live",
      `${name} is ${module.state}`,
    );
    promised(
      INIT_TYPES.every((type) => !module.memories.has(type)),
      "init memories are gone once a module is live",
      `${name} has ${[...module.memories.keys()].join(", ")}`,
    );
  }

  unload(name: string): void {
    const { loader, host } = this.subject;
    const module = this.modules.get(name);
    const go = (): void => {
      loader.unload(name);
    };
    if (!module) return this.refused(go, "not-loaded", "what is not there does not go");
    if (module.users.size > 0) return this.refused(go, "in-use", "the used one goes last");
    if (name === "stays") return this.refused(go, "permanent", "a module without an exit function stays");
    const areas = [...module.memories.values()].map(({ area }) => area);
    go();
    this.modules.delete(name);
    for (const { start } of areas)
      promised(
        this.subject.vm.find(start) === undefined,
        "what goes takes everything with it",
        `an area of ${name} at ${hex(start)} is left`,
      );
    promised(loader.find(name) === undefined, "what goes takes everything with it", `${name} is found`);
    if (name === "base")
      promised(
        host.symbols.find("shared_function") === undefined,
        "what goes takes everything with it",
        "its exported symbol is found",
      );
  }

  refused(act: () => unknown, code: string, promise: string): void {
    const before = this.used();
    let found = "nothing";
    try {
      act();
    } catch (error) {
      found = error instanceof ModuleError ? error.code : String(error);
    }
    promised(found === code, promise, `${found} instead of ${code}`);
    promised(this.used() === before, "a load that is refused leaves nothing", `${this.used()}; it was ${before}`);
  }

  /** A load with the n-th request for a frame refused. */
  short(name: string, node: number, nth: number): void {
    if (this.modules.has(name) || (name === "user" && !this.modules.has("base"))) return;
    const { loader, allocator } = this.subject;
    const before = this.used();
    allocator.refuse(nth);
    try {
      this.modules.set(name, loader.load(readModule(tinyModule(FILES[name])), this.home(node)));
      return;
    } catch (error) {
      promised(
        error instanceof ModuleError && error.code === "no-memory",
        "one short of memory says so",
        String(error),
      );
    } finally {
      allocator.refuse(0);
    }
    promised(this.used() === before, "a load that is refused leaves nothing", `${this.used()}; it was ${before}`);
    promised(loader.find(name) === undefined, "a load that is refused leaves nothing", `${name} is found`);
  }

  look(): void {
    const { loader, tables, vm, view } = this.subject;
    promised(
      loader.loaded.map(({ name }) => name).join() === [...this.modules.keys()].join(),
      "modules are listed in the order of loading",
      loader.loaded.map(({ name }) => name).join(),
    );
    for (const [name, module] of this.modules) {
      promised(loader.find(name) === module, "a loaded module is found by its name", name);
      for (const [type, { area, bytes }] of module.memories) {
        promised(
          loader.containing(area.start) === module && loader.containing(area.start + BigInt(bytes) - 1n) === module,
          "a loaded module is found by every address of its memories",
          `${type} of ${name}`,
        );
        const [writable, executable] =
          type === "ro-after-init" && module.state === "live" ? [false, false] : WANTED[type];
        const seen = view.holders.map((holder) => {
          const leaf = tables.lookup(holder, area.start);
          promised(
            leaf?.writable === writable && leaf.executable === executable,
            "code is executable and not writable, constants neither, data writable and not executable, on every node",
            `${type} of ${name} on node ${holder}: ${leaf ? `${leaf.writable ? "writable" : "read-only"}, ${leaf.executable ? "executable" : "not executable"}` : "a hole"}`,
          );
          const into = new Uint8Array(area.pages * PAGE_BYTES);
          vm.read(holder, area, 0, into);
          return { into, frame: leaf.frame };
        });
        promised(
          seen.every(({ into }) => into.every((byte, index) => byte === seen[0]!.into[index])),
          "code and constants are the same bytes on every node",
          `${type} of ${name}`,
        );
        if (type === "data")
          promised(
            new Set(seen.map(({ frame }) => frame)).size === 1,
            "data is one for all",
            `${name}'s lies in ${seen.map(({ frame }) => frame).join(", ")}`,
          );
      }
    }
  }

  allGone(): void {
    for (const name of ["user", "base", "other"]) if (this.modules.has(name)) this.unload(name);
    if (!this.modules.has("stays"))
      promised(
        this.used() === this.start,
        "what goes takes everything with it",
        `${this.used()}; it was ${this.start}`,
      );
  }
}
