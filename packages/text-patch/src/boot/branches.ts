/**
 * Retpolines and return thunks: what compilers emit for indirect branches and returns, turned into what this CPU needs.
 */
import { bytesAt, hex } from "@kreplica/hw-x86/api";
import { CALL, INT3, JMP32, branch32, RET, targetOf } from "../encode.js";
import { TextPatchError } from "../errors.js";
import { optimiseNops } from "./optimise-nops.js";
import { FEATURE, type PatchableText, type PatchState } from "./patchable-text.js";

const CS_PREFIX = 0x2e;
const LFENCE = [0x0f, 0xae, 0xe8];
/** Bytes of each __x86_indirect_thunk_*. */
const THUNK_BYTES = 32n;
/** Upper half of a cache line. */
const LINE_HALF = 0x20n;

/**
 * Calls and jumps through a retpoline become plain indirect ones where the CPU does not need it.
 * @patch 08/12 arch/x86/kernel/alternative.c apply_retpolines
 * @returns sites changed
 */
export function applyRetpolines(text: PatchableText, sites: readonly bigint[], state: PatchState): number {
  const lfence = state.has(FEATURE.retpolineLfence);
  if (state.has(FEATURE.retpoline) && !lfence) return 0;
  let changed = 0;
  for (const site of sites) {
    const whole = text.read(bytesAt(site, 7));
    // Compilers pad branches to the thunks of r8 to r15 with a CS prefix, so that the replacement fits.
    const prefix = whole[0] === CS_PREFIX ? 1 : 0;
    const old = whole.subarray(prefix);
    const conditional = old[0] === 0x0f && (old[1]! & 0xf0) === 0x80;
    const length = prefix + (conditional ? 6 : 5);
    const call = old[0] === 0xe8;
    if (!conditional && !call && old[0] !== JMP32)
      throw new TextPatchError(
        "unexpected-code",
        site,
        `a retpoline site holds ${old[0]!.toString(16)}, not a call or jump`,
      );
    const target = targetOf(old, conditional ? 2 : 1, site + BigInt(length));
    const register = Number((target - state.indirectThunks) / THUNK_BYTES);
    if (target < state.indirectThunks || (target - state.indirectThunks) % THUNK_BYTES !== 0n || register > 15) {
      throw new TextPatchError("unexpected-code", site, `goes to ${hex(target)}, which is no thunk of the sixteen`);
    }
    const code: number[] = [];
    if (conditional) code.push(0x70 | ((old[1]! & 15) ^ 1), length - 2);
    if (lfence) code.push(...LFENCE);
    // The last byte of the branch decides. @source arch/x86/kernel/alternative.c cpu_wants_indirect_its_thunk_at
    if (state.indirectItsThunk && ((site + BigInt(code.length + 1 + (register >> 3))) & LINE_HALF) === 0n) {
      const thunk = state.indirectItsThunk(register);
      const at = site + BigInt(conditional ? 1 : prefix);
      const branch = branch32(call ? CALL : JMP32, at, thunk);
      text.write(
        site,
        conditional
          ? Uint8Array.of(0x0f, old[1]!, ...branch.subarray(1))
          : Uint8Array.of(...whole.subarray(0, prefix), ...branch),
        "retpoline",
      );
      changed++;
      continue;
    }
    if (register >= 8) code.push(0x41);
    code.push(0xff, (call ? 0xd0 : 0xe0) + (register & 7));
    // With LFENCE the longest forms do not fit and stay as they are.
    if (code.length > length) continue;
    // Straight-line speculation behind a jump.
    if (!call && code.length < length) code.push(INT3);
    const bytes = Uint8Array.from({ length }, (_, i) => code[i] ?? 0x90);
    optimiseNops(bytes);
    text.write(site, bytes, "retpoline");
    changed++;
  }
  return changed;
}

/**
 * Jumps to the return thunk become returns, or jumps to the thunk this CPU needs.
 * @patch 08/12 arch/x86/kernel/alternative.c apply_returns
 * @returns sites changed
 */
export function applyReturns(text: PatchableText, sites: readonly bigint[], state: PatchState): number {
  let changed = 0;
  for (const site of sites) {
    const old = text.read(bytesAt(site, 5));
    if (old[0] !== JMP32) continue;
    if (targetOf(old, 1, site + 5n) !== state.defaultReturnThunk)
      throw new TextPatchError("unexpected-code", site, "a return site does not jump to the return thunk");
    const bytes = returnAt(site, 5, state);
    if (bytes.every((byte, i) => byte === old[i])) continue;
    text.write(site, bytes, "return");
    changed++;
  }
  return changed;
}

/** A return of `length` bytes at an address. */
export function returnAt(site: bigint, length: number, state: PatchState): Uint8Array {
  const thunk = state.returnThunk(site);
  if (thunk !== undefined) return branch32(JMP32, site, thunk);
  const bytes = new Uint8Array(length).fill(INT3);
  bytes[0] = RET;
  return bytes;
}

/**
 * On a machine with one CPU, LOCK prefixes become DS prefixes, which do nothing.
 * @patch 08/12 arch/x86/kernel/alternative.c alternatives_smp_unlock
 * @param to which prefix to write: 0x3e for one CPU, 0xf0 before the second comes up
 * @returns sites changed
 */
export function switchSmpLocks(
  text: PatchableText,
  sites: readonly bigint[],
  to: 0x3e | 0xf0,
  inText: (address: bigint) => boolean,
): number {
  let changed = 0;
  const from = to === 0x3e ? 0xf0 : 0x3e;
  for (const site of sites) {
    if (!inText(site) || text.read(bytesAt(site, 1))[0] !== from) continue;
    text.write(site, Uint8Array.of(to), "smp-lock");
    changed++;
  }
  return changed;
}
