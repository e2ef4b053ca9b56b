/// <reference types="node" />
/**
 * Nothing that the verifier accepts faults, reads what was not written, or holds a number the verifier had excluded.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { expect, test } from "vitest";
import { BpfError } from "../src/errors.js";
import { Interpreter, Outcome } from "../src/interpreter.js";
import type { Code } from "../src/isa/code.js";
import { Pseudo } from "../src/isa/opcode.js";
import { RegionMemory } from "../src/memory.js";
import { CONTEXT_BYTES, generateProgram, generatorMaps, VALUE_BYTES } from "../src/testing/generate.js";
import { Random } from "../src/testing/random.js";
import { type Register, scalars } from "../src/verify/register.js";
import { Byte, type State } from "../src/verify/state.js";
import { verify } from "../src/verify/verifier.js";

const CONTEXT = 0xffff_8880_0000_1000n,
  VALUE = 0xffff_c900_1000_0ff8n;

/** Replaces references to map values by addresses, as the loader does. */
function place(code: Code): Code {
  const out = code.slice();
  for (let i = 0; i < out.length; i++)
    if (out.opcode[i] === 0x18) {
      if (out.src[i] === Pseudo.MapIndexValue) {
        out.setImm64(i, VALUE + BigInt(out.imm[i + 1]!));
        out.src[i] = 0;
      }
      i++;
    }
  return out;
}

function machine(seed: number, garbage: number): { run: Interpreter; memory: RegionMemory } {
  const random = new Random(seed),
    memory = new RegionMemory();
  const fill = (n: number): Uint8Array =>
    Uint8Array.from({ length: n }, () => (random.chance(30) ? random.below(4) : random.below(256)));
  memory.map(CONTEXT, fill(CONTEXT_BYTES), true, "context");
  memory.map(VALUE, fill(VALUE_BYTES), true, "value");
  const run = new Interpreter(memory, undefined, garbage);
  memory.write(
    run.stack,
    Uint8Array.from({ length: 4096 }, (_, i) => Math.imul(i + garbage, 0x9e3779b1) >>> 24),
  );
  return { run, memory };
}

/** Whether the concrete value is one that the register's description allows. */
function allowed(r: Register, value: bigint, stackTop: (frame: number) => bigint): boolean {
  if (r.kind === "unset") return true;
  if (r.kind === "scalar") return scalars.contains(r.number, value);
  const base = r.kind === "ctx" ? CONTEXT : r.kind === "fp" ? stackTop(r.frame) : VALUE;
  return scalars.contains(r.number, BigInt.asUintN(64, value - base - BigInt(r.offset)));
}

function check(
  count: number,
  first: number,
  strict: boolean,
): { accepted: number; refusals: Map<string, number>; compared: number; halves: number } {
  const refusals = new Map<string, number>();
  let accepted = 0,
    compared = 0,
    halves = 0;
  for (let seed = first; seed < first + count; seed++) {
    const { code, text } = generateProgram(seed);
    const states = new Map<number, State[]>();
    let verified;
    try {
      verified = verify({
        code,
        type: "syscall",
        maps: generatorMaps,
        contextBytes: CONTEXT_BYTES,
        privileged: false,
        strictPruning: strict,
        limit: 3000,
        visit: (at, state) => {
          const list = states.get(at);
          if (list) list.push(state);
          else states.set(at, [state]);
        },
      });
    } catch (error) {
      if (!(error instanceof BpfError)) throw new Error(`seed ${seed}:\n${text}`, { cause: error });
      refusals.set(error.code, (refusals.get(error.code) ?? 0) + 1);
      continue;
    }
    accepted++;
    const placed = place(verified.code);
    for (let input = 0; input < 3; input++) {
      const one = machine(seed * 3 + input, 1),
        two = machine(seed * 3 + input, 77);
      const top = (frame: number): bigint => one.run.stack + 4096n - 512n * BigInt(frame);
      one.run.observer = (_code, pc) => {
        const list = states.get(pc) ?? [],
          live = verified.liveness.live[pc]!,
          exact = verified.liveness.exact[pc]!,
          exactSlot = (at: number, i: number): boolean =>
            ((i < 32 ? verified.liveness.exactNear[at]! >> i : verified.liveness.exactFar[at]! >> (i - 32)) & 1) !== 0;
        const fits = list.some((state) => {
          if (state.frames.length !== one.run.depth + 1) return false;
          for (let r = 0; r <= 10; r++) {
            if (r !== 10 && ((live >> r) & 1) === 0) continue;
            if (!strict && ((exact >> r) & 1) === 0) continue;
            if (!allowed(state.top.registers[r]!, one.run.register(r), top)) return false;
          }
          return state.top.stack.every((slot, i) => {
            if (!slot.spill || slot.bytes[0] !== Byte.Spill || (!strict && !exactSlot(pc, i))) return true;
            const raw = new DataView(one.memory.read(bytesAt(top(one.run.depth) - 8n * BigInt(i + 1), 8))!.buffer),
              half = slot.bytes[7] !== Byte.Spill;
            if (half) halves++;
            return allowed(slot.spill, half ? BigInt(raw.getUint32(0, true)) : raw.getBigUint64(0, true), top);
          });
        });
        compared++;
        if (!fits)
          throw new Error(
            `seed ${seed} input ${input}: at ${pc} no state of the verifier holds the machine's registers ${Array.from({ length: 11 }, (_, r) => `r${r}=${one.run.register(r).toString(16)}`).join(" ")}\n${text}`,
          );
      };
      const outcome = one.run.run(placed, CONTEXT, 100_000);
      if (outcome !== Outcome.Exit)
        throw new Error(`seed ${seed}: accepted, yet ended with ${Outcome[outcome]} at ${one.run.pc}\n${text}`);
      two.run.run(placed, CONTEXT, 100_000);
      const same =
        one.run.result === two.run.result &&
        [
          [CONTEXT, CONTEXT_BYTES],
          [VALUE, VALUE_BYTES],
        ].every(
          ([at, n]) =>
            Buffer.compare(
              one.memory.read(bytesAt(at as bigint, n as number))!,
              two.memory.read(bytesAt(at as bigint, n as number))!,
            ) === 0,
        );
      if (!same) throw new Error(`seed ${seed}: the result depends on what was never written\n${text}`);
    }
  }
  return { accepted, refusals, compared, halves };
}

const COUNT = Number(process.env["KREPLICA_BPF_PROGRAMS"] ?? 1500);

test("strict: every live register and every spilled value lies in a state that the verifier recorded", () => {
  const { accepted, refusals, compared, halves } = check(COUNT, 0, true);
  console.log(
    `strict: ${accepted} of ${COUNT} accepted, ${compared} machine states compared; refused:`,
    Object.fromEntries(refusals),
  );
  expect(accepted).toBeGreaterThan(COUNT / 4);
  expect(compared).toBeGreaterThan(10 * COUNT);
  // Spills of four bytes were among what was compared.
  expect(halves).toBeGreaterThan(COUNT);
  expect(refusals.size).toBeGreaterThan(4);
}, 3_600_000);

test("loose, as in use: what can still decide something lies in a recorded state", () => {
  expect(check(COUNT, 1_000_000, false).accepted).toBeGreaterThan(COUNT / 4);
}, 3_600_000);
