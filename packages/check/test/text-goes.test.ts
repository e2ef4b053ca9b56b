/**
 * M8: text that is probed or patched goes with its module. Without asking anybody, as it was, the family of modules
 * finds it; as it is, nothing.
 */
import { bind, bindValue, inject, injectable, plugin, token, type Plugin } from "@kreplica/di";
import { boot, smallImage, smallMachine } from "@kreplica/kernel";
import { TextUsers } from "@kreplica/mm-core";
import {
  ModuleHost,
  ModuleLoader,
  modulesWith,
  noPatching,
  readModule,
  replicateAll,
  tinyHost,
  tinyModule,
} from "@kreplica/modules";
import { setMemory, SetMemory } from "@kreplica/set-memory";
import { branch32, CALL, InsnPages, Kprobes, textPatch, TextPoke } from "@kreplica/text-patch";
import { Vmalloc, vmalloc } from "@kreplica/vmalloc";
import { describe, expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { moduleFamily, type ModuleOperation } from "../src/families/modules.js";
import { refusalFamily } from "../src/families/refusal.js";

/** Nobody is asked. */
@injectable()
class NobodyAsked {
  constructor(@inject(TextUsers) users: TextUsers) {
    users.release = () => undefined;
  }
}
const m8 = plugin("M8", [bind(token<NobodyAsked>("test/M8"), NobodyAsked)]);
const kernel = (policy: string, plugins: readonly Plugin[] = []) => ({
  spec: smallMachine(2),
  policy,
  image: smallImage(),
  plugins,
});
const outcome = (steps: readonly ModuleOperation[], plugins: readonly Plugin[], policy = "per-node"): string => {
  try {
    new CheckedSystem(kernel(policy, plugins), { families: [moduleFamily] }).run(steps);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
};
const load: ModuleOperation = { op: "modload", module: 0, node: 0 };

describe.each(["single-copy", "per-node"])("%s", (policy) => {
  test("a probe in a module that is unloaded", () => {
    const steps: ModuleOperation[] = [
      load,
      { op: "modprobe", module: 0 },
      { op: "modunload", module: 0 },
      { op: "modload", module: 2, node: 0 },
      { op: "modprobe", module: 2 },
    ];
    expect(outcome(steps, [], policy)).toBe("nothing");
    expect(outcome(steps, [m8], policy)).toMatch(/^P14: a probe keeps 0xffffffffc0[0-9a-f]+, where node 0 has nothing/);
  });

  test("an unload in the middle of a patch, at every step", () => {
    for (let step = 0; step < 12; step++) {
      const steps: ModuleOperation[] = [load, { op: "modpatch", module: 0, step }];
      expect(outcome(steps, [], policy)).toBe("nothing");
      if (step < 7) expect(outcome(steps, [m8], policy)).toMatch(/^P14: module a was unloaded while/);
    }
  });

  test("the next owner of the page keeps its bytes, and the next module at the address too", () => {
    const booted = boot({
      ...kernel(policy),
      plugins: [
        setMemory,
        vmalloc,
        textPatch,
        modulesWith(replicateAll),
        noPatching,
        plugin("host", [bindValue(ModuleHost, tinyHost())]),
      ],
    });
    const { assembly, allocator, machine, layout } = booted;
    const [loader, poke, vm] = [assembly.get(ModuleLoader), assembly.get(TextPoke), assembly.get(Vmalloc)];
    const slots = (bytes: number): InsnPages => new InsnPages(vm, assembly.get(SetMemory), poke, layout, bytes, 0);
    const probes = new Kprobes(poke, slots(32), slots(128));
    const module = loader.load(readModule(tinyModule({ name: "a" })), 0);
    loader.finishInit(module);
    const { start, frames } = module.memories.get("text")!.area;
    const site = start + 0x100n;
    let refused = 0;
    for (const _ of poke.batchSteps([{ address: site, bytes: branch32(CALL, site, site + 0x40n) }])) {
      if (poke.underWay.length === 0) continue;
      expect(() => {
        loader.unload("a");
      }).toThrow(`a patch of 0x${site.toString(16)} is under way`);
      expect(module.state).toBe("live");
      refused++;
    }
    expect(refused).toBeGreaterThan(5);
    poke.verify(site, branch32(CALL, site, site + 0x40n));
    probes.arm(start);
    loader.unload("a");
    vm.purge();
    expect(booted.checkInvariants().violated).toEqual([]);
    expect(allocator.claim(frames[0]!, "user")).toBe(true);
    machine.memory.clearFrame(frames[0]!);
    expect(() => {
      probes.disarm(start);
    }).toThrow("no-site");
    const bytes = new Uint8Array(4096);
    machine.memory.readBytes(BigInt(frames[0]!) << 12n, bytes);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    const next = loader.load(readModule(tinyModule({ name: "c" })), 0);
    expect(next.memories.get("text")!.area.start).toBe(start);
    expect(probes.hit(start)).toBeUndefined();
    expect(() => {
      probes.disarm(start);
    }).toThrow("no-site");
    // Whoever still has the first module's handle cannot finish its init.
    expect(() => {
      loader.finishInit(module);
    }).toThrow("was unloaded before its init function returned (-ENOENT)");
  });
});

test("init text goes when init has run: a probe there goes with it", () => {
  const booted = boot({
    ...kernel("per-node"),
    plugins: [
      setMemory,
      vmalloc,
      textPatch,
      modulesWith(replicateAll),
      noPatching,
      plugin("host", [bindValue(ModuleHost, tinyHost())]),
    ],
  });
  const { assembly, layout } = booted;
  const [loader, poke, vm] = [assembly.get(ModuleLoader), assembly.get(TextPoke), assembly.get(Vmalloc)];
  const slots = (bytes: number): InsnPages => new InsnPages(vm, assembly.get(SetMemory), poke, layout, bytes, 0);
  const probes = new Kprobes(poke, slots(32), slots(128));
  const module = loader.load(
    readModule(
      tinyModule({
        name: "a",
        sections: [{ name: ".init.text", flags: 6, bytes: new Uint8Array(32).fill(0x90), align: 16 }],
      }),
    ),
    0,
  );
  const init = module.memories.get("init-text")!.area.start;
  probes.arm(init);
  const steps = poke.pokeSteps(init + 8n, Uint8Array.of(0x90));
  steps.next();
  expect(() => {
    loader.finishInit(module);
  }).toThrow("under way");
  expect([module.state, module.memories.has("init-text")]).toEqual(["coming", true]);
  for (const _ of steps);
  loader.finishInit(module);
  expect([module.state, probes.hit(init)]).toEqual(["live", undefined]);
  expect(booted.checkInvariants().violated).toEqual([]);
});

test("a campaign draws it", () => {
  const run = (plugins: readonly Plugin[]) =>
    campaign({
      runs: 6,
      steps: 60,
      seed: 2,
      comparison: "off",
      families: [moduleFamily, { ...refusalFamily, rare: true }],
      kernels: [kernel("per-node", plugins)],
    });
  expect(run([]).violations).toEqual([]);
  expect(run([m8]).violations.map(({ invariant }) => invariant)).toEqual(["P14"]);
});
