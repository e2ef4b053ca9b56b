/**
 * A kernel image from its section headers and symbols: what is text, rodata, data, init, bss and brk, and where it
 * ends.
 *
 * The traced kernel's bytes are GPL and not ours to ship, so pages of text and rodata are filled with words that depend
 * on their address: enough to see whether a copy is the right one. A caller that has the real bytes hands in a reader.
 */
import { type AddressRange, alignUp, LARGE, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { MmError } from "../errors.js";
import type { ImageSection, KernelImage, SectionKind } from "./kernel-image-api.js";

/** A section header as `readelf -S` prints it. */
export interface SectionHeader {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: bigint;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly occupies: boolean;
}

/** A section that lies in memory when the kernel starts. @param bytes linked addresses */
export const loadedSection = (
  name: string,
  { start, end }: AddressRange,
  writable: boolean,
  executable: boolean,
): SectionHeader => ({ name, address: start, bytes: end - start, writable, executable, occupies: true });

/** Ends of text and rodata: where the symbols say, or both filled up to 2 MiB as patch 06 does. */
export type Alignment = "recorded" | "patch-06";

/** What a kernel image is made from: section headers, symbols, and its bytes where the caller has them. */
export interface ImageInput {
  readonly name: string;
  readonly sections: readonly SectionHeader[];
  readonly symbols: ReadonlyMap<string, bigint>;
  readonly alignment: Alignment;
  readonly noOps?: KernelImage["noOps"];
  /** The real bytes of a page, when there are any. */
  readonly readPage?: (address: bigint, into: Uint8Array) => void;
}

/**
 * @patch 06/12 arch/x86/kernel/vmlinux.lds.S SECTIONS
 * @throws MmError bad-image when a symbol that bounds a part is missing or the parts are out of order
 */
export function kernelImage(input: ImageInput): KernelImage {
  const { symbols, alignment } = input;
  const bound = (name: string, other?: string): bigint => {
    const address = symbols.get(name) ?? (other === undefined ? undefined : symbols.get(other));
    if (address === undefined)
      throw new MmError(
        "bad-image",
        0n,
        `${input.name} has no symbol ${name}, which bounds a part of the image; use the System.map of the same build`,
      );
    return address;
  };
  const fill = (address: bigint): bigint => (alignment === "patch-06" ? alignUp(address, LARGE) : address);
  const stext = bound("_stext", "_text");
  const etext = fill(bound("_etext"));
  const startRodata = bound("__start_rodata");
  const endRodata = fill(bound("__end_rodata"));
  const initBegin = bound("__init_begin");
  const initEnd = bound("__init_end");
  const bss = bound("__bss_start");
  const brk = bound("__brk_base");
  const end = bound("_end");
  const ladder = [stext, etext, startRodata, endRodata, initBegin, initEnd, bss, brk, end];
  const step = ladder.findIndex((address, index) => index > 0 && address < ladder[index - 1]!);
  if (stext % LARGE !== 0n || startRodata % LARGE !== 0n || step >= 0) {
    throw new MmError(
      "bad-image",
      ladder[Math.max(step, 0)]!,
      `${input.name}: text and rodata must start on 2 MiB, and _stext, _etext, __start_rodata, __end_rodata, __init_begin, __init_end, __bss_start, __brk_base, _end must ascend`,
    );
  }
  const kindAt = (address: bigint): SectionKind =>
    address < startRodata
      ? "text"
      : address < endRodata
        ? "rodata"
        : address >= brk
          ? "brk"
          : address >= bss
            ? "bss"
            : address >= initBegin && address < initEnd
              ? "init"
              : "data";
  const sections = input.sections
    .filter((header) => header.occupies && header.address >= stext && header.address < end && header.bytes > 0n)
    .map((header): ImageSection => ({
      name: header.name,
      kind: kindAt(header.address),
      start: header.address,
      end: header.address + header.bytes,
      writable: header.writable,
      executable: header.executable,
    }));
  const filled = (address: bigint): boolean =>
    (address >= stext && address < alignUp(etext, PAGE)) ||
    (address >= startRodata && address < alignUp(endRodata, PAGE));
  return {
    name: input.name,
    sections,
    stext,
    etext,
    startRodata,
    endRodata,
    initBegin,
    initEnd,
    end,
    hasBytes: input.readPage !== undefined,
    ...(input.noOps ? { noOps: input.noOps } : {}),
    symbol: (name) => symbols.get(name),
    readPage(address, into) {
      if (input.readPage) input.readPage(address, into);
      else if (filled(address)) synthetic(address, into);
      else into.fill(0);
    },
  };
}

/** Words that differ between any two addresses of an image below 4 GiB. */
function synthetic(address: bigint, into: Uint8Array): void {
  const words = new DataView(into.buffer, into.byteOffset, PAGE_BYTES);
  const base = Number(address & 0xffff_ffffn);
  for (let offset = 0; offset < 4096; offset += 4) {
    let word = (base + offset) | 0;
    word = Math.imul(word ^ (word >>> 16), 0x45d9f3b);
    word = Math.imul(word ^ (word >>> 16), 0x45d9f3b);
    words.setUint32(offset, (word ^ (word >>> 16)) >>> 0, true);
  }
}
