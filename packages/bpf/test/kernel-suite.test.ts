/// <reference types="node" />
/**
 * The kernel's public suite for the instruction set, lib/test_bpf of the day's Debian kernel, and of the next
 * release's, which has cases for version 4: each eBPF case interpreted, and compiled and executed by a CPU of the
 * model. KREPLICA_BPF_SUITE=all takes the large cases too; without KREPLICA_PROOF=1 one in eight of the cases that the
 * suite writes at run time. Of the second suite these repeat the first: they are taken with KREPLICA_BPF_SUITE=all.
 *
 * Out of scope: the suite's classic BPF cases, which the kernel translates before it runs them; its tail call cases,
 * whose programs are linked by functions of the kernel.
 */
import { expect, test } from "vitest";
import { Interpreter, Outcome } from "../src/interpreter.js";
import { CALL, CallKind } from "../src/isa/opcode.js";
import type { Code } from "../src/isa/code.js";
import { compile } from "../src/jit/compile.js";
import { RegionMemory } from "../src/memory.js";
import { CODE, FlatCpu } from "./support/flat-cpu.js";
import { kernelSuite, type KernelCase } from "./support/kernel-suite.js";

const ALL = process.env["KREPLICA_BPF_SUITE"] === "all",
  PROOF = process.env["KREPLICA_PROOF"] === "1";
/** Enough for the largest case: 200,000 slots. */
const CODE_PAGES = 512,
  MEMORY_BYTES = 32768,
  MEMORY = 0xffff_8880_0001_0000n - BigInt(MEMORY_BYTES);
/**
 * One of so many of the cases that try operands of every magnitude with 100,000 slots and more is taken without
 * KREPLICA_BPF_SUITE.
 */
const LARGE_SHARE = 24;

/**
 * Groups of version 4 of the instruction set, which is younger than Linux 6.1, with the cases that Linux 6.12 has of
 * each.
 */
const VERSION_4 = {
  "sign-extending moves": 5,
  "sign-extending loads": 3,
  "signed division": 8,
  "unconditional swaps": 8,
  "long jumps": 1,
};
const SUITES = [
  { release: undefined, of: "the day's kernel", repeats: false, groups: {} as Record<string, number> },
  { release: "trixie", of: "Debian trixie's kernel", repeats: true, groups: VERSION_4 as Record<string, number> },
];

const GROUPS: readonly (readonly [string, RegExp])[] = [
  ["sign-extending moves", /MOVSX/],
  ["sign-extending loads", /MEMSX/],
  ["signed division", /SDIV|SMOD/],
  ["unconditional swaps", /BSWAP/],
  ["long jumps", /JMP32_JA/],
  ["atomics", /atomic/i],
  ["byte order", /END/],
  ["64-bit immediates", /LD_IMM64/],
  ["32-bit jumps", /JMP32/],
  ["jumps", /JMP|^J\w+ |jumps|Jump|JA/],
  ["loads and stores", /LDX|STX|ST_MEM|\bLD\b|ST/],
  ["64-bit ALU", /ALU64/],
  ["32-bit ALU", /ALU/],
];
const groupOf = (name: string): string => GROUPS.find(([, pattern]) => pattern.test(name))?.[0] ?? "programs";

function functionsOf(code: Code): number[] {
  const starts = new Set([0]);
  for (let i = 0; i < code.length; i++)
    if (code.opcode[i] === CALL && code.src[i] === CallKind.Local) starts.add(i + 1 + code.imm[i]!);
  return [...starts].sort((a, b) => a - b);
}

for (const { release, of, repeats, groups } of SUITES) {
  const suite = kernelSuite(release);
  if (typeof suite === "string")
    console.warn(`\n*** no kernel suite for the instruction set from ${of}: ${suite} ***\n`);
  test.skipIf(typeof suite === "string")(
    `every case of ${of}: interpreter and compiled code on the model's CPU give the result that the suite wants`,
    () => {
      if (typeof suite === "string") return;
      const large = (each: KernelCase): boolean => each.filled && /magnitudes|bytes|max_jmp/i.test(each.name);
      const wanted = suite.cases.filter((each) => !each.classic),
        share = (each: KernelCase): number => (large(each) ? LARGE_SHARE : each.filled && !PROOF ? 8 : 1);
      const taken = wanted.filter((each) => ALL || (!(repeats && each.filled) && each.index % share(each) === 0));
      const flat = new FlatCpu(CODE_PAGES, [{ address: MEMORY, bytes: MEMORY_BYTES }]),
        passed: Record<string, number> = {};
      let slots = 0;
      for (const each of taken) {
        const code = each.code(),
          functions = functionsOf(code),
          bytes = each.memory ?? 0;
        expect(bytes, `${each.name}: memory`).toBeLessThanOrEqual(MEMORY_BYTES);
        const region = new RegionMemory();
        if (bytes > 0) region.map(MEMORY, new Uint8Array(bytes), true, "memory");
        const machine = new Interpreter(region);
        expect(
          `${each.name}: ${Outcome[machine.run(code, bytes > 0 ? MEMORY : 0n, 100_000_000)]} ${machine.result & 0xffff_ffffn}`,
        ).toBe(`${each.name}: Exit ${each.result}`);
        const compiled = compile({
          code,
          functions,
          stackBytes: functions.map(() => 512),
          address: CODE,
          helperAddress: () => undefined,
        });
        flat.load(CODE, compiled.bytes);
        const done = flat.call(CODE, bytes > 0 ? MEMORY : 0n, () => undefined, 100_000_000);
        expect(`${each.name}: ${done.outcome} ${done.reason} ${done.result & 0xffff_ffffn}`).toBe(
          `${each.name}: exit  ${each.result}`,
        );
        const group = groupOf(each.name);
        passed[group] = (passed[group] ?? 0) + 1;
        slots += code.length;
      }
      console.log(
        `kernel's suite (lib/test_bpf of ${of}): ${taken.length} of ${wanted.length} eBPF cases, ${slots} slots, by group:`,
        passed,
        `; ${suite.cases.length - wanted.length} classic cases are out of scope`,
      );
      expect(wanted.length).toBeGreaterThan(800);
      for (const [group, atLeast] of Object.entries(groups))
        expect(passed[group], group).toBeGreaterThanOrEqual(atLeast);
    },
    3_600_000,
  );
}
