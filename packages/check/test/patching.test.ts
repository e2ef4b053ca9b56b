/// <reference types="node" />
/**
 * The families of patching and protection: nothing is found on the corrected kernel, and each defect laid over it by
 * the rule it breaks.
 */
import { bind, inject, injectable, plugin, type Plugin } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86";
import { type BootOptions, smallImage, smallMachine } from "@kreplica/kernel";
import {
  CpuState,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelOptions,
  KernelTables,
  PageAllocator,
  ReplicaView,
  SwitchMm,
  TableMemory,
  TextUsers,
} from "@kreplica/mm-core";
import { ReplicaTextPoke, TextPoke } from "@kreplica/text-patch";
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES, Repertoire } from "../src/families.js";
import { defectOf } from "@kreplica/series-as-posted";
import { patchingFamily } from "../src/families/patching.js";
import { protectionFamily } from "../src/families/protection.js";
import { RARE_EVERY } from "../src/family.js";

const OWN = [patchingFamily, protectionFamily];
const own = new Repertoire(OWN);
const PROOF = process.env.KREPLICA_PROOF === "1";
const kernels = [
  { spec: smallMachine(2, 1), policy: "per-node" },
  { spec: smallMachine(1), policy: "per-node" },
  { spec: smallMachine(3), policy: "per-node", levels: 5 as const, pti: true },
  { spec: smallMachine(2), policy: "single-copy", pti: true },
  { spec: smallMachine(8), policy: "per-node" },
  { spec: smallMachine(3), policy: "every-nth" },
  { spec: smallMachine(2), policy: "home-node", pti: true },
];

test.each(kernels)("$spec.name, $policy: nothing is found, alone and among all families", (kernel) => {
  const system = new CheckedSystem({ ...kernel, image: smallImage() }, { families: OWN });
  for (let seed = 1; seed <= (PROOF ? 8 : 3); seed++) system.run(own.drawRun(seed, 60));
  const all = new Repertoire(FAMILIES);
  const together = new CheckedSystem({ ...kernel, image: smallImage() });
  const rare = (operations: readonly { op: string }[]): boolean =>
    operations.some(({ op }) => op === "patch" || op === "setmem");
  let runs = 0;
  for (let seed = 1; runs < (PROOF ? 3 : 1); seed++) {
    const operations = all.drawRun(seed, 100);
    if (!rare(operations)) continue;
    runs++;
    together.run(operations);
  }
});

test("one run in so many has the rare operations", () => {
  const all = new Repertoire(FAMILIES);
  const runs = Array.from({ length: 640 }, (_, seed) =>
    all.drawRun(seed, 100).some(({ op }) => op === "patch" || op === "usemem"),
  ).filter(Boolean).length;
  expect(runs).toBeGreaterThan(640 / RARE_EVERY / 2);
  expect(runs).toBeLessThan((640 / RARE_EVERY) * 2);
});

/** The first rule a kernel breaks, by itself or within so many runs. */
function broken(plugins: readonly Plugin[], more: Partial<BootOptions> = {}, runs = 6): string {
  try {
    const system = new CheckedSystem(
      { spec: smallMachine(2, 1), policy: "per-node", image: smallImage(), plugins, ...more },
      { families: OWN },
    );
    for (let seed = 1; seed <= runs; seed++) system.run(own.drawRun(seed, 60));
  } catch (error) {
    if (error instanceof CheckFailure) return error.invariant;
    throw error;
  }
  return "nothing";
}

describe("defects of the series are caught by the rule named", () => {
  test("D5: generated code made executable on one node", () => {
    expect(["B6", "E11"]).toContain(broken([], { defects: [defectOf("D5")!] }));
  });
  test("D16: rodata=off, copied all the same, written by somebody", () => {
    expect(broken([], { defects: [defectOf("D16")!] })).toBe("A5");
  });
  test("N1: boot patching that reaches one copy", () => {
    expect(broken([], { defects: [defectOf("N1")!] })).toBe("A1");
  });
  test("N2: a permission call that reaches one root", () => {
    expect(broken([], { defects: [defectOf("N2")!] })).toBe("B6");
  });
  test("none: nothing", () => {
    expect(broken([])).toBe("nothing");
  });
});

/** Patching with methods replaced. */
function patchingWith(
  change: (poke: ReplicaTextPoke, view: ReplicaView, machine: Machine) => Partial<TextPoke>,
): Plugin {
  @injectable()
  class Changed {
    constructor(
      @inject(Machine) machine: Machine,
      @inject(KernelTables) tables: KernelTables,
      @inject(ReplicaView) view: ReplicaView,
      @inject(CpuState) cpus: CpuState,
      @inject(TableMemory) entries: TableMemory,
      @inject(PageAllocator) allocator: PageAllocator,
      @inject(KernelLayout) layout: KernelLayout,
      @inject(KernelImage) image: KernelImage,
      @inject(KernelOptions) options: KernelOptions,
      @inject(KernelBoot) boot: KernelBoot,
      @inject(SwitchMm) switcher: SwitchMm,
      @inject(TextUsers) users: TextUsers,
    ) {
      const sound = new ReplicaTextPoke(
        machine,
        tables,
        view,
        cpus,
        entries,
        allocator,
        layout,
        image,
        options,
        boot,
        switcher,
        users,
      );
      return Object.assign(Object.create(sound) as object, change(sound, view, machine)) as unknown as this;
    }
  }
  return plugin("text-patch", [bind(TextPoke, Changed as unknown as new (...parts: never[]) => TextPoke)]);
}

describe("what the family itself looks at", () => {
  test("P4: a breakpoint nobody answers for", () => {
    expect(broken([patchingWith(() => ({ breakpoint: () => undefined }))])).toBe("P4");
  });
  test("P8: what the boot patched is not in the copies", () => {
    expect(
      broken([
        patchingWith((sound) => ({
          early: (address, bytes) => {
            sound.early(
              address,
              bytes.map((byte, i) => (i === 4 ? byte ^ 1 : byte)),
            );
          },
        })),
      ]),
    ).toBe("P8");
  });
  test("P9: init text patched more often than once", () => {
    expect(
      broken([
        patchingWith((sound) => ({
          early: (address, bytes) => {
            sound.early(address, bytes);
            sound.early(address, bytes);
          },
        })),
      ]),
    ).toBe("P9");
  });
  test("P10: a probe whose original byte is put back in one copy alone", () => {
    expect(
      broken([
        patchingWith((sound, view, machine) => ({
          *pokeSteps(address, bytes) {
            yield* sound.pokeSteps(address, bytes);
            if (bytes.length !== 1 || bytes[0] === 0xcc) return;
            machine.memory.writeBytes(
              (BigInt(view.replicaFrame(address, 1)!) << 12n) + (address & 4095n),
              Uint8Array.of(0x90),
            );
          },
        })),
      ]),
    ).toBe("P1");
  });
  test("P13: addresses in copies for what is no text, and after they were cleared", () => {
    const lying = (
      change: (found: bigint | undefined, address: bigint) => bigint | undefined,
    ): Partial<BootOptions> => ({
      before: ({ view }) => {
        const find = view.addressInReplica.bind(view);
        view.addressInReplica = (address, node) => change(find(address, node), address);
      },
    });
    expect(
      broken(
        [],
        lying((found, address) => found ?? address),
      ),
    ).toBe("P13");
    let kept: bigint | undefined;
    expect(
      broken(
        [],
        lying((found) => (kept = found ?? kept)),
      ),
    ).toBe("P13");
    expect(
      broken(
        [],
        lying((found) => found),
        1,
      ),
    ).toBe("nothing");
  });
});

describe("permissions", () => {
  const protection = (change: (parts: Parameters<NonNullable<BootOptions["before"]>>[0]) => void): string => {
    try {
      const system = new CheckedSystem(
        { spec: smallMachine(2), policy: "per-node", image: smallImage() },
        { families: [protectionFamily] },
      );
      change(system.parts);
      for (let seed = 1; seed <= 6; seed++) system.run(new Repertoire([protectionFamily]).drawRun(seed, 60));
    } catch (error) {
      if (error instanceof CheckFailure) return error.invariant;
      throw error;
    }
    return "nothing";
  };
  test("A5: a store to rodata that a node's tables allow", () => {
    expect(
      protection(({ tables, image, layout }) => {
        tables.edit((editor) =>
          editor.protect({ start: image.startRodata + layout.imageOffset, pages: 512 }, { writable: true }),
        );
      }),
    ).toBe("A5");
  });
  test("G12, or G6 and E1 where somebody accesses first: flushes that are left out", () => {
    expect(
      protection(({ machine }) => {
        for (const id of machine.cpuIds) machine.cpu(id).invlpg = () => undefined;
        for (const id of machine.cpuIds) machine.cpu(id).flushTranslations = () => undefined;
      }),
    ).toMatch(/G6|G12|E1/);
  });
  test("B6: a leaf one root alone has", () => {
    expect(
      protection(({ layout, entries, view }) => {
        const address = layout.modulesStart + 0x1_c000n * 4096n;
        // The large leaf is each root's own.
        let table = view.kernelRoot(1);
        for (let level = 4; level > 2; level--)
          table = entries.low(table, Number((address >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12;
        const index = Number((address >> 21n) & 511n);
        entries.write(table, index, (entries.low(table, index) & ~2) >>> 0, entries.high(table, index));
      }),
    ).toBe("B6");
  });
});
