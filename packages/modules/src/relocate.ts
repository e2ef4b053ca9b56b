/**
 * Relocation of a module at its addresses: all x86-64 types kernels allow, with the checks Linux makes and the ones it
 * leaves to the module's signature.
 *
 *   64     S + A          8 bytes        PC64    S + A - P     8 bytes
 *   32     S + A          4, unsigned    PC32, PLT32  S + A - P  4, low half kept as it is
 *   32S    S + A          4, signed      (a per-CPU symbol is 2 GiB and more away: its distance wraps, on purpose)
 *
 * Kernel modules have no PLT: PLT32 is PC32. Source: System V ABI, AMD64 supplement, "Relocation Types";
 * arch/x86/kernel/module.c.
 */
import { hex } from "@kreplica/hw-x86/api";
import { SectionType, X86Relocation, type Relocations } from "@kreplica/elf";
import { signedHex } from "./addresses.js";
import { ModuleError } from "./errors.js";
import { readingElf, type ModuleFile } from "./module-file.js";
import type { ModuleImage } from "./module-image.js";

// Same-module constants: an imported enum member costs a property read for each of a million entries.
const ABS64 = 1;
const PC32 = 2;
const PLT32 = 4;
const ABS32 = 10;
const ABS32S = 11;
const PC64 = 24;

/** Relocations applied, by type. */
export type RelocationCounts = Map<number, number>;

/**
 * Applies every relocation of every kept section.
 * @param values signed value by symbol index
 * @throws ModuleError bad-elf, unknown-relocation, relocation-outside, relocation-target, relocation-overflow,
 *   bad-symbol
 */
export function relocateModule(image: ModuleImage, values: Float64Array): RelocationCounts {
  const { file } = image;
  const counts: RelocationCounts = new Map();
  for (const section of file.sections) {
    if (section.type !== SectionType.Rela && section.type !== SectionType.Rel) continue;
    const target = file.sections[section.info];
    // Debug information and the like: not kept, so nothing to do.
    if (!target) continue;
    const bytes = image.bytesOf(target);
    if (!bytes) continue;
    if (section.type === SectionType.Rel)
      throw new ModuleError(
        "unknown-relocation",
        file.name,
        `section ${section.index} has relocations without addends: x86-64 modules use RELA`,
      );
    apply(
      file,
      readingElf(file.name, () => file.elf.relocations(section)),
      target.name,
      image.sectionAddress[target.index]!,
      bytes,
      values,
      counts,
    );
  }
  return counts;
}

function apply(
  file: ModuleFile,
  relocations: Relocations,
  name: string,
  base: number,
  bytes: Uint8Array,
  values: Float64Array,
  counts: RelocationCounts,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { count, offset, type, symbol, addend } = relocations;
  const tally = new Uint32Array(32);
  for (let i = 0; i < count; i++) {
    const kind = type[i]!;
    const at = offset[i]!;
    if (kind === 0) {
      tally[0]!++;
      continue;
    }
    const wide = kind === ABS64 || kind === PC64;
    if (!wide && kind !== PC32 && kind !== PLT32 && kind !== ABS32 && kind !== ABS32S) {
      throw new ModuleError(
        "unknown-relocation",
        file.name,
        `Unknown rela relocation: ${kind} at ${name} + ${hex(at)}`,
      );
    }
    if (at + (wide ? 8 : 4) > bytes.length)
      throw new ModuleError(
        "relocation-outside",
        file.name,
        `relocation ${i} of ${name} is at ${hex(at)} of ${bytes.length} bytes`,
      );
    if (symbol[i]! >= values.length)
      throw new ModuleError(
        "bad-symbol",
        file.name,
        `relocation ${i} of ${name} uses symbol ${symbol[i]} of ${values.length}`,
      );
    const place = base + at;
    let value = values[symbol[i]!]! + addend[i]!;
    if (kind === PC32 || kind === PLT32 || kind === PC64) value -= place;
    if (view.getInt32(at, true) !== 0 || (wide && view.getInt32(at + 4, true) !== 0)) {
      throw new ModuleError(
        "relocation-target",
        file.name,
        `Invalid relocation target, existing value is nonzero for type ${kind}, loc ${signedHex(place)} (${name} + ${hex(at)}), val ${signedHex(value)}`,
      );
    }
    if ((kind === ABS32 && value !== value >>> 0) || (kind === ABS32S && value !== (value | 0))) {
      throw new ModuleError(
        "relocation-overflow",
        file.name,
        `overflow in relocation type ${kind} val ${signedHex(value)} at ${name} + ${hex(at)}`,
      );
    }
    view.setInt32(at, value | 0, true);
    if (wide) view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000) | 0, true);
    tally[kind]!++;
  }
  tally.forEach((times, kind) => {
    if (times > 0) counts.set(kind, (counts.get(kind) ?? 0) + times);
  });
}

/** Names for reports. */
export const relocationName = (type: number): string =>
  X86Relocation[type] === undefined
    ? `type ${type}`
    : `R_X86_64_${{ 0: "NONE", 1: "64", 2: "PC32", 4: "PLT32", 10: "32", 11: "32S", 24: "PC64" }[type]}`;
