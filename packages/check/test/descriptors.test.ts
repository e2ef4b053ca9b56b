/**
 * Descriptors of memory that comes are written through vmemmap, by a CPU that runs some process: where they lie behind
 * another top-level slot than all before, that process's tables have to have the slot by then.
 */
import { lowOf, highOf, tableIndex } from "@kreplica/hw-x86";
import { type BootOptions, lateMemory, prepare, kernelFrom, smallImage } from "@kreplica/kernel";
import { descriptorAddress, MemoryHotplug } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { CheckFailure } from "../src/check-failure.js";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import type { Operation } from "../src/family.js";

const LATE = 2;
const RUN = [
  { op: "spawn", cpu: 0 },
  { op: "run", p: 0, cpu: 0 },
  { op: "plug", node: LATE },
] as unknown as readonly Operation[];

/** Memory regions where KASLR puts them so that vmemmap of node 2 begins behind another slot; the first such seed. */
function crossing(pti: boolean): BootOptions {
  for (let seed = 1; ; seed++) {
    const options = {
      ...lateMemory(LATE),
      policy: "per-node",
      image: smallImage(),
      pti,
      kaslr: { memory: true },
      seed,
    };
    const { layout, machine } = prepare(kernelFrom(options));
    const slots = machine.memory.ranges.map(({ first }) => tableIndex(descriptorAddress(layout, first), 4));
    if (new Set(slots).size === 2) return options;
  }
}

/** Rule that breaks, and how it is told. */
function broken(options: BootOptions): { readonly id: string; readonly detail: string } | undefined {
  try {
    new CheckedSystem(options, { families: CORE_FAMILIES }).run(RUN);
    return undefined;
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return { id: error.invariant, detail: error.detail };
  }
}

describe.each([false, true])("KPTI %s", (pti) => {
  const options = crossing(pti);

  test("each page of the array says the node of its pages, and every CPU can read it", () => {
    const system = new CheckedSystem(options, { families: CORE_FAMILIES });
    for (const each of RUN) system.step(each);
    const { machine, layout, assembly } = system.parts;
    const { first, frames } = machine.memory.ranges.find(({ node }) => node === LATE)!;
    for (const cpu of machine.cpuIds)
      for (const frame of [first, first + 64, first + frames - 64]) {
        const address = descriptorAddress(layout, frame);
        const core = machine.cpu(cpu);
        expect(core.load(lowOf(address), highOf(address)), `CPU ${cpu}`).toBe(0);
        const flags = machine.memory.read32(core.lastFrame, Number(address & 0xfffn) / 4 + 1);
        expect(flags >>> 22, "node in the flags' ten topmost bits").toBe(LATE);
      }
    expect(assembly.get(MemoryHotplug).descriptorFaults).toEqual([]);
    system.finish();
  });

  test("written before the processes have the slot: told as the fault of a CPU, though all have it in the end", () => {
    const late = broken({
      ...options,
      before({ spaces, assembly }) {
        const hotplug = assembly.get(MemoryHotplug);
        const [create, online] = [spaces.create.bind(spaces), hotplug.online.bind(hotplug)];
        let owed: (() => void)[] | undefined;
        spaces.create = (...given) => {
          const space = create(...given);
          if (!space) return undefined;
          const follow = space.followKernel.bind(space);
          space.followKernel = () => (owed ? void owed.push(follow) : follow());
          return space;
        };
        hotplug.online = (...given) => {
          owed = [];
          const done = online(...given);
          for (const each of owed.splice(0)) each();
          owed = undefined;
          return done;
        };
      },
    });
    expect(late?.id).toBe("G15");
    expect(late?.detail).toMatch(/^CPU 0 faults at 0x[0-9a-f]+ as it writes the descriptor of frame 268435456, which/);
  });

  test("a sound kernel has no such fault", () => {
    expect(broken(options)).toBeUndefined();
  });
});
