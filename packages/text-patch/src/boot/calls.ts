/** Paravirt calls, static calls, jump labels and ftrace call sites as boot leaves them. */
import { bytesAt } from "@kreplica/hw-x86/api";
import { branch32, CALL, fillNops, JMP32, JMP8, jump8, nops, RET } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { JumpLabelSite, ParavirtSite, StaticCallSite, StaticCallTrampoline } from "../sites/site.js";
import { returnAt } from "./branches.js";
import type { PatchableText, PatchState } from "./patchable-text.js";

const UD2 = [0x0f, 0x0b];
/**
 * A tail call of nothing. Written by static_call_init, before the CPU's bugs are known, so that no thunk is asked for:
 * on a recorded Haswell with ITS thunks these stay plain returns.
 */
const PLAIN_RETURN = [RET, 0xcc, 0xcc, 0xcc, 0xcc];
/** xor %eax,%eax behind three CS prefixes: a call of __static_call_return0. */
const RETURN_ZERO = [0x2e, 0x2e, 0x2e, 0x31, 0xc0];

/**
 * Calls through pv_ops become direct calls, or nothing.
 * @patch 08/12 arch/x86/kernel/alternative.c apply_paravirt
 */
export function applyParavirt(text: PatchableText, sites: readonly ParavirtSite[], state: PatchState): number {
  for (const { address, length, type } of sites) {
    const target = state.paravirt(type);
    const bytes = new Uint8Array(length);
    let used = 0;
    if (target === undefined) {
      bytes.set(UD2);
      used = 2;
    } else if (target !== "nop") {
      bytes.set(branch32(CALL, address, target));
      used = 5;
    }
    fillNops(bytes, used);
    text.write(address, bytes, "paravirt");
  }
  return sites.length;
}

/**
 * Bytes a static-call site must have.
 * @param old the six bytes there now: a conditional tail call keeps its condition
 */
export function staticCallBytes(site: StaticCallSite, old: Uint8Array, target: bigint, state: PatchState): Uint8Array {
  const { address, tail } = site;
  if (old[0] === 0x0f && (old[1]! & 0xf0) === 0x80) {
    // A Jcc: its target alone changes; none means the return thunk or a plain return somewhere.
    const to = target !== 0n ? target : (state.returnThunk(address) ?? state.defaultReturnThunk);
    if (to === undefined)
      throw new TextPatchError(
        "unexpected-code",
        address,
        "a conditional static call of nothing, in a kernel without a return thunk to lead it to",
      );
    const branch = branch32(JMP32, address + 1n, to);
    return Uint8Array.of(0x0f, old[1]!, ...branch.subarray(1));
  }
  if (target === 0n) return tail ? Uint8Array.from(PLAIN_RETURN) : nops(5);
  if (!tail && target === state.staticCallReturn0) return Uint8Array.from(RETURN_ZERO);
  return branch32(tail ? JMP32 : CALL, address, target);
}

/** Whether five bytes are something a static-call site may hold. */
export function isStaticCall(old: Uint8Array): boolean {
  return (
    old[0] === CALL ||
    old[0] === JMP32 ||
    old[0] === RET ||
    (old[0] === 0x0f && (old[1]! & 0xf0) === 0x80) ||
    nops(5).every((byte, i) => byte === old[i]) ||
    RETURN_ZERO.every((byte, i) => byte === old[i])
  );
}

/** @patch 08/12 arch/x86/kernel/static_call.c arch_static_call_transform @returns sites changed */
export function applyStaticCalls(text: PatchableText, sites: readonly StaticCallSite[], state: PatchState): number {
  let changed = 0;
  for (const site of sites) {
    const old = text.read(bytesAt(site.address, 6));
    if (!isStaticCall(old))
      throw new TextPatchError(
        "unexpected-code",
        site.address,
        "a static-call site holds no call, jump, return or no-op",
      );
    const bytes = staticCallBytes(site, old, state.staticCallTarget(site.key), state);
    if (bytes.every((byte, i) => byte === old[i])) continue;
    text.write(site.address, bytes, "static-call");
    changed++;
  }
  return changed;
}

/**
 * Trampolines whose key was updated. @patch 08/12 arch/x86/kernel/static_call.c arch_static_call_transform
 * @returns trampolines changed
 */
export function applyTrampolines(
  text: PatchableText,
  trampolines: readonly StaticCallTrampoline[],
  state: PatchState,
): number {
  let changed = 0;
  for (const { address, key } of trampolines) {
    const old = text.read(bytesAt(address, 5));
    // Those of calls that return 0 from the start are compiled otherwise, and never written.
    if (old[0] !== JMP32 && old[0] !== RET) continue;
    const target = state.staticCallTarget(key);
    const bytes = target === 0n ? returnAt(address, 5, state) : branch32(JMP32, address, target);
    if (bytes.every((byte, i) => byte === old[i])) continue;
    text.write(address, bytes, "static-call");
    changed++;
  }
  return changed;
}

/** Bytes of a jump label. @param length 2 or 5 @param jumps whether it jumps */
export function jumpLabelBytes(site: JumpLabelSite, length: number, jumps: boolean): Uint8Array {
  if (!jumps) return nops(length);
  return length === 2 ? jump8(site.address, site.target) : branch32(JMP32, site.address, site.target);
}

/** 2 or 5: compilers choose by distance, and it never changes. @throws TextPatchError unexpected-code */
export function jumpLabelLength(old: Uint8Array, address: bigint): 2 | 5 {
  if (old[0] === JMP8 || (old[0] === 0x66 && old[1] === 0x90)) return 2;
  if (old[0] === JMP32 || nops(5).every((byte, i) => byte === old[i])) return 5;
  throw new TextPatchError("unexpected-code", address, "a jump label holds neither jump nor no-op");
}

/** Brings every label into the state its key has. @patch 08/12 arch/x86/kernel/jump_label.c @returns sites changed */
export function applyJumpLabels(text: PatchableText, sites: readonly JumpLabelSite[], state: PatchState): number {
  let changed = 0;
  for (const site of sites) {
    const old = text.read(bytesAt(site.address, 5));
    const bytes = jumpLabelBytes(site, jumpLabelLength(old, site.address), state.keyEnabled(site.key) !== site.branch);
    if (bytes.every((byte, i) => byte === old[i])) continue;
    text.write(site.address, bytes, "jump-label");
    changed++;
  }
  return changed;
}

/** Calls of __fentry__ become no-ops. @patch 08/12 arch/x86/kernel/ftrace.c ftrace_make_nop @returns sites changed */
export function applyFtrace(text: PatchableText, sites: readonly bigint[]): number {
  let changed = 0;
  for (const site of sites) {
    const old = text.read(bytesAt(site, 5));
    // Weak functions that lost leave entries behind that point at anything; ftrace leaves them alone.
    if (old[0] !== CALL) continue;
    text.write(site, nops(5), "ftrace");
    changed++;
  }
  return changed;
}
