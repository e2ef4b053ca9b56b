/**
 * The kernel a recording was made on: the traced one, or one the user names by its file or its System.map. What a
 * replay asks of it: where text, rodata and data lie, symbols, and an image to boot when no other kernel is named.
 */
import { LARGE, PAGE } from "@kreplica/hw-x86/api";
import { fileName, InputError } from "@kreplica/inputs";
import { isZstd, ZstdError, ZstdStream } from "@kreplica/inputs/zstd";
import { bootableImage, checkedImage, kernelFromBytes, readSymbolList, textOf } from "@kreplica/kernel-files";
import { kernelImage, loadedSection, type KernelImage, MmError, type SectionHeader } from "@kreplica/mm-core";
import {
  type EntryPlaces,
  LEAST_SHARE_OF_FUNCTIONS,
  type GuestImage,
  type GuestNode,
  type RecordedGuest,
  shippedGuest,
} from "@kreplica/trace";
import type { ImageSymbol } from "./other-kernel.js";

/** The kernel of a recording, and the guest it ran on. */
export interface RecordedKernel {
  readonly name: string;
  /** Its file, as the user named it; undefined for the shipped one. */
  readonly file?: string;
  /** To boot it: with its bytes where a kernel file was named. */
  image(alignment: "recorded" | "patch-06"): KernelImage;
  symbols(): readonly ImageSymbol[];
  /** Levels and the image's physical page are the recordings' to say: those of the shipped guest here. */
  readonly guest: RecordedGuest;
}

const OPTION = "--recorded-kernel";

/** Bounds of an image as the guest had it. @param firstPage physical page of its first byte */
export function guestImage(
  image: Pick<KernelImage, "stext" | "etext" | "startRodata" | "endRodata" | "end">,
  firstPage: number,
): GuestImage {
  const { stext, startRodata, end } = image;
  const startData = upTo(image.endRodata, LARGE);
  const tails = [
    { start: upTo(image.etext, PAGE), end: upTo(image.etext, LARGE) },
    { start: upTo(image.endRodata, PAGE), end: startData },
  ].filter((each) => each.end > each.start);
  return { stext, startRodata, startData, end, firstPage, copied: true, tails };
}

const upTo = (address: bigint, unit: bigint): bigint => (address + unit - 1n) & ~(unit - 1n);

/**
 * The kernel of a recording, from its vmlinux, vmlinuz or System.map.
 *
 * @param file as errors name it
 * @param nodes of the guest it ran on
 * @throws InputError for a file that is neither a kernel nor a System.map, or lacks symbols that bound its parts
 */
export async function recordedKernelFrom(
  bytes: Uint8Array,
  file: string,
  nodes: readonly GuestNode[],
): Promise<RecordedKernel> {
  const { name, image, symbols } = isText(bytes) ? fromMap(bytes, file) : await fromKernel(bytes, file);
  const bounds = image("recorded");
  if (bounds.stext !== shippedGuest.image.stext) {
    throw new InputError({
      file,
      field: "_stext",
      reason: `0x${bounds.stext.toString(16)} is not where a kernel without KASLR is linked, 0x${shippedGuest.image.stext.toString(16)}`,
      remedy: "record with nokaslr, and give the System.map as built, not a copy of /proc/kallsyms",
    });
  }
  return {
    name,
    file,
    image,
    symbols: () => symbols,
    guest: { kernel: name, levels: 4, image: guestImage(bounds, shippedGuest.image.firstPage), nodes },
  };
}

/** Places below which a recording says too little of its kernel. */
const FEWEST_PLACES = 500;

/**
 * Addresses of another build fit as well, as long as they lie within its text: what tells is whether control came to
 * where this kernel's functions begin.
 *
 * @param trace path of a recording that is said to be of this kernel
 * @param places that control came to in it
 * @throws InputError when it is not
 */
export function requireFit(trace: string, places: EntryPlaces, { file, name, symbols }: RecordedKernel): void {
  const functions = places.ofFunctions(symbols().map(({ address }) => address));
  if (places.size < FEWEST_PLACES || functions >= places.size * LEAST_SHARE_OF_FUNCTIONS) return;
  const percent = ((100 * functions) / places.size).toFixed(1);
  throw new InputError({
    file: file ?? name,
    field: OPTION,
    reason: `not of the kernel that ${fileName(trace)} is of: of ${places.size} places that control came to, ${percent} % are first bytes of its functions, where the right kernel has over 5 %`,
    remedy: "name the vmlinux, vmlinuz or System.map of the very build that was recorded",
  });
}

/**
 * By what the file holds, packed or not. What is neither a kernel nor a list of symbols is called no list where it is
 * packed, else no kernel.
 */
function isText(bytes: Uint8Array): boolean {
  const begin = bytes.subarray(0, PIECE);
  return isZstd(begin) ? !isKernel(headOf(begin)) : /^[0-9a-f]{8,16} [A-Za-z?] /.test(latin1(begin, 0, 64));
}

const latin1 = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

/** More than a packed block's first part, which unpacks to more than the header of a kernel. */
const PIECE = 1 << 18;
/** Bytes of an unpacked kernel that say it is one. */
const HEAD = 0x206;
const isKernel = (head: Uint8Array): boolean =>
  latin1(head, 0, 4) === "\x7fELF" || latin1(head, 0x202, HEAD) === "HdrS";

/**
 * What the first piece of a packed file unpacks to; nothing where it is damaged, which whoever reads it all will say.
 */
function headOf(packed: Uint8Array): Uint8Array {
  const head = new Uint8Array(HEAD);
  let length = 0;
  try {
    new ZstdStream((part) => {
      const some = part.subarray(0, HEAD - length);
      head.set(some, length);
      length += some.length;
    }).push(packed);
  } catch (error) {
    if (!(error instanceof ZstdError)) throw error;
  }
  return head.subarray(0, length);
}

async function fromKernel(bytes: Uint8Array, file: string) {
  const kernel = await kernelFromBytes(bytes, file);
  const release = kernel.release;
  return {
    name: release === undefined ? fileName(file) : `Linux ${release}`,
    image: (alignment: "recorded" | "patch-06") => bootableImage(kernel, alignment),
    symbols: kernel.symbols,
  };
}

/** Without a file, sections are what the symbols bound. */
function fromMap(bytes: Uint8Array, file: string) {
  const symbols = readSymbolList(textOf(bytes, file), file);
  const byName = new Map<string, bigint>();
  for (const { name, address } of symbols) if (!byName.has(name)) byName.set(name, address);
  const name = fileName(file).replace(/\.zst$/, "");
  const image = (alignment: "recorded" | "patch-06"): KernelImage => {
    try {
      return checkedImage(kernelImage({ name, alignment, symbols: byName, sections: sectionsOf(byName) }), file);
    } catch (error) {
      if (!(error instanceof MmError)) throw error;
      throw new InputError({
        file,
        field: "symbols",
        reason: error.message,
        remedy: "give the whole System.map of the recorded kernel",
      });
    }
  };
  return { name, image, symbols };
}

function sectionsOf(symbols: ReadonlyMap<string, bigint>): SectionHeader[] {
  const at = (...names: readonly string[]): bigint =>
    names.map((each) => symbols.get(each)).find((each) => each !== undefined) ?? 0n;
  const data = at("_sdata", "_data", "__end_rodata");
  return [
    loadedSection(".text", { start: at("_stext", "_text"), end: at("_etext") }, false, true),
    loadedSection(".rodata", { start: at("__start_rodata"), end: at("__end_rodata") }, false, false),
    loadedSection(".data", { start: data, end: at("_edata", "__init_begin") }, true, false),
    loadedSection(".init", { start: at("__init_begin"), end: at("__init_end") }, true, true),
    loadedSection(".bss", { start: at("__bss_start"), end: at("__bss_stop", "__brk_base") }, true, false),
    loadedSection(".brk", { start: at("__brk_base"), end: at("_end") }, true, false),
  ].filter(({ bytes }) => bytes > 0n);
}
