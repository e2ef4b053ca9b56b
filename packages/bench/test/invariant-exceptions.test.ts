/**
 * The invariants' own exceptions, honoured by whoever asks a booted kernel: areas with copies (A4), an open patch
 * phase (E2, E4). And no more than these: what only looks like one is still found.
 */
import { bindValue, plugin } from "@kreplica/di";
import { Efi, efi } from "@kreplica/efi";
import { checkModules, ModuleHost, ModuleLoader, modulesWith, noPatching, readModule, replicateAll, tinyHost, tinyModule } from "@kreplica/modules";
import { setMemory } from "@kreplica/set-memory";
import { branch32, CALL, textPatch, TextPoke } from "@kreplica/text-patch";
import { checkAreas, Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { expect, test } from "vitest";
import { boot, type Booted } from "../src/boot.js";
import { checkedKernel } from "../src/checked-kernel.js";
import { smallImage, smallMachine } from "../src/check/small-kernel.js";

const kernel = (policy: string, plugins = [setMemory, vmalloc, textPatch], pti = false): Booted => boot({ spec: smallMachine(2), policy, image: smallImage(), plugins, pti });
const violated = (booted: Booted): string[] => booted.checkInvariants().violated.map(({ id, detail }) => `${id}: ${detail}`);
const POLICIES = ["single-copy", "per-node", "lazy-pgd", "home-node"];

test.each(POLICIES.slice(1))("%s: an area with copies is no difference between nodes that A4 forbids, and one beside it is", (policy) => {
  const booted = kernel(policy);
  const { assembly, layout, view, entries } = booted;
  const vm = assembly.get(Vmalloc);
  const request = { bytes: 8192, low: layout.modulesStart, high: layout.modulesEnd, placement: { node: 0 }, purpose: "module" } as const;
  const [area, other] = [vm.allocate(request), vm.allocate(request)];
  vm.replicate(area);
  expect(violated(booted)).toEqual([]);
  expect(booted.checkInvariants().checked).toContain("A4");
  // The neighbour is shared: another frame on one node is a fault.
  const at = booted.tables.lookup(1, other.start)!.frame;
  booted.tables.edit((editor) => editor.repoint(other.start, 1, (_page, node) => (node === 1 ? area.frames[0]! : undefined)));
  expect(violated(booted)).toEqual([expect.stringMatching(/^A4: /)]);
  booted.tables.edit((editor) => editor.repoint(other.start, 1, (_page, node) => (node === 1 ? at : undefined)));
  expect(violated(booted)).toEqual([]);
  vm.free(area);
  vm.purge();
  expect(violated(booted)).toEqual([]);
  expect(entries.memory.nodeOf(at)).toBe(view.holders[0]);
});

test.each(POLICIES)("%s: a module with copies is none either, loaded, live and unloaded", (policy) => {
  const booted = kernel(policy, [setMemory, vmalloc, modulesWith(replicateAll), noPatching, plugin("host", [bindValue(ModuleHost, tinyHost())])]);
  const loader = booted.assembly.get(ModuleLoader);
  const module = loader.load(readModule(tinyModule({ name: "a" })), 0);
  expect(violated(booted)).toEqual([]);
  loader.finishInit(module);
  expect(violated(booted)).toEqual([]);
  loader.unload("a");
  expect(violated(booted)).toEqual([]);
});

test("looking at a kernel makes no tables for its firmware", () => {
  const booted = kernel("per-node", [efi]);
  const before = booted.allocator.requests;
  booted.checkInvariants();
  expect(booted.allocator.requests).toBe(before);
  expect(booted.assembly.get(Efi).made.size).toBe(0);
});

test("E2 and E4 too: a patch of a module's text with copies, looked at between its bytes", () => {
  const booted = kernel("per-node", [setMemory, vmalloc, textPatch, modulesWith(replicateAll), noPatching, plugin("host", [bindValue(ModuleHost, tinyHost())])]);
  const { assembly } = booted;
  const [loader, vm, poke] = [assembly.get(ModuleLoader), assembly.get(Vmalloc), assembly.get(TextPoke)];
  const module = loader.load(readModule(tinyModule({ name: "a" })), 0);
  const site = module.memories.get("text")!.area.start + 0x10n;
  const findings = (known: boolean): string[] => {
    const subject = { ...checkedKernel(booted), ...(known ? {} : { patchedNow: [] }), loader, vmalloc: vm, tables: booted.tables, memory: booted.machine.memory };
    return [...checkAreas(subject), ...checkModules(subject)].map(({ id }) => id);
  };
  const blind = new Set<string>();
  for (const _ of poke.batchSteps([{ address: site, bytes: branch32(CALL, site, site + 0x100n) }])) {
    expect(findings(true)).toEqual([]);
    for (const id of findings(false)) blind.add(id);
  }
  expect([...blind].sort()).toEqual(["E2", "E4"]);
});
