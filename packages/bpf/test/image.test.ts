/// <reference types="node" />
/**
 * Packs, trampolines, dispatcher and struct_ops: the life of their pages on the ports, and their code on a real CPU.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assemble as wire, bind, bindValue } from "@kreplica/di";
import { BpfError } from "../src/errors.js";
import { Dispatcher, dispatcherCode, MOST_DISPATCHED } from "../src/image/dispatcher.js";
import { CHUNK_BYTES, PACK_BYTES, ProgramPacks } from "../src/image/prog-pack.js";
import { StructOpsImages } from "../src/image/struct-ops.js";
import { MOST_PROGRAMS, Trampolines, trampolineCode } from "../src/image/trampoline.js";
import { bpfImages, type CodePlace, Packs, type TraceTarget } from "../src/index.js";
import { assemble } from "../src/isa/assemble.js";
import { compile } from "../src/jit/compile.js";
import { CodeAreas, CodePermissions, CodeReplication, CodeWriter, noReplication, PackSize } from "../src/ports.js";
import { FakeText } from "../src/testing/fake-text.js";
import { ARENA, CODE, haveNative, nativeHelper, runNative } from "./support/native.js";
import { injectable } from "@kreplica/di";

const code = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof BpfError) return error.code;
    throw error;
  }
  return "accepted";
};

describe("packs", () => {
  test("many small programs share one area, which changes permission once", () => {
    const text = new FakeText(),
      packs = new ProgramPacks(text, text, text, noReplication);
    const places = Array.from({ length: 100 }, (_, i) => packs.allocate(40 + i));
    expect(text.log).toEqual(["allocate bpf pack", "rox bpf pack"]);
    expect(packs.report()).toEqual([
      {
        address: text.areas[0]!.address,
        usedBytes: places.reduce((sum, each) => sum + each.bytes, 0),
        bytes: PACK_BYTES,
      },
    ]);
    // Empty again, the only pack stays for the next program.
    for (const place of places) packs.free(place);
    expect(text.log).toEqual(["allocate bpf pack", "rox bpf pack"]);
  });
  test("replicated on request: after the filling, before the permissions; single areas too", () => {
    const text = new FakeText(),
      packs = new ProgramPacks(text, text, text, text);
    packs.allocate(10);
    const large = packs.allocate(PACK_BYTES + 1);
    expect(text.log).toEqual([
      "allocate bpf pack",
      "replicate bpf pack",
      "rox bpf pack",
      "allocate bpf program",
      "replicate bpf program",
      "rox bpf program",
    ]);
    expect([large.pack, large.bytes]).toEqual([false, PACK_BYTES + 4096]);
    packs.free(large);
    expect(text.log.at(-1)).toBe("release bpf program");
  });
  test("any order of placing and freeing: no two places meet, free room is full of traps, all comes back", () => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          bytes: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: PACK_BYTES >> 2, max: PACK_BYTES })),
        }),
      },
      { weight: 2, arbitrary: fc.record({ free: fc.nat(50) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
        const text = new FakeText(),
          packs = new ProgramPacks(text, text, text, noReplication),
          live: { place: CodePlace; mark: number }[] = [];
        let mark = 0;
        for (const each of steps) {
          if ("bytes" in each) {
            const place = packs.allocate(each.bytes);
            expect(Number(place.address % BigInt(CHUNK_BYTES))).toBe(0);
            expect(place.bytes).toBeGreaterThanOrEqual(each.bytes);
            expect(text.read(bytesAt(place.address, place.bytes)).every((byte) => byte === 0xcc)).toBe(true);
            packs.write(place, new Uint8Array(place.bytes).fill(++mark % 200));
            live.push({ place, mark: mark % 200 });
          } else if (live.length > 0) packs.free(live.splice(each.free % live.length, 1)[0]!.place);
          for (const { place, mark: own } of live) {
            const bytes = text.read(bytesAt(place.address, place.bytes));
            expect(bytes[0] === own && bytes[bytes.length - 1] === own).toBe(true);
          }
          expect(packs.report().reduce((sum, pack) => sum + pack.usedBytes, 0)).toBe(
            live.reduce((sum, { place }) => sum + place.bytes, 0),
          );
        }
        for (const { place } of live) packs.free(place);
        expect(text.areas.length).toBeLessThanOrEqual(1);
        packs.dispose();
        expect(text.areas).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
  test("a pack is as large as it is told: all of it can be filled, and not a byte more", () => {
    const text = new FakeText(),
      packs = new ProgramPacks(text, text, text, noReplication, { bytes: 3 * PACK_BYTES });
    expect(packs.allocate(PACK_BYTES + 1).pack).toBe(true);
    expect(packs.allocate(2 * PACK_BYTES - CHUNK_BYTES).pack).toBe(true);
    expect(packs.report().map(({ bytes, usedBytes }) => [bytes, usedBytes])).toEqual([
      [3 * PACK_BYTES, 3 * PACK_BYTES],
    ]);
    expect(packs.allocate(3 * PACK_BYTES + 1).pack).toBe(false);
  });

  test("no room: refused, nothing kept; freeing twice or what is not ours: refused", () => {
    const text = new FakeText(),
      packs = new ProgramPacks(text, text, text, noReplication);
    text.left = 0;
    expect(code(() => packs.allocate(5))).toBe("image-no-space");
    text.left = 1;
    const place = packs.allocate(5);
    packs.free(place);
    expect(code(() => packs.free(place))).toBe("image-not-ours");
  });
});

@injectable()
class Text extends FakeText {
  constructor() {
    super();
  }
}
test("the plugin assembles with the five ports", () => {
  const kernel = wire([
    bpfImages,
    {
      name: "fakes",
      bindings: [
        bind(CodeAreas, Text),
        bind(CodePermissions, Text),
        bind(CodeWriter, Text),
        bind(CodeReplication, Text),
        bindValue(PackSize, { bytes: 3 * PACK_BYTES }),
      ],
    },
  ]);
  expect(kernel.get(Packs)).toBeInstanceOf(ProgramPacks);
});

describe("trampolines", () => {
  const NOP = [0x0f, 0x1f, 0x44, 0x00, 0x00];
  function kernel(): { text: FakeText; target: TraceTarget } {
    const text = new FakeText(),
      address = text.allocate(4096, "kernel text")!;
    text.write(address, Uint8Array.from([...NOP, 0xc3]));
    text.readOnlyExecutable({ start: address, pages: 1 });
    text.log.length = 0;
    return { text, target: { address, arguments: 2 } };
  }
  test("each change is a new image, tight before the call turns to it; the old one goes after everybody left it", () => {
    const { text, target } = kernel(),
      trampolines = new Trampolines(text, text, text, text);
    trampolines.attach(target, "entry", 0xffff_ffff_c100_0000n);
    trampolines.attach(target, "exit", 0xffff_ffff_c100_0040n);
    const build = ["allocate bpf trampoline", "replicate bpf trampoline", "rox bpf trampoline", "live call"],
      retire = ["settle", "rw-nx bpf trampoline", "release bpf trampoline"];
    expect(text.log).toEqual([...build, ...build, ...retire]);
    const call = text.read(bytesAt(target.address, 5));
    expect(target.address + 5n + BigInt(new DataView(call.buffer).getInt32(1, true))).toBe(trampolines.imageOf(target));
    trampolines.detach(target, 0xffff_ffff_c100_0000n);
    trampolines.detach(target, 0xffff_ffff_c100_0040n);
    expect(text.read(bytesAt(target.address, 5))).toEqual(Uint8Array.from(NOP));
    expect(text.log.slice(-4)).toEqual(["live nop", ...retire]);
    expect(text.areas.map((area) => area.what)).toEqual(["kernel text"]);
  });
  test("refusals leave the function as it was", () => {
    const { text, target } = kernel(),
      trampolines = new Trampolines(text, text, text, noReplication);
    expect(code(() => trampolines.detach(target, 1n))).toBe("trampoline-not-attached");
    expect(code(() => trampolines.attach({ address: target.address + 1n, arguments: 0 }, "entry", 1n))).toBe(
      "trampoline-bad-site",
    );
    text.left = 0;
    expect(code(() => trampolines.attach(target, "entry", 0xffff_ffff_c100_0000n))).toBe("trampoline-no-space");
    expect(text.read(bytesAt(target.address, 5))).toEqual(Uint8Array.from(NOP));
    text.left = 1;
    trampolines.attach(target, "entry", 0xffff_ffff_c100_0000n);
    const image = trampolines.imageOf(target);
    expect(code(() => trampolines.attach(target, "exit", 0xffff_ffff_c100_0040n))).toBe("trampoline-no-space");
    expect(trampolines.imageOf(target)).toBe(image);
    expect(code(() => trampolines.detach(target, 0xffff_ffff_c100_0040n))).toBe("trampoline-not-attached");
    text.left = 1000;
    trampolines.detach(target, 0xffff_ffff_c100_0000n);
    for (let i = 0; i < MOST_PROGRAMS; i++)
      trampolines.attach(target, i % 2 ? "entry" : "exit", 0xffff_ffff_c100_0000n + BigInt(i * 64));
    expect(code(() => trampolines.attach(target, "entry", 5n))).toBe("trampoline-too-many");
  });
});

describe("dispatcher and struct_ops", () => {
  test("the dispatcher's page changes permission once and serves from alternating halves", () => {
    const text = new FakeText(),
      dispatcher = new Dispatcher(text, text, text, text);
    const entries = [1n, 2n, 3n].map((n) => {
      dispatcher.add(0xffff_ffff_c200_0000n + n * 64n);
      return dispatcher.entry! - text.areas[0]!.address;
    });
    expect(entries).toEqual([2048n, 0n, 2048n]);
    dispatcher.add(0xffff_ffff_c200_0000n + 64n);
    dispatcher.remove(0xffff_ffff_c200_0000n + 64n);
    expect(text.log).toEqual([
      "allocate bpf dispatcher",
      "replicate bpf dispatcher",
      "rox bpf dispatcher",
      "settle",
      "settle",
      "settle",
    ]);
    expect(code(() => dispatcher.remove(1n))).toBe("dispatcher-not-attached");
    for (let i = 4; i <= MOST_DISPATCHED; i++) dispatcher.add(0xffff_ffff_c200_0000n + BigInt(i * 64));
    expect(code(() => dispatcher.add(7n))).toBe("dispatcher-full");
    dispatcher.dispose();
    expect(text.areas).toEqual([]);
  });
  test("struct_ops: published read-only and executable with pointers into the image, retracted writable, then freed", () => {
    const text = new FakeText(),
      images = new StructOpsImages(text, text, text);
    const definition = {
      name: "steady",
      structure: "ops",
      value: new Uint8Array(24),
      members: [
        { name: "a", offset: 0, program: "a" },
        { name: "b", offset: 16, program: "b" },
      ],
    };
    expect(code(() => images.publish(definition, new Map([["a", 1n]])))).toBe("struct-ops-no-program");
    expect(text.areas).toEqual([]);
    const image = images.publish(
      definition,
      new Map([
        ["a", 0xffff_ffff_c300_0000n],
        ["b", 0xffff_ffff_c300_0040n],
      ]),
    );
    const view = new DataView(image.value.buffer);
    expect(view.getBigUint64(0, true)).toBe(image.address);
    expect(view.getBigUint64(16, true) - image.address).toBeGreaterThan(20n);
    images.retract(image);
    expect(text.log).toEqual([
      "allocate bpf struct_ops",
      "replicate bpf struct_ops",
      "rox bpf struct_ops",
      "rw-nx bpf struct_ops",
      "release bpf struct_ops",
    ]);
    expect(code(() => images.retract(image))).toBe("struct-ops-not-published");
  });
});

describe.skipIf(!haveNative)("image code on a real CPU", () => {
  const DATA = ARENA + 0x1000n,
    PROGRAM = CODE + 0x1000n,
    SECOND = CODE + 0x2000n,
    IMAGE = CODE + 0x3000n;
  const program = (text: string, address: bigint): { address: bigint; bytes: Uint8Array } => ({
    address,
    bytes: compile({ code: assemble(text), functions: [0], stackBytes: [0], address, helperAddress: nativeHelper })
      .bytes,
  });
  const toData = (offset: number): string => `r2 = 0x${DATA.toString(16)} ll; *(u64 *)(r2 + ${offset}) = r0`;
  // f(x): lea rax, [rdi + 2 rdi]; ret -- behind the five bytes of a call of the trampoline
  const traced = (call: bigint | undefined): { address: bigint; bytes: Uint8Array } => {
    const site = new Uint8Array([0x0f, 0x1f, 0x44, 0, 0, 0x48, 0x8d, 0x04, 0x7f, 0xc3]);
    if (call !== undefined) {
      site[0] = 0xe8;
      new DataView(site.buffer).setInt32(1, Number(call - CODE - 5n), true);
    }
    return { address: CODE, bytes: site };
  };
  test("entry programs see the arguments, exit programs also the result; the function's result is its own", () => {
    const entry = program(`r0 = *(u64 *)(r1 + 0); ${toData(0)}; r0 = 999; exit`, PROGRAM),
      exit = program(`r0 = *(u64 *)(r1 + 8); ${toData(8)}; r0 = 888; exit`, SECOND);
    const run = (programs: { entry: bigint[]; exit: bigint[] }) =>
      runNative([
        {
          regions: [
            traced(IMAGE),
            { address: DATA, bytes: new Uint8Array(16) },
            entry,
            exit,
            { address: IMAGE, bytes: trampolineCode({ address: CODE, arguments: 1 }, programs, IMAGE) },
          ],
          entry: CODE,
          argument: 14n,
        },
      ])[0]!;
    const seen = (programs: { entry: bigint[]; exit: bigint[] }): bigint[] => {
      const { r0, regions } = run(programs),
        view = new DataView(regions[1]!.buffer);
      return [r0, view.getBigUint64(0, true), view.getBigUint64(8, true)];
    };
    expect(seen({ entry: [PROGRAM], exit: [] })).toEqual([42n, 14n, 0n]);
    expect(seen({ entry: [], exit: [SECOND] })).toEqual([42n, 0n, 42n]);
    expect(seen({ entry: [PROGRAM, PROGRAM], exit: [SECOND, SECOND] })).toEqual([42n, 14n, 42n]);
  });
  test("the dispatcher reaches each of its programs, and others too", () => {
    const count = 9,
      programs = Array.from({ length: count + 1 }, (_, i) =>
        program(`r0 = ${100 + i}; exit`, CODE + 0x1000n + BigInt(i) * 64n),
      );
    const dispatch = {
      address: IMAGE,
      bytes: dispatcherCode(
        programs.slice(0, count).map((each) => each.address),
        IMAGE,
      ),
    };
    // Without its indirect jumps (ff e2 -> ud2) it must still reach every program that it knows.
    const direct = {
      ...dispatch,
      bytes: dispatch.bytes.map((byte, i, all) =>
        byte === 0xff && all[i + 1] === 0xe2 ? 0x0f : byte === 0xe2 && all[i - 1] === 0xff ? 0x0b : byte,
      ),
    };
    // mov rdx, rdi; jmp dispatcher
    const start = new Uint8Array([0x48, 0x89, 0xfa, 0xe9, 0, 0, 0, 0]);
    new DataView(start.buffer).setInt32(4, Number(IMAGE - CODE - 8n), true);
    const results = runNative(
      programs.map((each) => ({
        regions: [{ address: CODE, bytes: start }, dispatch, ...programs],
        entry: CODE,
        argument: each.address,
      })),
    );
    expect(results.map((each) => each.r0)).toEqual(programs.map((_, i) => BigInt(100 + i)));
    const known = runNative(
      programs.slice(0, count).map((each) => ({
        regions: [{ address: CODE, bytes: start }, direct, ...programs],
        entry: CODE,
        argument: each.address,
      })),
    );
    expect(known.map((each) => each.r0)).toEqual(programs.slice(0, count).map((_, i) => BigInt(100 + i)));
  });
  test("a struct_ops function hands its arguments to its program and returns what that returns", () => {
    const text = new FakeText(IMAGE),
      images = new StructOpsImages(text, text, noReplication);
    const image = images.publish(
      { name: "s", structure: "s", value: new Uint8Array(8), members: [{ name: "f", offset: 0, program: "p" }] },
      new Map([["p", PROGRAM]]),
    );
    const results = runNative([
      {
        regions: [
          program("r0 = *(u64 *)(r1 + 0); r0 *= 6; exit", PROGRAM),
          { address: IMAGE, bytes: text.read(bytesAt(image.address, 4096)) },
        ],
        entry: IMAGE,
        argument: 7n,
      },
    ]);
    expect(results[0]!.r0).toBe(42n);
  });
});
