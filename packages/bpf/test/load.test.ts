/// <reference types="node" />
/** Real programs from clang, verified, loaded and run in the interpreter: maps, helpers, tail calls, packets. */
import { bytesAt } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { ProgramPacks } from "../src/image/prog-pack.js";
import { Outcome } from "../src/interpreter.js";
import { LoadedObject } from "../src/load.js";
import type { RingBuffer } from "../src/maps/ring.js";
import { u32Bytes } from "../src/maps/map.js";
import { readObject } from "../src/object/read-object.js";
import { FakeText } from "../src/testing/fake-text.js";
import { plainHost } from "../src/testing/host.js";
import { noReplication } from "../src/ports.js";
import { buildObject, haveClang } from "./support/clang.js";

const CONTEXT = 0xffff_8880_0123_0000n;
const words = (...values: bigint[]): Uint8Array => {
  const b = new Uint8Array(96);
  values.forEach((v, i) => new DataView(b.buffer).setBigUint64(8 * i, BigInt.asUintN(64, v), true));
  return b;
};
const u64 = (bytes: Uint8Array): bigint => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);

function load(name: string, skip: readonly string[] = [], ...options: string[]) {
  const object = readObject(buildObject(name, ...options)),
    host = plainHost();
  const loaded = new LoadedObject(object, host, {
    programs: object.programs.map((each) => each.name).filter((each) => !skip.includes(each)),
  });
  const run = (program: string, ...values: bigint[]): bigint => {
    host.memory.map(CONTEXT, words(...values), false, "context");
    const { outcome, result } = loaded.interpret(loaded.program(program), CONTEXT);
    host.memory.release(CONTEXT);
    expect(Outcome[outcome]).toBe("Exit");
    return BigInt.asIntN(32, result);
  };
  return { loaded, host, run };
}
const key4 = u32Bytes,
  key8 = (v: bigint): Uint8Array => words(v).slice(0, 8);

describe.skipIf(!haveClang)("programs from clang", () => {
  test("packets read by helper: what lies behind the packet is an error and zeros", () => {
    const { loaded, host } = load("skb"),
      header = Uint8Array.of(
        0x45,
        0,
        0,
        60,
        0x1c,
        0x46,
        0x40,
        0,
        0x40,
        6,
        0xb1,
        0xe6,
        0xac,
        0x10,
        0x0a,
        0x63,
        0xac,
        0x10,
        0x0a,
        0x0c,
      );
    const run = (program: string, packet: Uint8Array): bigint => {
      const at = host.memory.allocate(packet.length + 64, "packet"),
        context = new Uint8Array(216),
        view = new DataView(context.buffer);
      host.memory.write(at, packet);
      view.setBigUint64(192, at, true);
      view.setBigUint64(200, at + BigInt(packet.length), true);
      host.memory.map(CONTEXT, context, true, "context");
      const { outcome, result } = loaded.interpret(loaded.program(program), CONTEXT);
      host.memory.release(CONTEXT);
      host.memory.release(at);
      expect(Outcome[outcome]).toBe("Exit");
      return BigInt.asIntN(32, result);
    };
    const whole = Uint8Array.of(...new Uint8Array(14), ...header);
    expect([run("protocol", whole), run("checksum", whole)]).toEqual([6n, 0n]);
    expect([
      run("protocol", whole.slice(0, 23)),
      run("protocol", whole.slice(0, 24)),
      run("checksum", whole.slice(0, 33)),
      run("protocol", new Uint8Array()),
    ]).toEqual([0n, 6n, -1n, 0n]);
    loaded.unload();
  });
  test.each(["v1", "v2", "v3"])("maps at -mcpu=%s: each does what its kind promises", (cpu) => {
    const { loaded, host, run } = load("maps", [], `-mcpu=${cpu}`);
    for (let i = 0; i < 5; i++) run("count", 2n);
    expect(run("count", 6n)).toBe(6n); // index 2 again
    expect(u64(host.memory.read(bytesAt(loaded.map("counts")!.lookup(key4(2), 0), 8))!)).toBe(6n);
    host.current = 3;
    run("count", 1n);
    expect([0, 1, 3].map((c) => u64(host.memory.read(bytesAt(loaded.map("per_cpu")!.lookup(key4(0), c), 8))!))).toEqual(
      [12n, 0n, 2n],
    );
    expect(run("remember", 7n)).toBe(0n);
    expect(run("remember", 7n)).toBe(22n);
    expect(run("forget", 7n)).toBe(0n);
    expect(run("forget", 7n)).toBe(-2n);
    for (let i = 0n; i < 16n; i++) expect(run("remember", i)).toBe(0n);
    expect(run("remember", 99n)).toBe(-7n); // full
    expect(loaded.map("records")!.keys()).toContainEqual(key8(15n));
    for (const k of [1n, 2n, 3n]) run("touch", k);
    expect(loaded.map("recent")!.keys()).toEqual([key4(2), key4(3)]); // two entries: the oldest went
    expect(u64(host.memory.read(bytesAt(loaded.map("per_cpu_hash")!.lookup(key4(3), 3), 8))!)).toBe(3n);
  });

  test("ring buffer: submitted records come out in order, discarded ones do not; a full ring gives nothing", () => {
    const { loaded, run } = load("maps");
    for (const n of [1n, 2n, 3n, 4n, 5n]) expect(run("send", n)).toBe(0n);
    const ring = loaded.map("ring") as RingBuffer;
    expect(ring.consume().map(u64)).toEqual([1n, 3n, 5n]);
    expect(ring.waiting).toBe(0);
    let sent = 0;
    while (run("send", 1n) === 0n) sent++;
    expect(sent).toBe(Math.floor(4096 / 24));
    expect(ring.consume().length).toBe(sent);
    expect(run("send", 1n)).toBe(0n);
  });

  test("ring buffer: a record that is not finished holds back those behind it", () => {
    const { loaded } = load("maps"),
      ring = loaded.map("ring") as RingBuffer;
    const [first, second] = [ring.reserve(8), ring.reserve(16)];
    expect(ring.finish(second, false)).toBe(true);
    expect(ring.consume()).toEqual([]);
    expect(ring.finish(first, false)).toBe(true);
    expect(ring.consume().map((record) => record.length)).toEqual([8, 16]);
    expect(ring.finish(first, false)).toBe(false);
  });

  test("longest prefix: the longest that matches decides", () => {
    const { loaded, run } = load("maps"),
      routes = loaded.map("routes")!;
    const set = (bits: number, a: number, b: number, hop: number): void => {
      routes.update(Uint8Array.of(...u32Bytes(bits), a, b, 0, 0), u32Bytes(hop), 0, 0);
    };
    set(8, 10, 0, 1);
    set(16, 10, 2, 2);
    set(0, 0, 0, 9);
    const address = (a: number, b: number, c: number, d: number): bigint =>
      BigInt(a | (b << 8) | (c << 16)) + BigInt(d) * (1n << 24n);
    expect([
      run("route", address(10, 1, 1, 1)),
      run("route", address(10, 2, 3, 4)),
      run("route", address(192, 168, 0, 1)),
    ]).toEqual([1n, 2n, 9n]);
    expect(routes.delete(Uint8Array.of(...u32Bytes(16), 10, 2, 0, 0))).toBe(0);
    expect(run("route", address(10, 2, 3, 4))).toBe(1n);
  });

  test("functions, global data and loops", () => {
    const { run } = load("calls"),
      table = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3];
    const sum = (n: number): number =>
      Array.from({ length: Math.min(n, 40) }, (_, i) => table[i & 15]! * 7).reduce((a, b) => a + b, 0);
    expect(run("main_program", 10n)).toBe(BigInt(sum(10)));
    expect(run("main_program", 100n)).toBe(BigInt(sum(10) + sum(100))); // the total stays in .bss
    expect(run("bytes", 7n)).toBe(35n);
  });

  test("each variable of a data section is its own", () => {
    const { run } = load("calls");
    expect([run("globals", 2n), run("globals", 3n)]).toEqual([11_503n, 11_506n]);
  });

  test("a tail call goes to the program in the slot, or past itself", () => {
    const { loaded, run } = load("calls");
    expect(run("chain", 1n)).toBe(1000n);
    expect(loaded.setTail("next", 1, loaded.program("last"))).toBe(true);
    expect(loaded.setTail("next", 4, loaded.program("last"))).toBe(false);
    expect([run("chain", 1n), run("chain", 2n)]).toEqual([77n, 1000n]);
  });

  test("packets: reads within bounds are accepted and right, the careless program is refused with its source line", () => {
    const object = readObject(buildObject("packet"));
    let refused: BpfError | undefined;
    try {
      new LoadedObject(object, plainHost(), { log: true });
    } catch (error) {
      refused = error as BpfError;
    }
    expect(refused?.code).toBe("verify-packet-range");
    expect(refused?.message).toMatch(/instruction \d+ \(.*packet\.c:\d+: return data\[4\];\)/);
    expect(refused?.log.some((line) => line.includes("R1=ctx(off=0,imm=0) R10=fp0"))).toBe(true);
    const { loaded, host } = load("packet", ["careless"]);
    const packet = new Uint8Array(40),
      PACKET = 0xffff_8880_0200_0000n;
    packet.set([0x08, 0x00], 12);
    packet.set([0x45], 14);
    packet[14 + 8] = 64;
    packet[14 + 9] = 17;
    packet[14 + 20 + 3] = 0x35;
    const run = (length: number): bigint => {
      const context = new Uint8Array(48),
        view = new DataView(context.buffer);
      view.setBigUint64(24, PACKET, true);
      view.setBigUint64(32, PACKET + BigInt(length), true);
      const live = packet.slice(0, length);
      host.memory.map(PACKET, live, true, "packet");
      host.memory.map(CONTEXT, context, false, "context");
      const { outcome, result } = loaded.interpret(loaded.program("filter"), CONTEXT);
      expect(Outcome[outcome]).toBe("Exit");
      if (length === 40) expect(live[22]).toBe(63);
      host.memory.release(PACKET);
      host.memory.release(CONTEXT);
      return result;
    };
    expect([run(40), run(37), run(20), run(14)]).toEqual([1n, 1n, 1n, 1n]);
    packet[14 + 20 + 3] = 0;
    expect(run(40)).toBe(2n);
    expect(u64(host.memory.read(bytesAt(loaded.map("protocols")!.lookup(key4(17), 0), 8))!)).toBe(2n);
  });

  test("unloading, and loading that fails at any point, leaves no memory and no code behind", () => {
    for (const name of ["maps", "calls", "packet"]) {
      const object = readObject(buildObject(name)),
        host = plainHost(),
        text = new FakeText();
      const packs = new ProgramPacks(text, text, text, noReplication);
      try {
        new LoadedObject(object, host, {
          packs,
          helperAddress: (id) => 0xffff_ffff_8100_0000n + BigInt(id * 16),
        }).unload();
      } catch (error) {
        expect(error).toBeInstanceOf(BpfError);
      }
      expect(host.memory.regions()).toEqual([]);
      expect(packs.report().every((pack) => pack.usedBytes === 0)).toBe(true);
      packs.dispose();
      expect(text.areas).toEqual([]);
    }
  });

  test("a helper's address not to be had at any point of compiling: refused, no memory and no code left", () => {
    const object = readObject(buildObject("maps")),
      outcomes: string[] = [];
    for (let given = 0; given < 40 && outcomes.at(-1) !== "loaded"; given++) {
      const host = plainHost(),
        text = new FakeText(),
        packs = new ProgramPacks(text, text, text, noReplication);
      let asked = 0;
      const helperAddress = (id: number): bigint | undefined =>
        asked++ < given ? 0xffff_ffff_8100_0000n + BigInt(id * 16) : undefined;
      try {
        new LoadedObject(object, host, { packs, helperAddress }).unload();
        outcomes.push("loaded");
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        outcomes.push(error.code);
      }
      expect([given, host.memory.regions()]).toEqual([given, []]);
      expect([given, packs.report().some(({ usedBytes }) => usedBytes > 0)]).toEqual([given, false]);
    }
    // Each program is compiled twice, to be measured and at its place: the second of those was refused, too.
    expect(outcomes.filter((each) => each === "jit-unsupported").length).toBeGreaterThan(2);
  });

  test("fuzz: flipped instructions of real programs load or are refused; what loads runs without a fault; nothing stays", () => {
    const objects = ["maps", "calls", "packet"].map((name) => readObject(buildObject(name)));
    let ran = 0,
      refused = 0;
    const edit = fc.record({
      at: fc.nat(200),
      field: fc.constantFrom("opcode", "dst", "src", "offset", "imm"),
      value: fc.oneof(fc.integer({ min: -40, max: 40 }), fc.nat(255)),
    });
    fc.assert(
      fc.property(
        fc.nat(2),
        fc.nat(20),
        fc.array(edit, { minLength: 1, maxLength: 2 }),
        fc.bigInt({ min: 0n, max: 1000n }),
        (which, program, edits, word) => {
          const object = objects[which]!,
            chosen = object.programs[program % object.programs.length]!,
            code = chosen.code.slice();
          for (const { at, field, value } of edits)
            (code[field as "imm"] as Int32Array)[at % code.length] =
              field === "dst" || field === "src" ? value & 15 : value;
          const host = plainHost();
          try {
            const loaded = new LoadedObject({ ...object, programs: [{ ...chosen, code }] }, host, { limit: 20_000 });
            if (chosen.type !== "xdp") {
              host.memory.map(CONTEXT, words(word, word * 3n), false, "context");
              const { outcome } = loaded.interpret(loaded.programs[0]!, CONTEXT, 200_000);
              expect(Outcome[outcome]).toBe("Exit");
              host.memory.release(CONTEXT);
            }
            loaded.unload();
            ran++;
          } catch (error) {
            if (!(error instanceof BpfError)) throw error;
            expect(error.place.instruction).toBeDefined();
            refused++;
          }
          expect(host.memory.regions()).toEqual([]);
        },
      ),
      { numRuns: 600 },
    );
    expect(ran).toBeGreaterThan(15);
    expect(refused).toBeGreaterThan(50);
  });
});
