/** Which function of a kernel's text an address is in, by the symbols of its System.map. */
import type { KernelImage } from "@kreplica/mm-core";
import type { ImageSymbol } from "../replay/other-kernel.js";

/** A function: low halves of addresses in the image's upper 4 GiB. */
export interface TextFunction {
  readonly name: string;
  readonly start: number;
  /** To the next symbol, padding included. */
  readonly bytes: number;
}

/** Of several names at one address a function's own is told by its having the fewest underscores in front. */
const underscores = (name: string): number => /^_*/.exec(name)![0].length;

/** The text's functions, by address. */
export class TextSymbols {
  /** In order of address. */
  readonly functions: readonly TextFunction[];
  private readonly starts: Uint32Array;

  constructor({ stext, etext }: Pick<KernelImage, "stext" | "etext">, symbols: readonly ImageSymbol[]) {
    const end = Number(BigInt.asUintN(32, etext));
    const sorted = symbols
      .filter(({ address }) => address >= stext && address < etext)
      .map(({ name, address }) => ({ name, start: Number(BigInt.asUintN(32, address)) }))
      .sort((a, b) => a.start - b.start || underscores(a.name) - underscores(b.name) || (a.name < b.name ? -1 : 1));
    const first = sorted.filter(({ start }, i) => i === 0 || sorted[i - 1]!.start !== start);
    this.functions = first.map(({ name, start }, i) => ({
      name,
      start,
      bytes: (first[i + 1]?.start ?? end) - start,
    }));
    this.starts = Uint32Array.from(first, ({ start }) => start);
  }

  /** @param place low half of an address @returns undefined where no symbol is */
  at(place: number): TextFunction | undefined {
    const { starts, functions } = this;
    let below = 0;
    let above = starts.length;
    while (below < above) {
      const middle = (below + above) >>> 1;
      if (starts[middle]! <= place) below = middle + 1;
      else above = middle;
    }
    const found = functions[below - 1];
    return found && place < found.start + found.bytes ? found : undefined;
  }
}
