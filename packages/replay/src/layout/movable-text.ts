/**
 * What of a kernel's text a linker could have put elsewhere: pieces of one function each, by the symbols of its
 * System.map.
 *
 * A piece begins at a symbol on a multiple of 16 bytes, where the compiler starts functions, and ends where the next
 * piece begins: its padding belongs to it, so that pieces in any order fill the same room. Other symbols (cold parts
 * that are packed without padding, labels within a function) stay with what is before them. Pieces that a recording was
 * seen to run into from the one before, without a jump, stay behind it. Sections keep their order, and entry text and
 * all behind it (static calls, thunks) stays: it is assembly that falls through.
 */
import type { KernelImage } from "@kreplica/mm-core";
import type { ImageSymbol } from "../replay/other-kernel.js";

/** Functions start on multiples of so many bytes. @source GCC manual, -falign-functions: x86-64's default at -O2 */
export const FUNCTION_BYTES = 16;
/** First of what stays, in kernels that have it. @source Linux 6.1 arch/x86/kernel/vmlinux.lds.S */
const ENTRY_TEXT = "__entry_text_start";
/** No function has so many bytes: the linker left a gap behind it, and both stay. */
const GAP = 64 * 1024;
/** Bounds of sections of text, by the linker script's symbols. */
const BOUND = /_text_(start|end)$/;

const low = (address: bigint): number => Number(BigInt.asUintN(32, address));

/** Pieces of text in order of address: low halves of addresses in the image's 4 GiB. */
export class MovableText {
  /** First byte of the first piece, and first byte behind the last. */
  readonly start: number;
  readonly end: number;
  readonly starts: Uint32Array;
  /** Numbers of the pieces that nothing from before may change places with. */
  readonly sections: ReadonlySet<number>;
  /** Number of the piece that each {@link FUNCTION_BYTES} belong to. */
  private readonly pieceAt: Int32Array;

  /** @param symbols of the image, in any order; without them there is nothing to move */
  constructor({ stext, etext }: Pick<KernelImage, "stext" | "etext">, symbols: readonly ImageSymbol[]) {
    const entry = symbols.find(({ name }) => name === ENTRY_TEXT)?.address ?? etext;
    this.end = low(entry < etext ? entry : etext) & -FUNCTION_BYTES;
    this.end >>>= 0;
    const inside = symbols
      .filter(({ address }) => address >= stext && address < etext)
      .map(({ name, address }) => ({ name, at: low(address) }))
      .filter(({ at }) => at < this.end);
    this.starts = Uint32Array.from(
      new Set(inside.map(({ at }) => at).filter((at) => at % FUNCTION_BYTES === 0)),
    ).sort();
    this.start = this.starts[0] ?? this.end;
    this.pieceAt = new Int32Array((this.end - this.start) / FUNCTION_BYTES);
    this.starts.forEach((at, piece) => {
      const from = (at - this.start) / FUNCTION_BYTES;
      this.pieceAt.fill(piece, from, from + this.bytes(piece) / FUNCTION_BYTES);
    });
    const gaps = Array.from(this.starts.keys()).filter((piece) => this.bytes(piece) >= GAP);
    this.sections = new Set([
      ...gaps,
      ...gaps.map((piece) => piece + 1),
      ...inside
        .filter(({ name }) => BOUND.test(name))
        .map(({ at }) => this.starts.findIndex((start) => start >= at))
        .filter((piece) => piece >= 0),
    ]);
  }

  /** Bytes of a piece, padding included. */
  bytes(piece: number): number {
    return (this.starts[piece + 1] ?? this.end) - this.starts[piece]!;
  }

  /** Number of the piece that a byte is in; -1 where it is in none. @param lo low half of an address of the image */
  pieceOf(lo: number): number {
    return lo < this.start || lo >= this.end ? -1 : this.pieceAt[(lo - this.start) >>> 4]!;
  }

  /** Whether `bytes` bytes from `lo` on lie in more than one piece. */
  crosses(lo: number, bytes: number): boolean {
    const first = this.pieceOf(lo);
    return first >= 0 && bytes > 1 && this.pieceOf(lo + bytes - 1) !== first;
  }
}
