/**
 * The invariants' own exceptions, honoured by whoever asks a booted kernel: areas with copies (A4), an open patch
 * phase (A1, E2, E4), a CPU inside the firmware (G1). And no more than these: what only looks like one is still found.
 */
import { bindValue, plugin } from "@kreplica/di";
import { Efi, efi, efiPerHolder } from "@kreplica/efi";
import {
  checkModules,
  ModuleHost,
  ModuleLoader,
  modulesWith,
  noPatching,
  readModule,
  replicateAll,
  tinyHost,
  tinyModule,
} from "@kreplica/modules";
import { setMemory } from "@kreplica/set-memory";
import { branch32, CALL, textPatch, TextPoke } from "@kreplica/text-patch";
import { checkAreas, Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { describe, expect, test } from "vitest";
import { boot, type Booted } from "../src/boot.js";
import { checkedKernel } from "../src/checked-kernel.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

const kernel = (policy: string, plugins = [setMemory, vmalloc, textPatch], pti = false): Booted =>
  boot({ spec: smallMachine(2), policy, image: smallImage(), plugins, pti });
const violated = (booted: Booted): string[] =>
  booted.checkInvariants().violated.map(({ id, detail }) => `${id}: ${detail}`);
const POLICIES = ["single-copy", "per-node", "lazy-pgd", "home-node"];

test.each(POLICIES.slice(1))(
  "%s: an area with copies is no difference between nodes that A4 forbids, and one beside it is",
  (policy) => {
    const booted = kernel(policy);
    const { assembly, layout, view, entries } = booted;
    const vm = assembly.get(Vmalloc);
    const request = {
      bytes: 8192,
      low: layout.modulesStart,
      high: layout.modulesEnd,
      placement: { node: 0 },
      purpose: "module",
    } as const;
    const [area, other] = [vm.allocate(request), vm.allocate(request)];
    vm.replicate(area);
    expect(violated(booted)).toEqual([]);
    expect(booted.checkInvariants().checked).toContain("A4");
    // The neighbour is shared: another frame on one node is a fault.
    const at = booted.tables.lookup(1, other.start)!.frame;
    booted.tables.edit((editor) =>
      editor.repoint({ start: other.start, pages: 1 }, (_page, node) => (node === 1 ? area.frames[0]! : undefined)),
    );
    expect(violated(booted)).toEqual([expect.stringMatching(/^A4: /)]);
    booted.tables.edit((editor) =>
      editor.repoint({ start: other.start, pages: 1 }, (_page, node) => (node === 1 ? at : undefined)),
    );
    expect(violated(booted)).toEqual([]);
    vm.free(area);
    vm.purge();
    expect(violated(booted)).toEqual([]);
    expect(entries.memory.nodeOf(at)).toBe(view.holders[0]);
  },
);

test.each(POLICIES)("%s: a module with copies is none either, loaded, live and unloaded", (policy) => {
  const booted = kernel(policy, [
    setMemory,
    vmalloc,
    modulesWith(replicateAll),
    noPatching,
    plugin("host", [bindValue(ModuleHost, tinyHost())]),
  ]);
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
  const booted = kernel("per-node", [
    setMemory,
    vmalloc,
    textPatch,
    modulesWith(replicateAll),
    noPatching,
    plugin("host", [bindValue(ModuleHost, tinyHost())]),
  ]);
  const { assembly } = booted;
  const [loader, vm, poke] = [assembly.get(ModuleLoader), assembly.get(Vmalloc), assembly.get(TextPoke)];
  const module = loader.load(readModule(tinyModule({ name: "a" })), 0);
  const site = module.memories.get("text")!.area.start + 0x10n;
  const findings = (known: boolean): string[] => {
    const subject = {
      ...checkedKernel(booted),
      ...(known ? {} : { patchedNow: [] }),
      loader,
      vmalloc: vm,
      tables: booted.tables,
      memory: booted.machine.memory,
    };
    return [...checkAreas(subject), ...checkModules(subject)].map(({ id }) => id);
  };
  const blind = new Set<string>();
  for (const _ of poke.batchSteps([{ address: site, bytes: branch32(CALL, site, site + 0x100n) }])) {
    expect(findings(true)).toEqual([]);
    for (const id of findings(false)) blind.add(id);
  }
  expect([...blind].sort()).toEqual(["E2", "E4"]);
});

describe.each([
  ["the series' one root", efi],
  ["a root for each holder", efiPerHolder],
] as const)("a CPU inside the firmware, %s", (_name, firmware) => {
  test.each([
    ["single-copy", false],
    ["per-node", false],
    ["per-node", true],
  ] as const)("%s, pti=%s", (policy, pti) => {
    const booted = kernel(policy, [firmware], pti);
    const { assembly, machine } = booted;
    const services = assembly.get(Efi);
    const during: string[][] = [];
    for (const cpu of machine.cpuIds)
      services.call(cpu, () => {
        during.push(violated(booted));
      });
    expect(during).toEqual(machine.cpuIds.map(() => []));
    // What EFI's tables map of the image is looked at now.
    expect(booted.checkInvariants().checked).toContain("C2");
    // A root that merely looks like the firmware's is none.
    const copy = booted.allocator.allocate(0, 0, { purpose: "page-table", zero: true });
    booted.entries.copy(booted.view.kernelRoot(0), copy, 0, 512);
    const before = machine.cpu(0).cr3;
    machine.cpu(0).writeCr3(BigInt(copy) << 12n);
    expect(violated(booted)).toEqual([expect.stringMatching(/^G1: CR3 of CPU 0/)]);
    machine.cpu(0).writeCr3(before);
    expect(violated(booted)).toEqual([]);
  });
});

test("the firmware's root of another node is not this CPU's to load", () => {
  const booted = kernel("per-node", [efiPerHolder]);
  const services = booted.assembly.get(Efi);
  const cpu = booted.machine.cpu(0);
  const before = cpu.cr3;
  cpu.writeCr3(BigInt(services.root(1)) << 12n);
  expect(violated(booted)).toEqual([expect.stringMatching(/^G1: CR3 of CPU 0/)]);
  cpu.writeCr3(before);
});

test.each(["single-copy", "per-node"])(
  "%s: at every step of a patch of kernel text all holds but for the site, and a byte beside it is found",
  (policy) => {
    const booted = kernel(policy);
    const poke = booted.assembly.get(TextPoke);
    const site = booted.image.stext + booted.layout.imageOffset + 0x1ffdn;
    let steps = 0;
    for (const _ of poke.batchSteps([{ address: site, bytes: branch32(CALL, site, site + 0x100n) }])) {
      steps++;
      expect(violated(booted)).toEqual([]);
    }
    expect(steps).toBeGreaterThan(booted.view.holders.length * 5);
    expect(poke.underWay).toEqual([]);
    for (const _ of poke.pokeSteps(site, Uint8Array.of(0x90, 0x90))) expect(violated(booted)).toEqual([]);
    if (booted.view.holders.length === 1) return;
    const frame = booted.view.replicaFrame(site, 1)!;
    let found: string[] = [];
    for (const _ of poke.pokeSteps(site, Uint8Array.of(0x66))) {
      booted.machine.memory.writeBytes((BigInt(frame) << 12n) + (site & 4095n) - 1n, Uint8Array.of(0x5a));
      found = violated(booted);
    }
    expect(found).toEqual([expect.stringMatching(/^A1: /)]);
  },
);
