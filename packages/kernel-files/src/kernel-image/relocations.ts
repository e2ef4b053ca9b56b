/**
 * The relocation lists behind a kernel's ELF image, which KASLR applies: addresses of words that hold a linked address.
 *
 *   ... ELF | 0 | 64-bit places | 0 | inverse 32-bit places | 0 | 32-bit places | end      each 32 bits, read backwards
 *   ... ELF | 0 | 64-bit places | 0 | 32-bit places | end                                  from 6.15
 *
 * An inverse place is relative to a per-CPU address, which does not move, from text, which does; from 6.15 per-CPU
 * addresses lie in the image like all others. Places of a list ascend in the file, which is how two lists are told from
 * three with a zero lost between them. Source: arch/x86/boot/compressed/misc.c handle_relocations,
 * arch/x86/tools/relocs.c (format only); commit "x86/boot: Remove inverse relocations".
 */
import { InputError } from "@kreplica/inputs";

/** Linked addresses' high half: all places lie in the top 2 GiB. */
const TOP = 0xffff_ffff_0000_0000n;

/** Places by how they are changed, each a linked address's low 32 bits, in the order KASLR applies them. */
export interface KernelRelocations {
  readonly word32: Uint32Array;
  /** Empty from 6.15. */
  readonly inverse32: Uint32Array;
  readonly word64: Uint32Array;
}

/**
 * @param tail what lies behind the ELF image, a multiple of 4 bytes
 * @param offset where it begins, for errors
 * @returns undefined when nothing lies there: a vmlinux, or a kernel built without KASLR
 * @throws InputError when it is neither three lists nor two
 */
export function readRelocationLists(tail: Uint8Array, file: string, offset: number): KernelRelocations | undefined {
  if (tail.length === 0) return undefined;
  const fault = (at: number, reason: string): never => {
    throw new InputError({
      file,
      offset: offset + at,
      field: "relocation lists",
      reason,
      remedy: "the file is cut or damaged: fetch or build it again",
    });
  };
  if (tail.length % 4 !== 0) fault(0, `${tail.length} bytes are not a number of 32-bit words`);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.length;
  const list = (name: string): Uint32Array => {
    const end = at;
    do {
      at -= 4;
      if (at < 0) fault(0, `the ${name} list has no beginning`);
    } while (view.getUint32(at, true) !== 0);
    const places = new Uint32Array((end - at) / 4 - 1);
    for (let i = 0; i < places.length; i++) places[i] = view.getUint32(end - 4 * (i + 1), true);
    return places;
  };
  const word32 = list("32-bit");
  const second = list("second");
  if (at === 0) {
    for (const [name, places] of [
      ["32-bit", word32],
      ["64-bit", second],
    ] as const) {
      // They were read backwards.
      const wrong = places.findIndex((place, i) => i > 0 && place > places[i - 1]!);
      if (wrong >= 0)
        fault(
          0,
          `the ${name} list of two does not ascend at ${places[wrong]!.toString(16)}: a list's beginning is lost`,
        );
    }
    return { word32, inverse32: new Uint32Array(0), word64: second };
  }
  const word64 = list("64-bit");
  if (at !== 0) fault(0, `${at} bytes before the first list belong to none`);
  return { word32, inverse32: second, word64 };
}

/**
 * Moves an image by `delta` bytes, in place.
 *
 * @param memory bytes from linked address `base`
 * @returns places changed
 * @throws InputError for a place outside the image
 */
export function applyRelocations(
  relocations: KernelRelocations,
  memory: Uint8Array,
  base: bigint,
  delta: bigint,
  file: string,
): number {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const from = Number(base - TOP);
  const small = Number(BigInt.asIntN(32, delta));
  const position = (place: number, width: number): number => {
    const at = place - from;
    if (at < 0 || at + width > memory.length) {
      throw new InputError({
        file,
        field: "relocation lists",
        reason: `the place ffffffff${place.toString(16).padStart(8, "0")} is outside the image`,
        remedy: "the file is damaged: fetch or build it again",
      });
    }
    return at;
  };
  for (const place of relocations.word32) {
    const at = position(place, 4);
    view.setInt32(at, view.getInt32(at, true) + small, true);
  }
  for (const place of relocations.inverse32) {
    const at = position(place, 4);
    view.setInt32(at, view.getInt32(at, true) - small, true);
  }
  for (const place of relocations.word64) {
    const at = position(place, 8);
    view.setBigUint64(at, BigInt.asUintN(64, view.getBigUint64(at, true) + delta), true);
  }
  return relocations.word32.length + relocations.inverse32.length + relocations.word64.length;
}
