/** The witness finds nothing wrong with patching as it is, and each rule of group P when exactly that is broken. */
import { bytesAt, type Machine } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { branch32, CALL, INT3, nops, type PokeItem, type PokeStep } from "../src/api.js";
import { phasesOf, type ReplicaTextPoke, WitnessedTextPoke } from "../src/index.js";
import { makeKernel, type PatchKernel, SHARED, TEXT } from "./kernel.js";

const SITE = TEXT + 0xffdn;
const batchOf = (address: bigint): PokeItem[] => [{ address, bytes: branch32(CALL, address, TEXT + 0x3000n) }];

/** A kernel with PCIDs, so that translations outlive the change of root. */
function withPcids(holders: readonly number[]): PatchKernel {
  const kernel = makeKernel(holders);
  for (const id of kernel.machine.cpuIds) kernel.machine.cpu(id).cr4 |= 1 << 17;
  return kernel;
}

/** Patching with some methods replaced. */
type Change = (kernel: PatchKernel, sound: ReplicaTextPoke) => Partial<ReplicaTextPoke>;
function witnessed(kernel: PatchKernel, change: Change = () => ({})): { poke: WitnessedTextPoke; found: string[] } {
  const found: string[] = [];
  const own = change(kernel, kernel.poke);
  const target = new Proxy(kernel.poke, {
    get(sound, name) {
      const value = name in own ? (Reflect.get(own, name) as unknown) : (Reflect.get(sound, name, sound) as unknown);
      return typeof value === "function"
        ? (value as (...given: unknown[]) => unknown).bind(name in own ? own : sound)
        : value;
    },
  });
  return {
    poke: new WitnessedTextPoke(target, kernel, {
      fail: ({ id }) => {
        found.push(id);
      },
    }),
    found,
  };
}
const physical = (kernel: PatchKernel, node: number, address: bigint): bigint =>
  (BigInt(kernel.frame(node, Number((address - TEXT) >> 12n))) << 12n) + (address & 4095n);
const put = (kernel: PatchKernel, node: number, address: bigint, ...bytes: number[]): void =>
  bytes.forEach((byte, i) =>
    kernel.machine.memory.writeBytes(physical(kernel, node, address + BigInt(i)), Uint8Array.of(byte)),
  );

describe.each([[[0]], [[0, 1]], [[1, 3]], [[0, 1, 2, 3]]])("holders %j", (holders) => {
  test("nothing is found wrong with batches, pokes, copies and fills, wherever they lie and whoever makes them", () => {
    const place = fc.record({
      page: fc.nat(2),
      offset: fc.constantFrom(8, 0x40, 0xffb, 0xffd, 0xfff),
      kind: fc.constantFrom("batch", "poke", "copy", "set", "queue"),
      call: fc.boolean(),
      shared: fc.boolean(),
      cpu: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(place, { minLength: 1, maxLength: 12, size: "max" }), (places) => {
        const kernel = withPcids(holders);
        const { poke, found } = witnessed(kernel);
        for (const { page, offset, kind, call, shared, cpu } of places) {
          kernel.cpus.current = cpu;
          const address = shared ? SHARED + BigInt(offset % 64) : TEXT + BigInt(page * 4096 + offset);
          const bytes = call ? branch32(CALL, address, TEXT + 0x3000n) : nops(5);
          if (kind === "batch") poke.batch([{ address, bytes }]);
          else if (kind === "queue") {
            poke.queue({ address, bytes });
            poke.finish();
          } else if (kind === "poke") poke.poke(address, Uint8Array.of(INT3));
          else if (kind === "copy") poke.copy(address, bytes);
          else poke.set(bytesAt(address, 9), 0xcc);
          expect(poke.read(bytesAt(address, 1))).toEqual(poke.single.bytes(bytesAt(address, 1)));
        }
        poke.compare();
        expect(found).toEqual([]);
      }),
      { numRuns: 12 },
    );
  });
});

/** Replaces what a batch does around each step. */
const around =
  (
    before: (step: PokeStep, kernel: PatchKernel) => void,
    after: (step: PokeStep, kernel: PatchKernel) => void = () => undefined,
  ): Change =>
  (kernel, sound) => ({
    *batchSteps(items: readonly PokeItem[]) {
      for (const step of sound.batchSteps(items)) {
        before(step, kernel);
        yield step;
        after(step, kernel);
      }
    },
  });

describe("each rule is found broken by its name", () => {
  const run = (
    change: Change,
    work: (poke: WitnessedTextPoke) => void = (poke) => {
      poke.batch(batchOf(SITE));
    },
  ): string[] => {
    const kernel = withPcids([0, 1, 3]);
    const { poke, found } = witnessed(kernel, change);
    work(poke);
    return [...new Set(found)];
  };

  test("P1: a copy that is left behind", () => {
    const found = run((kernel, sound) => ({
      *batchSteps(items: readonly PokeItem[]) {
        yield* sound.batchSteps(items);
        put(kernel, 1, SITE, 0x90);
      },
    }));
    expect(found).toContain("P1");
  });
  test("P2: a copy that is behind at a synchronisation", () => {
    let first = -1;
    expect(
      run(
        around(
          (step, kernel) => {
            if (step.phase === "int3" && step.synchronised) put(kernel, 3, SITE, first);
            else if (first < 0) first = kernel.bytes(3, SITE, 1)[0]!;
          },
          (step, kernel) => {
            if (step.phase === "int3" && step.synchronised) put(kernel, 3, SITE, INT3);
          },
        ),
      ),
    ).toEqual(["P2"]);
  });
  test("P3: new bytes without the INT3, and a copy two steps ahead", () => {
    expect(
      run((_kernel, sound) => ({
        *batchSteps(items: readonly PokeItem[]) {
          for (const { address, bytes } of items) yield* sound.pokeSteps(address, bytes);
        },
      })),
    ).toContain("P3");
    const next = batchOf(SITE)[0]!.bytes;
    let done = false;
    expect(
      run(
        around((step, kernel) => {
          if (step.phase !== "int3" || step.node !== 0 || done) return;
          done = true;
          put(kernel, 1, SITE, ...next);
        }),
      ),
    ).toContain("P3");
  });
  test("P5: both pages of a site written in different copies", () => {
    expect(
      run((kernel, sound) => ({
        get pokingSpace() {
          const space = sound.pokingSpace;
          return Object.assign(Object.create(space) as typeof space, {
            aliasEntries: () =>
              space
                .aliasEntries()
                .map((entry: bigint, page: number) =>
                  page === 1 && entry !== 0n ? (entry & 0xfffn) | (BigInt(kernel.frame(3, 1)) << 12n) : entry,
                ),
          });
        },
      })),
    ).toEqual(["P5"]);
  });
  test("P6: an entry that stays, and a translation that stays", () => {
    const leave =
      (entry: boolean): Change =>
      (kernel, sound) => ({
        *batchSteps(items: readonly PokeItem[]) {
          const space = sound.pokingSpace;
          let kept: bigint | undefined;
          for (const step of sound.batchSteps(items)) {
            kept ??= space.aliasEntries()[0];
            yield step;
          }
          const table = (root: number, level: number): number =>
            level === 1
              ? root
              : table(
                  kernel.entries.low(root, Number((space.address >> BigInt(12 + 9 * (level - 1))) & 511n)) >>> 12,
                  level - 1,
                );
          const leaves = table(space.rootOf(0), 4);
          const index = Number((space.address >> 12n) & 511n);
          kernel.entries.write(leaves, index, Number(kept! & 0xffff_ffffn), Number(kept! >> 32n));
          const cpu = (kernel.machine as Machine).cpu(0);
          const { cr3 } = cpu;
          cpu.writeCr3((BigInt(space.rootOf(0)) << 12n) | (1n << 63n));
          cpu.load(Number(BigInt.asIntN(32, space.address)), Number(BigInt.asIntN(32, space.address >> 32n)));
          cpu.writeCr3(cr3 | (1n << 63n));
          if (!entry) kernel.entries.write(leaves, index, 0, 0);
        },
      });
    expect(run(leave(true))).toEqual(["P6"]);
    expect(run(leave(false))).toEqual(["P6"]);
  });
  test("P7: a pass for every node though one frame is behind the address, and a copy that is passed over", () => {
    expect(
      run(
        (_kernel, sound) => ({
          *batchSteps(items: readonly PokeItem[]) {
            for (const step of sound.batchSteps(items)) {
              yield step;
              if (!step.synchronised) yield { ...step, node: 1 };
            }
          },
        }),
        (poke) => {
          poke.batch(batchOf(SHARED));
        },
      ),
    ).toEqual(["P7"]);
    expect(
      run((kernel) => ({
        *batchSteps(items: readonly PokeItem[]) {
          for (const { address, bytes } of items) for (const node of [0, 1]) put(kernel, node, address, ...bytes);
          yield { phase: "sync", address: 0n, node: -1, synchronised: true } as PokeStep;
        },
      })),
    ).toEqual(expect.arrayContaining(["P1", "P7"]));
  });
  test("P11: a verification that reads one copy", () => {
    expect(
      run((_kernel, sound) => ({
        verify(address: bigint, bytes: Uint8Array) {
          if (sound.read(bytesAt(address, bytes.length)).some((byte, i) => byte !== bytes[i]))
            throw new Error("differs");
        },
      })),
    ).toEqual(["P11"]);
  });
  test("P12: text that is not what one copy would hold", () => {
    const kernel = withPcids([0, 1]);
    const { poke, found } = witnessed(kernel);
    poke.batch(batchOf(SITE));
    put(kernel, 1, TEXT + 0x800n, 0x42);
    poke.compare();
    expect(found).toEqual(["P12"]);
  });
});

test("phases: old, INT3 before the old and the new tail, new; a torn tail lies between", () => {
  const old = nops(5),
    next = branch32(CALL, TEXT, SHARED);
  const behind = (tail: Uint8Array): Uint8Array => Uint8Array.of(INT3, ...tail.subarray(1));
  expect(phasesOf(old, old, next)).toEqual([0, 0]);
  expect(phasesOf(behind(old), old, next)).toEqual([1, 1]);
  expect(phasesOf(behind(next), old, next)).toEqual([2, 2]);
  expect(phasesOf(next, old, next)).toEqual([3, 3]);
  expect(phasesOf(Uint8Array.of(INT3, next[1]!, old[2]!, old[3]!, old[4]!), old, next)).toEqual([1, 2]);
  expect(phasesOf(Uint8Array.of(old[0]!, next[1]!, old[2]!, old[3]!, old[4]!), old, next)).toBe(undefined);
});
