/// <reference types="node" />
/**
 * Compiled programs on a CPU of the model against the eBPF interpreter: on every program that the verifier accepts both
 * give the same result and leave the same memory, and neither touches what is not the program's.
 *
 * 30,000 programs with KREPLICA_PROOF=1, 4,000 otherwise; KREPLICA_BPF_PROGRAMS sets the count.
 */
import { expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import type { Code } from "../src/isa/code.js";
import { compile } from "../src/jit/compile.js";
import { RegionMemory } from "../src/memory.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { Random } from "../src/testing/random.js";
import { verify } from "../src/verify/verifier.js";
import { CODE, FlatCpu } from "./support/flat-cpu.js";
import { modelHelper } from "./support/native.js";
import { place } from "./support/place.js";

const CONTEXT = 0xffff_8880_0000_0fc0n,
  VALUE = 0xffff_c900_0002_0fc0n,
  INPUTS = 2,
  FILL = 0xa5;
const CODE_PAGES = 128,
  PAGE = 4096;
const COUNT = Number(process.env["KREPLICA_BPF_PROGRAMS"] ?? (process.env["KREPLICA_PROOF"] === "1" ? 30_000 : 4000));

interface Ready {
  readonly text: string;
  readonly seed: number;
  readonly code: Code;
  readonly entry: bigint;
}

test("generated programs give the same result and memory on the model's CPU", () => {
  const flat = new FlatCpu(CODE_PAGES, [
      { address: CONTEXT, bytes: CONTEXT_BYTES },
      { address: VALUE, bytes: VALUE_BYTES },
    ]),
    pages = flat.data.map(({ page }) => page);
  const region = new RegionMemory(),
    regionPages = [CONTEXT, VALUE].map((address) => {
      const page = new Uint8Array(PAGE).fill(FILL);
      region.map(address - BigInt(PAGE - 64), page, true, "page");
      return page;
    });
  const machine = new Interpreter(region, { helper: modelHelper, tailTarget: () => undefined });
  const input = new Uint8Array(64);
  let accepted = 0,
    seed = 9_000_000,
    instructions = 0,
    slots = 0,
    length = 0,
    bytes = 0;

  // As many programs as the code pages hold are verified, compiled and placed, then all are run: one round of writing
  // and decoding for many.
  while (accepted < COUNT) {
    const batch: Ready[] = [];
    let at = 0;
    while (accepted + batch.length < COUNT) {
      const { code, text } = generateProgram(seed++, {
        wild: 0,
        careful: true,
        length: 3 + (seed % 10),
        helpers: [5, 7, 8],
      });
      let verified;
      try {
        verified = verify({
          code,
          type: "syscall",
          maps: generatorMaps,
          contextBytes: CONTEXT_BYTES,
          privileged: false,
          limit: 1000,
        });
      } catch (error) {
        if (error instanceof BpfError) continue;
        throw error;
      }
      const placed = place(verified.code, VALUE),
        entry = CODE + BigInt(at);
      const compiled = compile({
        code: placed,
        functions: verified.functions,
        stackBytes: verified.stackBytes,
        address: entry,
        helperAddress: (id) => flat.helperAddress(id),
      });
      if (at + compiled.bytes.length > CODE_PAGES * PAGE) {
        seed--;
        break;
      }
      flat.load(entry, compiled.bytes);
      batch.push({ text, seed: seed - 1, code: placed, entry });
      bytes += compiled.bytes.length;
      length += placed.length;
      at = Math.ceil((at + compiled.bytes.length) / 64) * 64;
    }
    for (const { text, seed: own, code, entry } of batch) {
      const random = new Random(own);
      for (let i = 0; i < INPUTS; i++) {
        for (let p = 0; p < 2; p++) {
          for (let n = 0; n < 64; n++) input[n] = (random.next() >>> (n & 3)) & (random.chance(30) ? 3 : 255);
          for (const page of [pages[p]!, regionPages[p]!]) {
            page.fill(FILL);
            page.set(input, PAGE - 64);
          }
        }
        const interpreted = machine.run(code, CONTEXT, 100_000),
          done = flat.call(entry, CONTEXT, modelHelper);
        if (interpreted !== Outcome.Exit || done.outcome !== "exit" || done.result !== machine.result) {
          throw new Error(
            `seed ${own}: ${done.outcome} ${done.reason} at ${done.rip.toString(16)}, r0 ${done.result.toString(16)}; interpreter ${Outcome[interpreted]} ${machine.result.toString(16)}\n${text}`,
          );
        }
        for (let p = 0; p < 2; p++)
          if (Buffer.compare(pages[p]!, regionPages[p]!) !== 0)
            throw new Error(`seed ${own}: ${["context", "value"][p]} differs\n${text}`);
        // The rest of both pages is nobody's: same on both sides is not enough.
        for (const page of pages)
          if (page[PAGE - 65] !== FILL || page[0] !== FILL)
            throw new Error(`seed ${own}: wrote before its memory\n${text}`);
        instructions += done.executed;
        slots += machine.executed;
      }
    }
    accepted += batch.length;
  }
  console.log(
    `model's CPU: ${accepted} programs accepted of ${seed - 9_000_000}, ${INPUTS} inputs each, ${(length / accepted).toFixed(1)} slots a program, ${(bytes / length).toFixed(2)} bytes of x86-64 a slot, ${(instructions / slots).toFixed(2)} x86 instructions for an eBPF one`,
  );
  expect(accepted).toBe(COUNT);
  expect(accepted / (seed - 9_000_000)).toBeGreaterThan(0.9);
}, 3_600_000);
