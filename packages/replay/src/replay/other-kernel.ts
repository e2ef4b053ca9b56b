/**
 * Recorded addresses of one kernel's image in another's: by symbol and offset.
 *
 * A recording holds addresses of the kernel it was made on. On another build the same function lies elsewhere and has
 * other instructions; what can be carried over is which function ran and how far into it. An address behind the end of
 * the shorter function comes round to its start; a function or object that the other build lacks is stood in for by
 * bytes of the same part of the image, at the same distance from its start, so that the number of lines stays what it
 * was. How much of each there is, is counted.
 */
import type { KernelImage } from "@kreplica/mm-core";
import { Access, type Batch, Kind } from "@kreplica/trace";

/** Upper half of every address of an image. */
const IMAGE_HIGH = 0xffff_ffff;

/** A symbol, as linked. */
export interface ImageSymbol {
  readonly name: string;
  readonly address: bigint;
}
/** An image with all of its symbols. */
export interface NamedImage {
  readonly image: KernelImage;
  readonly symbols: readonly ImageSymbol[];
}

/** How recorded instructions, or data accesses, were carried over. */
export interface CarriedOver {
  /** The same offset of the same function or object. */
  exact: number;
  /** The same function or object, which is shorter here. */
  pastEnd: number;
  /** Something of the same part of the image in its place. */
  standIn: number;
}

/** Both, of one recording. */
export interface Carried {
  /** Instructions, by what became of their addresses. */
  readonly instructions: CarriedOver;
  /** Loads and stores in the image. */
  readonly accesses: CarriedOver;
}
export const nothingCarried = (): Carried => ({
  instructions: { exact: 0, pastEnd: 0, standIn: 0 },
  accesses: { exact: 0, pastEnd: 0, standIn: 0 },
});

/** A run of addresses that is one thing: low halves. */
interface Part {
  readonly start: number;
  readonly end: number;
}
interface Symbols {
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  readonly keys: readonly string[];
}

const low = (address: bigint): number => Number(address & 0xffff_ffffn);

/** Text, rodata, data before and behind the init part; what is freed after boot is no part. */
const partsOf = ({ stext, etext, startRodata, endRodata, initBegin, initEnd, end }: KernelImage): readonly Part[] => [
  { start: low(stext), end: low(etext) },
  { start: low(startRodata), end: low(endRodata) },
  { start: low(endRodata), end: low(initBegin) },
  { start: low(initEnd), end: low(end) },
];

/**
 * Symbols of the parts in order of address; of several at one address the first by name, so that both kernels choose
 * alike.
 */
function symbolsOf({ image, symbols }: NamedImage): Symbols {
  const parts = partsOf(image);
  const inside = symbols
    .filter(({ address }) => address >= image.stext && address < image.end)
    .map(({ name, address }) => ({
      name,
      at: low(address),
      part: parts.findIndex((part) => low(address) >= part.start && low(address) < part.end),
    }))
    .filter(({ part }) => part >= 0)
    .sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1));
  const seen = new Map<string, number>();
  const starts: number[] = [];
  const ends: number[] = [];
  const keys: string[] = [];
  inside.forEach(({ name, at, part }, i) => {
    // Static functions share names: the n-th here is the n-th there. Data may lie before or behind init.
    const plain = `${Math.min(part, 2)} ${name}`;
    const nth = seen.get(plain) ?? 0;
    seen.set(plain, nth + 1);
    let next = i + 1;
    while (next < inside.length && inside[next]!.at === at) next++;
    starts.push(at);
    ends.push(Math.min(inside[next]?.at ?? parts[part]!.end, parts[part]!.end));
    keys.push(`${plain} ${nth}`);
  });
  return { starts: Uint32Array.from(starts), ends: Uint32Array.from(ends), keys };
}

/** One kernel's addresses in another; made once, used for any number of recordings. */
export class OtherKernel {
  /** Every symbol of both lies at the same address: nothing has to be moved. */
  readonly isSame: boolean;
  private readonly from: Symbols;
  /** By symbol of the recorded kernel: where it is in the other, and how long; length 0 where it is not. */
  private readonly to: Uint32Array;
  private readonly bytes: Uint32Array;
  private readonly fromParts: readonly Part[];
  private readonly toParts: readonly Part[];

  /** @param recorded kernel of the recordings @param other the one they are to run on */
  constructor(recorded: NamedImage, other: NamedImage) {
    this.from = symbolsOf(recorded);
    const there = symbolsOf(other);
    const index = new Map(there.keys.map((key, i) => [key, i]));
    this.to = new Uint32Array(this.from.keys.length);
    this.bytes = new Uint32Array(this.from.keys.length);
    let found = 0;
    let moved = 0;
    this.from.keys.forEach((key, i) => {
      const at = index.get(key);
      if (at === undefined) return;
      found++;
      this.to[i] = there.starts[at]!;
      this.bytes[i] = there.ends[at]! - there.starts[at]!;
      if (this.to[i] !== this.from.starts[i]) moved++;
    });
    this.isSame = moved === 0 && found > 0.9 * this.from.keys.length && recorded.image.end === other.image.end;
    this.fromParts = partsOf(recorded.image);
    this.toParts = partsOf(other.image);
  }

  /**
   * Moves a batch's addresses in place. Frames behind image pages are dropped: the image is where its tables say.
   * @param carried is added to
   */
  move(batch: Batch, carried: Carried): void {
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      if (hi[i] !== IMAGE_HIGH || this.partOf(lo[i]!) < 0) continue;
      switch (kind[i]) {
        case Kind.Fetch:
          lo[i] = this.place(lo[i]!, b[i]!, carried.instructions, a[i]!);
          break;
        // A page of the image is no news; a repetition count is what the builder passes over.
        case Kind.FetchPage:
          kind[i] = Kind.Repeat;
          break;
        case Kind.Load:
        case Kind.Store:
          lo[i] = this.place(lo[i]!, a[i]! & Access.SizeMask, carried.accesses, 1);
          a[i] = a[i]! & ~Access.NewPage;
          break;
      }
    }
  }

  private partOf(at: number): number {
    const { fromParts } = this;
    for (let i = 0; i < fromParts.length; i++) if (at >= fromParts[i]!.start && at < fromParts[i]!.end) return i;
    return -1;
  }

  /** @param bytes that follow one another from there @param weight added to what became of it */
  private place(at: number, bytes: number, count: CarriedOver, weight: number): number {
    const { starts, ends } = this.from;
    let below = 0;
    let above = starts.length;
    while (below < above) {
      const middle = (below + above) >>> 1;
      if (starts[middle]! <= at) below = middle + 1;
      else above = middle;
    }
    // Of several names at one address, the first that the other kernel has.
    let symbol = below - 1;
    while (symbol > 0 && starts[symbol - 1] === starts[symbol]) symbol--;
    while (symbol >= 0 && symbol + 1 < below && this.bytes[symbol] === 0) symbol++;
    const part = this.partOf(at);
    // Behind init lie pages that are read-only or given back (idt_table, .bss..decrypted): nothing stands in there.
    const target = this.toParts[Math.min(part, 2)]!;
    let found: number;
    if (symbol >= 0 && at < ends[symbol]! && this.bytes[symbol]! > 0) {
      const offset = at - starts[symbol]!;
      const size = this.bytes[symbol]!;
      found = this.to[symbol]! + (offset % size);
      if (offset < size) count.exact += weight;
      else count.pastEnd += weight;
      const end = this.toParts.find((each) => found >= each.start && found < each.end)!.end;
      return Math.min(found, end - bytes);
    }
    count.standIn += weight;
    found = target.start + ((at - this.fromParts[part]!.start) % (target.end - target.start));
    return Math.min(found, target.end - bytes);
  }
}
