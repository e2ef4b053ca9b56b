/**
 * What a processor and the model did with one instance, compared: everything both manuals define, by vendor. What a
 * hypervisor does to one field of one case is in {@link HYPERVISORS}, with the reason; all other fields are compared.
 * Decisions and sources: docs/decisions/016-two-vendors.md.
 */
import type { Vendor } from "../../src/spec.js";
import type { Instance, Outcome } from "./native.js";
import { undefinedFlags, undefinedResult } from "./undefined-flags.js";

export const hex = (x: bigint | number): string => x.toString(16);
export const REGISTERS = [
  "rax",
  "rcx",
  "rdx",
  "rbx",
  "rsp",
  "rbp",
  "rsi",
  "rdi",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
];

const RESUME = 0x1_0000n,
  TRAP = 0x100n;

/** One field that a hypervisor changes in one case. */
export interface Exclusion {
  readonly vendor: Vendor;
  /** Which instances, which field. */
  readonly what: string;
  readonly reason: string;
  /**
   * The outcome with the field as it is without the hypervisor, where it has the hypervisor's value; any other wrong
   * value stays.
   */
  readonly undo: (instance: Instance, processor: Outcome) => Outcome;
}

/**
 * KVM on AMD processors has #DB intercepted and delivers it again itself; an exception that is not intercepted costs a
 * fifth of the time (measured).
 */
export const HYPERVISORS: readonly Exclusion[] = [
  {
    vendor: "amd",
    what: "INT1: the saved RIP is the instruction's own",
    reason:
      "the exit state of INT1 has the RIP of the instruction, and what is delivered again has it too; the trap itself saves the next instruction's",
    undo: ({ shape, code, codeAt }, processor) =>
      shape.text === "int1" && processor.trap === 1 && processor.rip === codeAt
        ? { ...processor, rip: codeAt + BigInt(code.length) }
        : processor,
  },
  {
    vendor: "amd",
    what: "a single-step trap before the last iteration of a repeated string instruction: RF is clear in the saved flags",
    reason:
      'RF is set only in what the processor itself pushes (APM vol. 2, "Resume Flag (RF) Bit"); what is delivered again has the RFLAGS of the exit, in which it is not yet set',
    undo: ({ shape, codeAt, state }, processor) =>
      /^rep/.test(shape.text) && (state.flags & TRAP) !== 0n && processor.trap === 1 && processor.rip === codeAt
        ? { ...processor, flags: processor.flags | RESUME }
        : processor,
  },
];

/** Differences in words; empty when both agree on all that is defined. */
export function differences(vendor: Vendor, instance: Instance, seen: Outcome, model: Outcome): string[] {
  const { shape, state } = instance;
  const processor = HYPERVISORS.filter((each) => each.vendor === vendor).reduce(
    (outcome, each) => each.undo(instance, outcome),
    seen,
  );
  const intel = vendor === "intel";
  const count = shape.count ?? Number(state.registers[1]! & 0xffn);
  const found: string[] = [];
  const compare = (what: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) found.push(`${what}: processor ${hex(a)}, model ${hex(b)}`);
  };
  compare("vector", processor.trap, model.trap);
  if (found.length > 0) return found;
  compare("rip", processor.rip, model.rip);
  compare("error code", processor.error, model.error);
  // Of two faulting operands of CMPS, AMD's processors report the first; Intel's either.
  if (!intel || shape.mnemonic !== "cmps") compare("cr2", processor.cr2, model.cr2);
  if (undefinedResult(shape.mnemonic, shape.bits, count)) return found;
  // BSF and BSR of zero: the SDM calls the destination undefined and Intel's processors leave it, of 4 bytes perhaps
  // not its high half; AMD's manual says that all of it stays.
  const scanned =
    intel &&
    (shape.mnemonic === "bsf" || shape.mnemonic === "bsr") &&
    (processor.flags & 0x40n) !== 0n &&
    shape.bits === 32;
  // With 32-bit addresses and no iteration done, Intel processors still clear the high halves of RCX and some pointers,
  // which the SDM does not say.
  const idle =
    intel &&
    /rep.* addr32/.test(shape.text) &&
    (BigInt.asUintN(32, state.registers[1]!) === 0n || processor.trap === 14);
  const kept = (value: bigint): bigint => (idle || scanned ? BigInt.asUintN(32, value) : value);
  processor.registers.forEach((value, n) => {
    compare(REGISTERS[n]!, kept(value), kept(model.registers[n]!));
  });
  const faulted = processor.trap !== 255 && processor.trap !== 1 && processor.trap !== 3;
  const ignored = BigInt(faulted ? 0 : undefinedFlags(shape.mnemonic, shape.bits, count));
  compare("flags", processor.flags & ~ignored, model.flags & ~ignored);
  // A call to a non-canonical address leaves its return address below RSP on some of Intel's processors before it
  // faults.
  const below = intel && shape.mnemonic === "call" && processor.trap === 13;
  if (!below) compare("memory hash", processor.hash, model.hash);
  return found;
}
