/**
 * The symbol table a running kernel carries in its own rodata, read from the image, so that a vmlinuz without a
 * System.map still has names.
 *
 *   up to 6.3:  offsets s32[n] | relative_base u64 | num_syms u32 | names | markers u32[] | seqs u24[n] | token_table | token_index
 *   from 6.4:   num_syms | names | markers | token_table | token_index | offsets | relative_base | seqs      each on 8 bytes
 *   in 7.2:     num_syms | names | markers | token_table | token_index | offsets | seqs                      each on 4 bytes
 *
 * In the last an offset counts from the place it lies at itself, not from a base.
 *
 * Nothing points to these tables, so they are found by their shape: 256 strings, ten of which are the digits, followed
 * by 256 ascending offsets that agree with the strings' lengths. Every step is checked; what does not fit gives
 * undefined. Source: scripts/kallsyms.c, kernel/kallsyms.c (format only).
 */

const decoder = new TextDecoder("latin1");
const DIGITS = Uint8Array.from({ length: 20 }, (_, i) => (i & 1 ? 0 : 0x30 + (i >> 1)));
/** First of the digits among the tokens: tokens 0 to 255 stand for a character where that character occurs in names. */
const FIRST_DIGIT = 0x30;
/** A symbol's packed name is between 2 and this many bytes on average over a block. */
const LONGEST_AVERAGE = 128;

/** A symbol with the letter `nm` gives it; upper case is global. */
export interface KernelSymbol {
  readonly address: bigint;
  readonly type: string;
  readonly name: string;
}

/**
 * @param memory the image's bytes, or those of its rodata
 * @param base linked address of the first of them
 * @returns symbols in address order, or undefined when there is no table
 */
export function embeddedSymbols(memory: Uint8Array, base: bigint): KernelSymbol[] | undefined {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  for (let at = find(memory, DIGITS, 0); at >= 0; at = find(memory, DIGITS, at + 1)) {
    for (const alignment of [8, 4] as const) {
      const tokens = tokenTable(memory, view, at, alignment);
      const names = tokens && nameTable(memory, view, tokens);
      const symbols = names && (alignment === 8 ? addresses : addressesFromPlaces)(memory, view, tokens, names, base);
      if (symbols) return symbols;
    }
  }
  return undefined;
}

/** Bytes on which each of the tables begins. */
type Alignment = 8 | 4;

interface Tokens {
  readonly start: number;
  readonly end: number;
  readonly alignment: Alignment;
  readonly text: readonly string[];
}

const alignedUp = (at: number, alignment: Alignment): number => (at + alignment - 1) & -alignment;

function tokenTable(memory: Uint8Array, view: DataView, digits: number, alignment: Alignment): Tokens | undefined {
  let second = digits;
  // Back over the strings before the digits, each of which ends in a zero, to the second: before the first there need
  // be none.
  for (let strings = 1; strings < FIRST_DIGIT; strings++) {
    second--;
    do {
      second--;
      if (second < 0 || digits - second > 8192) return undefined;
    } while (memory[second] !== 0);
    second++;
  }
  const text: string[] = [];
  const offsets: number[] = [];
  let at = second;
  for (let token = 1; token < 256; token++) {
    const end = memory.indexOf(0, at);
    if (end < 0 || end - at > 256) return undefined;
    offsets.push(at - second);
    text.push(decoder.decode(memory.subarray(at, end)));
    at = end + 1;
  }
  const index = alignedUp(at, alignment);
  if (index + 512 > memory.length || view.getUint16(index, true) !== 0) return undefined;
  const first = view.getUint16(index + 2, true);
  const start = second - first;
  if (first === 0 || start < 0) return undefined;
  for (let token = 1; token < 256; token++)
    if (view.getUint16(index + 2 * token, true) !== first + offsets[token - 1]!) return undefined;
  text.unshift(decoder.decode(memory.subarray(start, second - 1)));
  return { start, end: index + 512, alignment, text };
}

interface Names {
  readonly start: number;
  readonly count: number;
}

/** Looks below the tokens for the markers (offset of every 256th name), then for the names they describe. */
function nameTable(memory: Uint8Array, view: DataView, tokens: Tokens): Names | undefined {
  const lowest = Math.max(0, tokens.start - (64 << 20));
  const { alignment } = tokens;
  for (let markers = (tokens.start & -alignment) - alignment; markers >= lowest; markers -= alignment) {
    if (view.getUint32(markers, true) !== 0) continue;
    let blocks = 1;
    for (let last = 0; markers + 4 * blocks + 4 <= tokens.start; blocks++) {
      const next = view.getUint32(markers + 4 * blocks, true);
      if (next < last + 2 * 256 || next > last + LONGEST_AVERAGE * 256) break;
      last = next;
    }
    if (blocks < 2) continue;
    const found = namesBefore(memory, view, markers, blocks, alignment);
    if (found) return found;
  }
  return undefined;
}

function namesBefore(
  memory: Uint8Array,
  view: DataView,
  markers: number,
  blocks: number,
  alignment: Alignment,
): Names | undefined {
  // The last marker may belong to what follows: seqs_of_names can look like one more.
  for (const used of [blocks, blocks - 1]) {
    if (used < 1) continue;
    const lastMarker = view.getUint32(markers + 4 * (used - 1), true);
    for (
      let start = (markers - lastMarker - 2) & -alignment;
      start >= 16 && start > markers - lastMarker - LONGEST_AVERAGE * 256;
      start -= alignment
    ) {
      const count = view.getUint32(start - alignment, true);
      if ((alignment === 8 && view.getUint32(start - 4, true) !== 0) || (count + 255) >>> 8 !== used) continue;
      let at = start;
      let fits = true;
      for (let i = 0; i < count && fits; i++) {
        if ((i & 255) === 0) fits = at - start === view.getUint32(markers + 4 * (i >>> 8), true);
        at = nameEnd(memory, at);
        fits &&= at <= markers;
      }
      if (fits && alignedUp(at, alignment) === markers) return { start, count };
    }
  }
  return undefined;
}

/** A name's length is one byte, or two with the first's top bit set. */
function nameStart(memory: Uint8Array, at: number): number {
  return at + (memory[at]! & 0x80 ? 2 : 1);
}
function nameEnd(memory: Uint8Array, at: number): number {
  const first = memory[at]!;
  return first & 0x80 ? at + 2 + ((first & 0x7f) | (memory[at + 1]! << 7)) : at + 1 + first;
}

function addresses(memory: Uint8Array, view: DataView, tokens: Tokens, names: Names): KernelSymbol[] | undefined {
  const { count } = names;
  const bytes = (4 * count + 7) & ~7;
  for (const offsets of [names.start - 16 - bytes, tokens.end]) {
    const baseAt = offsets + bytes;
    if (offsets < 0 || baseAt + 8 > memory.length) continue;
    const base = view.getBigUint64(baseAt, true);
    if (base < 0xffff_ffff_8000_0000n) continue;
    let negative = false;
    for (let i = 0; i < count && !negative; i++) negative = view.getInt32(offsets + 4 * i, true) < 0;
    // With per-CPU addresses absolute: those are kept as they are, all others count down from base - 1.
    return named(memory, tokens, names, (i) => {
      const offset = view.getInt32(offsets + 4 * i, true);
      return negative ? (offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset)) : base + BigInt(offset >>> 0);
    });
  }
  return undefined;
}

/** @param base linked address of the first byte */
function addressesFromPlaces(
  memory: Uint8Array,
  view: DataView,
  tokens: Tokens,
  names: Names,
  base: bigint,
): KernelSymbol[] | undefined {
  const offsets = tokens.end;
  if (offsets + 4 * names.count > memory.length) return undefined;
  const position = (i: number): number => offsets + 4 * i + view.getInt32(offsets + 4 * i, true);
  for (let i = 1; i < names.count; i++) if (position(i) < position(i - 1)) return undefined;
  return named(memory, tokens, names, (i) => base + BigInt(position(i)));
}

function named(memory: Uint8Array, tokens: Tokens, names: Names, addressOf: (i: number) => bigint): KernelSymbol[] {
  const symbols: KernelSymbol[] = [];
  for (let i = 0, at = names.start; i < names.count; i++, at = nameEnd(memory, at)) {
    let text = "";
    for (let byte = nameStart(memory, at); byte < nameEnd(memory, at); byte++) text += tokens.text[memory[byte]!]!;
    symbols.push({ address: addressOf(i), type: text.charAt(0), name: text.slice(1) });
  }
  return symbols;
}

function find(memory: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let at = memory.indexOf(wanted[0]!, from); at >= 0; at = memory.indexOf(wanted[0]!, at + 1)) {
    let same = 1;
    while (same < wanted.length && memory[at + same] === wanted[same]) same++;
    if (same === wanted.length) return at;
  }
  return -1;
}
