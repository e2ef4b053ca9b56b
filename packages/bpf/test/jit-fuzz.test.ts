/// <reference types="node" />
/**
 * The JIT on random streams. What the verifier accepts of them gives on the model's CPU what it gives in the
 * interpreter; what it refuses never gets to the compiler by way of the loader, and given to it directly is refused
 * with its place or becomes code whose faults the CPU stops, in its own pages.
 */
import { expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { Code } from "../src/isa/code.js";
import { compile } from "../src/jit/compile.js";
import { helpersOf, LoadedObject } from "../src/load.js";
import { RegionMemory } from "../src/memory.js";
import { ProgramPacks } from "../src/image/prog-pack.js";
import { noReplication } from "../src/ports.js";
import { FakeText } from "../src/testing/fake-text.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { plainHost } from "../src/testing/host.js";
import { Random } from "../src/testing/random.js";
import { verify } from "../src/verify/verifier.js";
import { CODE, FlatCpu } from "./support/flat-cpu.js";
import { place } from "./support/place.js";

const CONTEXT = 0xffff_8880_0000_0fc0n,
  VALUE = 0xffff_c900_0002_0fc0n,
  CODE_PAGES = 16;
const HELPERS = [5, 7, 8];
/** These take no arguments: what stands in r1 to r5 at a call may be anything. */
const helper = (id: number): bigint | undefined => (HELPERS.includes(id) ? BigInt(id * 1000) : undefined);
const COUNT = process.env["KREPLICA_PROOF"] === "1" ? 20_000 : 4000;

/** A program of the generator with some fields of some slots changed, or slots from nowhere. */
function stream(seed: number): Code {
  const random = new Random(seed);
  if (random.chance(50)) {
    const { code } = generateProgram(seed, { length: 4, wild: 1, careful: true, helpers: HELPERS }),
      changes = random.chance(70) ? 1 : 3;
    for (let i = 0; i < changes; i++) {
      const at = random.below(code.length);
      switch (random.below(5)) {
        case 0:
          code.opcode[at] = random.chance(60) ? code.opcode[random.below(code.length)]! : random.below(256);
          break;
        case 1:
          code.dst[at] = random.below(random.chance(90) ? 10 : 16);
          break;
        case 2:
          code.src[at] = random.below(random.chance(90) ? 10 : 16);
          break;
        case 3:
          code.offset[at] = random.chance(70) ? random.below(17) - 8 : (random.next() << 16) >> 16;
          break;
        default:
          code.imm[at] = random.immediate();
      }
    }
    return code;
  }
  const code = new Code(1 + random.below(12));
  for (let i = 0; i < code.length; i++) {
    const opcode = random.chance(80)
      ? random.pick([
          0xb7, 0xb7, 0xbf, 0x07, 0x0f, 0x1f, 0x27, 0x37, 0x3f, 0x97, 0x79, 0x61, 0x7b, 0x72, 0x15, 0x2d, 0x05, 0x06,
          0x85, 0x95, 0x18, 0xdb, 0xc3, 0x57, 0x77, 0xb4, 0x56, 0xd4, 0xdc, 0xd7, 0xc7,
        ])
      : random.below(256);
    code.set(
      i,
      opcode,
      random.below(11),
      random.chance(60) ? 0 : random.below(11),
      random.chance(60) ? 0 : random.below(12) - 3,
      random.chance(70) ? random.below(40) : random.immediate(),
    );
  }
  if (random.chance(80)) code.set(code.length - 1, 0x95);
  return code;
}

test("random streams: accepted ones run alike, refused ones are refused by loader and compiler or stopped by the CPU", () => {
  const flat = new FlatCpu(CODE_PAGES, [
    { address: CONTEXT, bytes: CONTEXT_BYTES },
    { address: VALUE, bytes: VALUE_BYTES },
  ]);
  const counts = { accepted: 0, "refused by the compiler too": 0, "compiled unverified": 0 },
    outcomes: Record<string, number> = {};
  const text = new FakeText(),
    packs = new ProgramPacks(text, text, text, noReplication),
    host = plainHost();
  for (let seed = 0; seed < COUNT; seed++) {
    const code = stream(seed),
      request = {
        type: "syscall" as const,
        maps: generatorMaps,
        contextBytes: CONTEXT_BYTES,
        privileged: false,
        limit: 1000,
      };
    const fill = (): void => {
      const random = new Random(seed);
      for (const { page } of flat.data) for (let i = 4096 - 64; i < 4096; i++) page[i] = random.next();
    };
    const compiled = (of: Code, functions: readonly number[], stackBytes: readonly number[]) =>
      compile({
        code: of,
        functions,
        stackBytes,
        address: CODE,
        helperAddress: (id) => (HELPERS.includes(id) ? flat.helperAddress(id) : undefined),
      });
    fill();
    let verified;
    try {
      verified = verify({ code, ...request });
    } catch (error) {
      if (!(error instanceof BpfError)) throw new Error(`seed ${seed}`, { cause: error });
    }
    // Helpers that the harness does not have are tested with the loader.
    if (verified && helpersOf(verified.code).some(({ id }) => !HELPERS.includes(id))) continue;
    if (verified) {
      counts.accepted++;
      const placed = place(verified.code, VALUE),
        region = new RegionMemory(),
        [context, value] = flat.data.map(({ page }) => page.slice(4096 - 64));
      region.map(CONTEXT, context!, true, "context");
      region.map(VALUE, value!, true, "value");
      const machine = new Interpreter(region, { helper, tailTarget: () => undefined });
      expect([seed, machine.run(placed, CONTEXT, 100_000)]).toEqual([seed, Outcome.Exit]);
      flat.load(CODE, compiled(placed, verified.functions, verified.stackBytes).bytes);
      const done = flat.call(CODE, CONTEXT, helper);
      expect([seed, done.outcome, done.result]).toEqual([seed, "exit", machine.result]);
      for (const [i, want] of [context!, value!].entries())
        expect([seed, Buffer.compare(flat.data[i]!.page.subarray(4096 - 64), want)]).toEqual([seed, 0]);
      continue;
    }
    if (seed % 16 === 0) {
      // By way of the loader nothing of a refused program is placed and no map is kept.
      const before = host.memory.regions().length,
        source = {
          name: "p",
          section: "syscall",
          type: "syscall" as const,
          target: "",
          code,
          functions: [{ name: "p", start: 0 }],
          lines: new Map(),
        };
      expect(
        () =>
          new LoadedObject(
            { license: "MIT", programs: [source], maps: generatorMaps, structOps: [], btf: undefined },
            host,
            {
              packs,
              helperAddress: (id) => flat.helperAddress(id),
              privileged: false,
              contextBytes: CONTEXT_BYTES,
              limit: 1000,
            },
          ),
      ).toThrow(BpfError);
      expect([text.areas.length, host.memory.regions().length]).toEqual([0, before]);
    }
    let machineCode;
    try {
      machineCode = compiled(place(code, VALUE), [0], [512]).bytes;
    } catch (error) {
      if (!(error instanceof BpfError) || error.code !== "jit-unsupported" || error.place.instruction === undefined)
        throw new Error(`seed ${seed}`, { cause: error });
      counts["refused by the compiler too"]++;
      continue;
    }
    counts["compiled unverified"]++;
    flat.load(CODE, machineCode);
    const done = flat.call(CODE, CONTEXT, helper, 5000);
    outcomes[done.outcome] = (outcomes[done.outcome] ?? 0) + 1;
  }
  console.log("jit fuzz:", counts, "unverified code ended:", outcomes);
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(COUNT / 20);
  expect(Object.keys(outcomes).sort()).toEqual(expect.arrayContaining(["exit", "stopped"]));
});
