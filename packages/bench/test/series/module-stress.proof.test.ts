/**
 * Modules come, run on, are patched and go in any order, with memory refused anywhere, on a booted kernel with real
 * tables: after every step E1 to E8 and strict permissions hold on every node, and at the end everything is back (E9).
 * Small made-up modules, no package needed.
 */
import { type Booted, smallImage, smallMachine } from "@kreplica/kernel";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bindValue, plugin } from "@kreplica/di";
import {
  checkModules,
  ModuleError,
  ModuleHost,
  ModuleLoader,
  modulePolicy,
  modulesWith,
  noPatching,
  placements,
  readModule,
  replications,
  type ModuleFile,
} from "@kreplica/modules";
import { tinyHost, tinyModule } from "@kreplica/modules/testing";
import { numaReplication } from "@kreplica/numa-replication";
import { setMemory } from "@kreplica/set-memory";
import { TextPoke, textPatch } from "@kreplica/text-patch";
import { defectOf, type SeriesDefect } from "@kreplica/series-as-posted";
import { checkAreas, Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { boot } from "../../src/boot.js";

/**
 * Four modules: the second uses the first, the fourth the third; the third is larger than a page of tables would show.
 */
const FILES: readonly ModuleFile[] = [
  tinyModule({ name: "a", exports: ["from_a"] }),
  tinyModule({ name: "b", symbols: [{ name: "from_a" }] }),
  tinyModule({
    name: "c",
    exports: ["from_c"],
    sections: [{ name: ".text.more", flags: 6, bytes: new Uint8Array(60_000).fill(0x90) }],
  }),
  tinyModule({ name: "d", symbols: [{ name: "from_c" }] }),
].map((bytes) => readModule(bytes));

interface Stressed extends Booted {
  readonly loader: ModuleLoader;
  readonly vm: Vmalloc;
  readonly poke: TextPoke;
}

function kernelWith(
  nodes: number,
  defects: readonly SeriesDefect[] = [],
  place: Parameters<typeof modulePolicy>[1] = placements.local,
): Stressed {
  const plugins = [
    setMemory,
    vmalloc,
    modulesWith(modulePolicy("stress", place, replications.all)),
    noPatching,
    textPatch,
    plugin("module host", [bindValue(ModuleHost, tinyHost())]),
  ];
  const booted = boot({
    spec: smallMachine(nodes),
    image: smallImage("patch-06"),
    defects,
    policy: numaReplication,
    plugins,
  });
  return {
    ...booted,
    loader: booted.assembly.get(ModuleLoader),
    vm: booted.assembly.get(Vmalloc),
    poke: booted.assembly.get(TextPoke),
  };
}

const findings = (kernel: Stressed): string[] =>
  [
    ...checkModules({ ...kernel, vmalloc: kernel.vm }),
    ...checkAreas({ ...kernel, memory: kernel.machine.memory, vmalloc: kernel.vm }),
  ].map(({ id, detail }) => `${id}: ${detail}`);
const moduleFrames = (kernel: Stressed): number[] =>
  kernel.machine.nodes.map((node) => kernel.allocator.usedFrames(node, "module"));
const tableFrames = (kernel: Stressed): number =>
  kernel.machine.nodes.reduce((sum, node) => sum + kernel.allocator.usedFrames(node, "page-table"), 0);

const step = fc.record({
  op: fc.constantFrom("load", "load", "load", "live", "unload", "unload", "poke"),
  which: fc.nat(3),
  node: fc.nat(7),
  refuse: fc.option(fc.record({ nth: fc.integer({ min: 1, max: 40 }), repeat: fc.boolean() }), { freq: 3 }),
});

function perform(
  kernel: Stressed,
  {
    op,
    which,
    node,
    refuse,
  }: { op: string; which: number; node: number; refuse: { nth: number; repeat: boolean } | null },
): void {
  const file = FILES[which]!;
  const module = kernel.loader.find(file.name);
  if (refuse) kernel.allocator.refuse(refuse.nth, refuse.repeat);
  try {
    if (op === "load") kernel.loader.load(file, kernel.machine.nodes[node % kernel.machine.nodes.length]!);
    else if (op === "live" && module?.state === "coming") kernel.loader.finishInit(module);
    else if (op === "unload") kernel.loader.unload(file.name);
    else if (op === "poke" && module && !refuse) {
      const at = module.memories.get("text")!.area.start + 200n;
      kernel.poke.poke(at, Uint8Array.of(0xcc));
      kernel.poke.verify(at, Uint8Array.of(0xcc));
    }
  } catch (error) {
    if (!(error instanceof ModuleError)) throw error;
    expect(["already-loaded", "unknown-symbol", "no-memory", "not-loaded", "in-use"]).toContain(error.code);
    if (error.code === "no-memory") expect(refuse).not.toBeNull();
  } finally {
    kernel.allocator.refuse(0);
  }
}

describe.each([
  [2, "local"],
  [3, "local"],
  [2, "interleaved"],
] as const)("%i nodes, base copies %s", (nodes, where) => {
  test("any order, memory refused anywhere", () => {
    const kernel = kernelWith(nodes, [], placements[where]);
    const before = moduleFrames(kernel);
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), (steps) => {
        for (const each of steps) {
          perform(kernel, each);
          expect(findings(kernel)).toEqual([]);
        }
        for (const name of ["d", "c", "b", "a"]) if (kernel.loader.find(name)) kernel.loader.unload(name);
        kernel.vm.purge();
        expect([moduleFrames(kernel), kernel.vm.counters.used, kernel.vm.counters.areas]).toEqual([before, 0, 0]);
      }),
      { numRuns: 12, seed: 11 },
    );
    // E9: the same again makes no more tables.
    const once = (): number => {
      for (const file of FILES) kernel.loader.finishInit(kernel.loader.load(file, 0));
      for (const file of [...FILES].reverse()) kernel.loader.unload(file.name);
      return tableFrames(kernel);
    };
    const counts = [once(), once(), once(), once()];
    expect(new Set(counts.slice(1)).size).toBe(1);
  });
});

describe("the series' parts, one at a time, under the same steps", () => {
  const caught = (defects: readonly SeriesDefect[]): Set<string> => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 40, size: "max" }), (steps) => {
        const kernel = kernelWith(3, defects);
        for (const each of steps) {
          try {
            perform(kernel, each);
          } catch {
            break;
          } // freed frames that are mapped make anything happen
          for (const finding of findings(kernel)) seen.add(finding.slice(0, 2));
          if (seen.size > 0) return true;
        }
        return true;
      }),
      { numRuns: 30, seed: 5 },
    );
    return seen;
  };
  test("D6 is caught by E1 or E2", () => {
    const seen = caught([defectOf("D6")!]);
    expect(seen.has("E1") || seen.has("E2")).toBe(true);
  });
  test("N3 is caught by E6", () => {
    expect([...caught([defectOf("N3")!])]).toEqual(["E6"]);
  });
  test("ours, under the very same steps, by nothing", () => {
    expect([...caught([])]).toEqual([]);
  });
  test("all three together do not pass either", () => {
    expect(caught(["D6", "D7", "N3"].map((id) => defectOf(id)!)).size).toBeGreaterThan(0);
  });
});

test("D7: a CPU that saw the sealed alias of a replica still holds it when the module is gone, ours does not", () => {
  const stale = (defects: readonly SeriesDefect[]): number => {
    const kernel = kernelWith(2, defects);
    const module = kernel.loader.load(FILES[0]!, 1); // base copy on node 1, the replica on node 0
    const frames = (["text", "rodata"] as const).flatMap((type) => [
      ...(module.memories.get(type)!.area.copies.get(0) ?? []),
    ]);
    const access = (kind: "load" | "store", frame: number): number => {
      const alias = kernel.layout.pageOffset + BigInt(frame) * 4096n;
      return kernel.machine.cpu(0)[kind](Number(alias & 0xffff_ffffn), Number(alias >> 32n));
    };
    for (const frame of frames) expect(access("load", frame)).toBe(0);
    for (const frame of frames) expect(access("store", frame)).not.toBe(0);
    // A refused store takes the entry out of the TLB; it is read once more.
    for (const frame of frames) access("load", frame);
    kernel.loader.unload("a");
    return frames.filter((frame) => access("store", frame) !== 0).length;
  };
  expect(stale([])).toBe(0);
  expect(stale([defectOf("D7")!])).toBeGreaterThan(0);
});
