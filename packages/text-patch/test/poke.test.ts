/** The primitives: every copy, every step, every refusal. */
import { bytesAt, type Cpu, type Machine } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { branch32, CALL, emulationOf, INT3, JMP32, nops, type PokeItem, TextPatchError } from "../src/api.js";
import { makeKernel, type PatchKernel, SHARED, TEXT, YOUNG } from "./kernel.js";

const HOLDERS = [[0], [0, 1], [1, 3], [0, 1, 2, 3]] as const;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const code = (run: () => void): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof TextPatchError ? error.code : `${(error as Error).name}`;
  }
};

/** Instructions that patching writes, at an address. */
const instruction = fc.oneof(
  fc.constantFrom("call", "jump", "nop5", "nop2", "int3", "jump8", "return").map(
    (kind) =>
      (address: bigint): Uint8Array =>
        ({
          call: branch32(CALL, address, TEXT + 0x3000n),
          jump: branch32(JMP32, address, SHARED),
          nop5: nops(5),
          nop2: nops(2),
          int3: Uint8Array.of(INT3),
          jump8: Uint8Array.of(0xeb, 0x10),
          return: Uint8Array.of(0xc3, 0xcc, 0xcc, 0xcc, 0xcc),
        })[kind]!,
  ),
);
/** Sites 16 bytes apart around a page border, so that some cross it. */
const item = fc.record({
  slot: fc.integer({ min: 250, max: 262 }),
  shift: fc.nat(10),
  make: instruction,
  shared: fc.boolean(),
});
const itemsOf = (
  specs: readonly { slot: number; shift: number; make: (address: bigint) => Uint8Array; shared: boolean }[],
): PokeItem[] => {
  const bySlot = new Map(specs.map((spec) => [`${spec.shared}/${spec.slot}`, spec]));
  return [...bySlot.values()]
    .map(({ slot, shift, make, shared }) => {
      const address = (shared ? SHARED : TEXT) + BigInt(slot * 16 + shift);
      return { address, bytes: make(address) };
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
};

describe.each(HOLDERS.map((holders) => [holders]))("holders %j", (holders) => {
  const seen = (kernel: PatchKernel, { address, bytes }: PokeItem): string[] =>
    holders.map((node) => hex(kernel.bytes(node, address, bytes.length)));

  test("a batch passes only through old, INT3 with the old tail, INT3 with the new tail, new; copies are at most one phase apart", () => {
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 10, size: "max" }),
        fc.array(item, { minLength: 1, maxLength: 10, size: "max" }),
        fc.constantFrom(0, 1, 2, 3),
        (first, second, cpu) => {
          const kernel = makeKernel(holders);
          kernel.cpus.current = cpu;
          for (const items of [itemsOf(first), itemsOf(second)]) {
            const old = items.map(({ address, bytes }) => kernel.bytes(holders[0]!, address, bytes.length));
            let phase = 0;
            for (const step of kernel.poke.batchSteps(items)) {
              if (step.synchronised) {
                phase++;
                // P2: at every synchronisation all copies are equal, in every byte.
                for (const each of items) expect(new Set(seen(kernel, each)).size).toBe(1);
              }
              items.forEach(({ address, bytes }, i) => {
                const before = old[i]!;
                for (const node of holders) {
                  const now = kernel.bytes(node, address, bytes.length);
                  // P3. The tail may be torn, but only behind an INT3.
                  const tail = (from: Uint8Array): string => hex(from.subarray(1));
                  const fresh = hex(now) === hex(before) || hex(now) === hex(bytes);
                  const torn =
                    now[0] === INT3 &&
                    [...now.subarray(1)].every((byte, k) => byte === before[k + 1] || byte === bytes[k + 1]);
                  expect(fresh || torn).toBe(true);
                  if (step.phase === "int3") expect(tail(now)).toBe(tail(before));
                  if (step.phase === "first") expect(tail(now)).toBe(tail(bytes));
                }
                // P4: whoever meets the INT3 now has something to do, unless the new code is an INT3.
                const emulation = kernel.poke.breakpoint(address);
                if (bytes[0] === INT3) expect(emulation).toBe(undefined);
                else expect(emulation).toEqual(emulationOf(address, bytes));
              });
            }
            expect(phase).toBeGreaterThan(0);
            items.forEach((each) => {
              expect(new Set(seen(kernel, each))).toEqual(new Set([hex(each.bytes)]));
              expect(kernel.poke.breakpoint(each.address)).toBe(undefined);
            });
            // P6: no alias is left.
            expect(kernel.poke.pokingSpace.aliasEntries()).toEqual([0n, 0n]);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test("writes as many frames as there are copies, each on the node it serves, and both pages of a crossing site on one node", () => {
    const kernel = makeKernel(holders);
    expect(kernel.poke.copies(bytesAt(TEXT, 1)).map((copy) => copy.frames)).toEqual(
      holders.map((node) => [kernel.frame(node, 0)]),
    );
    expect(kernel.poke.copies(bytesAt(TEXT + 4094n, 5)).map((copy) => copy.frames)).toEqual(
      holders.map((node) => [kernel.frame(node, 0), kernel.frame(node, 1)]),
    );
    expect(kernel.poke.copies(bytesAt(SHARED, 1)).length).toBe(1);
    const written = (work: () => void): number => {
      const before = kernel.poke.cost.framesWritten;
      work();
      return kernel.poke.cost.framesWritten - before;
    };
    expect(written(() => kernel.poke.poke(TEXT + 100n, Uint8Array.of(INT3)))).toBe(holders.length);
    expect(written(() => kernel.poke.poke(TEXT + 4094n, nops(5)))).toBe(2 * holders.length);
    expect(written(() => kernel.poke.poke(SHARED + 100n, Uint8Array.of(INT3)))).toBe(1);
    expect(written(() => kernel.poke.early(YOUNG + 8n, nops(5)))).toBe(holders.length);
    expect(hex(kernel.bytes(holders[0]!, TEXT + 4094n, 5))).toBe(hex(nops(5)));
  });

  test("the CPU that pokes keeps its own node's tables, and everything is as it was afterwards", () => {
    const kernel = makeKernel(holders);
    const roots = new Set<number>();
    for (const cpu of kernel.machine.cpuIds) {
      kernel.cpus.current = cpu;
      const core = kernel.machine.cpu(cpu);
      const before = core.cr3;
      const table = kernel.view.kernelRoot(kernel.machine.nodeOfCpu(cpu));
      for (const _ of kernel.poke.pokeSteps(TEXT + 8n, Uint8Array.of(cpu))) {
        roots.add(core.rootFrame);
        for (let slot = kernel.layout.kernelBoundary; slot < 512; slot++)
          expect(kernel.entries.low(core.rootFrame, slot)).toBe(kernel.entries.low(table, slot));
        expect(core.rootFrame).toBe(kernel.poke.pokingSpace.rootOf(cpu));
      }
      expect(core.cr3).toBe(before);
    }
    expect(roots.size).toBe(holders.length);
    expect(kernel.poke.pokingSpace.aliasEntries()).toEqual([0n, 0n]);
  });

  test("no translation of the alias survives, with PCIDs either", () => {
    const kernel = makeKernel(holders);
    const core: Cpu = (kernel.machine as Machine).cpu(0);
    core.cr4 |= 1 << 17;
    core.writeCr3((BigInt(kernel.view.kernelRoot(0)) << 12n) | 1n);
    const space = kernel.poke.pokingSpace;
    kernel.poke.poke(TEXT + 4094n, nops(5));
    // Bit 63: what the TLB holds for this PCID is kept.
    core.writeCr3((BigInt(space.rootOf(0)) << 12n) | (1n << 63n));
    for (const address of [space.address + 4094n, space.address + 4096n]) {
      expect(core.load(Number(address & 0xffff_ffffn) | 0, Number(address >> 32n) | 0)).not.toBe(0);
    }
  });

  test("verification reads every copy", () => {
    for (const node of holders) {
      const kernel = makeKernel(holders);
      kernel.poke.poke(TEXT, nops(5));
      kernel.poke.verify(TEXT, nops(5));
      kernel.machine.memory.writeBytes((BigInt(kernel.frame(node, 0)) << 12n) + 3n, Uint8Array.of(0x42));
      expect(() => kernel.poke.verify(TEXT, nops(5))).toThrow(`node ${node}`);
    }
  });

  test("long runs, fills and queues", () => {
    const kernel = makeKernel(holders);
    const run = Uint8Array.from({ length: 9000 }, (_, i) => (i * 31) & 255);
    kernel.poke.copy(TEXT + 1000n, run);
    kernel.poke.set(bytesAt(TEXT + 12_000n, 100), 0xcc);
    for (const node of holders) {
      expect(hex(kernel.bytes(node, TEXT + 1000n, 9000))).toBe(hex(run));
      expect(hex(kernel.bytes(node, TEXT + 12_000n, 100))).toBe("cc".repeat(100));
    }
    const syncs = kernel.poke.cost.syncs;
    for (const slot of [1n, 2n, 3n, 2n, 9n]) kernel.poke.queue({ address: TEXT + 16n * slot, bytes: nops(5) });
    kernel.poke.finish();
    // Two vectors, as the fourth site does not ascend; three synchronisations each.
    expect(kernel.poke.cost.syncs - syncs).toBe(6);
    expect(kernel.poke.cost.interrupts).toBe(kernel.poke.cost.syncs * 3);
    // New code that is an INT3 is in place after the first phase.
    const before = kernel.poke.cost.syncs;
    kernel.poke.batch([{ address: TEXT + 0x700n, bytes: Uint8Array.of(INT3) }]);
    expect(kernel.poke.cost.syncs - before).toBe(1);
  });

  test("refusals come before any write", () => {
    const kernel = makeKernel(holders);
    const before = hex(kernel.bytes(holders[0]!, TEXT, 64));
    const at = (address: bigint, bytes = nops(5)): PokeItem => ({ address, bytes });
    expect(code(() => kernel.poke.batch([at(TEXT + 16n), at(TEXT)]))).toBe("unsorted");
    expect(code(() => kernel.poke.batch([at(TEXT), at(TEXT + 0x10_0000n)]))).toBe("not-mapped");
    expect(code(() => kernel.poke.batch([at(TEXT), at(YOUNG)].sort((a, b) => (a.address < b.address ? -1 : 1))))).toBe(
      "not-executable",
    );
    expect(code(() => kernel.poke.batch([at(TEXT, Uint8Array.of(0x48, 0x89, 0xc3))]))).toBe("unexpected-code");
    expect(code(() => kernel.poke.early(TEXT, nops(5)))).toBe("cleared");
    expect(code(() => kernel.poke.poke(TEXT, new Uint8Array(5000)))).toBe("too-long");
    expect(code(() => kernel.poke.copy(kernel.image.stext + kernel.layout.imageOffset, nops(5)))).toBe("not-text");
    const steps = kernel.poke.batchSteps([at(TEXT + 4096n)]);
    steps.next();
    expect(code(() => kernel.poke.poke(TEXT, nops(1)))).toBe("busy");
    expect(code(() => kernel.poke.pokeStopped(TEXT, nops(1)))).toBe("busy");
    expect(code(() => kernel.poke.batch([at(TEXT)]))).toBe("busy");
    steps.return();
    expect(kernel.poke.pokingSpace.aliasEntries()).toEqual([0n, 0n]);
    expect(hex(kernel.bytes(holders[0]!, TEXT, 64))).toBe(before);
    kernel.poke.pokeStopped(TEXT, nops(1));
  });

  test("toggling n times leaves every copy as a single-copy kernel's", () => {
    fc.assert(
      fc.property(fc.array(fc.array(item, { minLength: 1, maxLength: 5 }), { maxLength: 8, size: "max" }), (rounds) => {
        const kernel = makeKernel(holders);
        const single = makeKernel([holders[0]!]);
        for (const round of rounds) for (const each of [kernel, single]) each.poke.batch(itemsOf(round));
        for (const node of holders) {
          for (const base of [TEXT, SHARED])
            expect(hex(kernel.bytes(node, base + 3900n, 500))).toBe(hex(single.bytes(holders[0]!, base + 3900n, 500)));
        }
      }),
      { numRuns: 15 },
    );
  });
});

test("what a CPU does at an INT3, by the instruction that will be there", () => {
  const at = TEXT + 0x10n;
  expect(emulationOf(at, Uint8Array.of(0xeb, 0x10, 0xcc, 0xcc, 0xcc))).toEqual({ kind: "jump", to: at + 0x12n });
  expect(emulationOf(at, Uint8Array.of(0xeb, 0xf0))).toEqual({ kind: "jump", to: at - 14n });
  expect(emulationOf(at, branch32(CALL, at, SHARED))).toEqual({ kind: "call", to: SHARED, back: at + 5n });
  expect(emulationOf(at, Uint8Array.of(0xc3, 0xcc, 0xcc, 0xcc, 0xcc))).toEqual({ kind: "return" });
  expect(emulationOf(at, Uint8Array.of(0x0f, 0x85, 0, 1, 0, 0))).toEqual({
    kind: "conditional",
    condition: 5,
    to: at + 0x106n,
    otherwise: at + 6n,
  });
  expect(emulationOf(at, Uint8Array.of(0x74, 0xfe))).toEqual({
    kind: "conditional",
    condition: 4,
    to: at,
    otherwise: at + 2n,
  });
  expect(emulationOf(at, nops(8))).toEqual({ kind: "jump", to: at + 8n });
  expect(emulationOf(at, Uint8Array.of(INT3))).toEqual({ kind: "breakpoint" });
  expect(code(() => emulationOf(at, Uint8Array.of(0x55)))).toBe("unexpected-code");
});
