/** Alternatives: instructions replaced because the CPU has, or lacks, a feature. */
import { bytesAt } from "@kreplica/hw-x86/api";
import { branch32, CALL, fillNops, JMP32, JMP8, setRelative, targetOf } from "../encode.js";
import { TextPatchError } from "../errors.js";
import type { AlternativeSite } from "../sites/site.js";
import { optimiseNops } from "./optimise-nops.js";
import type { PatchableText, PatchState } from "./patchable-text.js";

/**
 * Applies the sites in the order of the table: later ones may change what earlier ones wrote.
 * @patch 08/12 arch/x86/kernel/alternative.c apply_alternatives
 * @param inPlace where no-ops are made long after the bytes were written, as Linux does; with the view of one node it
 *   reproduces defect N1
 * @returns sites replaced; the others only had their no-ops made long
 */
export function applyAlternatives(
  text: PatchableText,
  sites: readonly AlternativeSite[],
  state: PatchState,
  inPlace?: PatchableText,
): number {
  let replaced = 0;
  for (const site of sites) {
    let bytes: Uint8Array;
    if (state.has(site.feature) !== site.inverted) {
      bytes = site.directCall ? directCall(text, site) : replacement(text, site);
      replaced++;
    } else bytes = text.read(bytesAt(site.address, site.length));
    if (inPlace) {
      write(text, site.address, bytes);
      optimiseNops(bytes);
      write(inPlace, site.address, bytes);
      continue;
    }
    optimiseNops(bytes);
    write(text, site.address, bytes);
  }
  return replaced;
}

function write(text: PatchableText, address: bigint, bytes: Uint8Array): void {
  const old = text.read(bytesAt(address, bytes.length));
  if (bytes.some((byte, i) => byte !== old[i])) text.write(address, bytes, "alternative");
}

/** The replacement's bytes at the site's place: one branch at its start is aimed again. */
function replacement(text: PatchableText, site: AlternativeSite): Uint8Array {
  const bytes = new Uint8Array(site.length).fill(0x90);
  if (site.replacementLength === 0) return bytes;
  const source = text.read(bytesAt(site.replacement, site.replacementLength));
  bytes.set(source);
  if (site.replacementLength !== 5 || (source[0] !== CALL && source[0] !== JMP32)) return bytes;
  const target = targetOf(source, 1, site.replacement + 5n);
  const ahead = BigInt.asIntN(64, target - site.address);
  if (source[0] === JMP32 && ahead >= 0n && ahead - 2n <= 127n) {
    // Forward and near: a short jump. Backward ones stay long, as in Linux.
    bytes[0] = JMP8;
    bytes[1] = Number(ahead - 2n);
    fillNops(bytes, 2, 5);
  } else setRelative(bytes, 1, site.address + 5n, target);
  return bytes;
}

/** From 6.7: a call through a pointer becomes a call of what the pointer holds. */
function directCall(text: PatchableText, site: AlternativeSite): Uint8Array {
  const old = text.read(bytesAt(site.address, site.length));
  if (site.length < 6 || old[0] !== 0xff || old[1] !== 0x15)
    throw new TextPatchError("unexpected-code", site.address, "a direct-call alternative is not an indirect call");
  const pointer = text.read(bytesAt(targetOf(old, 2, site.address + 6n), 8));
  const bytes = new Uint8Array(site.length).fill(0x90);
  bytes.set(branch32(CALL, site.address, new DataView(pointer.buffer).getBigUint64(0, true)));
  return bytes;
}
