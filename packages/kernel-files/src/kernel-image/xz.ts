/**
 * xz streams as kernels are packed in: LZMA2 behind the x86 branch filter, which the decoder library was built without.
 *
 * Each block is re-framed without filter and checksum for the library, its output filtered and its CRC32 checked here.
 * Source: "The .xz File Format" 1.1.0, sections 2.1 (stream), 3.1 (block header), 5.3.1 (LZMA2), 5.3.2 (branch
 * filters).
 */
import * as xz from "xz-decompress";
import { crc32 } from "./crc32.js";

/** The package is CommonJS: Node puts its exports on `default`, bundlers put them on the namespace. */
const { XzReadableStream } = (xz as { default?: typeof xz }).default ?? xz;

const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0];
/** Bytes of a block's checksum, by the stream's check type. */
const CHECK_BYTES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];
const CHECK_CRC32 = 1;
const FILTER_X86 = 0x04n;
const FILTER_LZMA2 = 0x21n;

/** @param limit bytes the result may have @throws Error with what is wrong with the stream */
export async function unxz(packed: Uint8Array, limit: number): Promise<Uint8Array> {
  if (packed.length < 24 || MAGIC.some((byte, i) => packed[i] !== byte)) throw new Error("no xz stream");
  const check = packed[7]! & 15;
  if (u32(packed, 8) !== crc32(packed.subarray(6, 8))) throw new Error("stream header checksum mismatch");
  const out = new Uint8Array(limit);
  let written = 0;
  let at = 12;
  for (let block = 0; packed[at] !== 0; block++) {
    const header = blockHeader(packed, at, block);
    const { end, unpacked } = lzma2Extent(packed, header.end);
    if (unpacked > limit - written) throw new Error(`unpacks to more than the declared ${limit} bytes`);
    const part = out.subarray(written, written + unpacked);
    await inflate(reframe(packed.subarray(header.end, end), header.dictionary, unpacked), part);
    if (header.x86) undoX86(part);
    at = (end + 3) & ~3;
    if (check === CHECK_CRC32 && u32(packed, at) !== crc32(part)) throw new Error(`block ${block}: checksum mismatch`);
    at += CHECK_BYTES[check]!;
    written += unpacked;
    if (at >= packed.length) throw new Error("cut before its index");
  }
  return out.subarray(0, written);
}

const u32 = (bytes: Uint8Array, at: number): number => {
  if (at + 4 > bytes.length) throw new Error("cut");
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
};

/** An integer of 7 bits a byte. */
function integer(bytes: Uint8Array, at: number): { value: bigint; end: number } {
  let value = 0n;
  for (let i = 0; i < 9; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new Error("cut inside a number");
    value |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte < 128) return { value, end: at + i + 1 };
  }
  throw new Error("a number of more than nine bytes");
}

function blockHeader(
  bytes: Uint8Array,
  start: number,
  block: number,
): { end: number; x86: boolean; dictionary: number } {
  const end = start + (bytes[start]! + 1) * 4;
  if (end > bytes.length || u32(bytes, end - 4) !== crc32(bytes.subarray(start, end - 4)))
    throw new Error(`block ${block}: header checksum mismatch`);
  const flags = bytes[start + 1]!;
  let at = start + 2;
  if (flags & 0x40) at = integer(bytes, at).end;
  if (flags & 0x80) at = integer(bytes, at).end;
  let x86 = false;
  for (let filter = 0; filter <= (flags & 3); filter++) {
    const id = integer(bytes, at);
    const properties = integer(bytes, id.end);
    at = properties.end + Number(properties.value);
    if (id.value === FILTER_LZMA2 && filter === (flags & 3) && properties.value === 1n)
      return { end, x86, dictionary: bytes[properties.end]! };
    if (id.value !== FILTER_X86 || properties.value !== 0n || x86) break;
    x86 = true;
  }
  throw new Error(`block ${block}: filters other than the x86 branch filter and LZMA2`);
}

/** Where LZMA2 data ends and what it unpacks to: every chunk says both. */
function lzma2Extent(bytes: Uint8Array, start: number): { end: number; unpacked: number } {
  let unpacked = 0;
  for (let at = start; at + 6 <= bytes.length;) {
    const control = bytes[at]!;
    if (control === 0) return { end: at + 1, unpacked };
    const size = (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (control < 0x80) {
      if (control > 2) break;
      unpacked += size + 1;
      at += 3 + size + 1;
    } else {
      unpacked += ((control & 31) << 16) + size + 1;
      at += (control >= 0xc0 ? 6 : 5) + ((bytes[at + 3]! << 8) | bytes[at + 4]!) + 1;
    }
  }
  throw new Error("LZMA2 data is cut or has a chunk of no known kind");
}

/** A stream of one block with LZMA2 alone and no checksum. */
function reframe(data: Uint8Array, dictionary: number, unpacked: number): Uint8Array {
  const numbers = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...numbers(Math.floor(value / 128))];
  const words = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
  const summed = (bytes: number[]): number[] => [...bytes, ...words(crc32(Uint8Array.from(bytes)))];
  const padded = (bytes: number[]): number[] => [...bytes, ...new Array<number>(-bytes.length & 3).fill(0)];
  const head = summed(padded([2, 0, Number(FILTER_LZMA2), 1, dictionary, 0, 0, 0]));
  const index = summed(padded([0, 1, ...numbers(head.length + data.length), ...numbers(unpacked)]));
  const backward = [...words(index.length / 4 - 1), 0, 0];
  const before = [...MAGIC, ...summed([0, 0]), ...head];
  const after = [
    ...new Array<number>(-data.length & 3).fill(0),
    ...index,
    ...words(crc32(Uint8Array.from(backward))),
    ...backward,
    0x59,
    0x5a,
  ];
  const stream = new Uint8Array(before.length + data.length + after.length);
  stream.set(before);
  stream.set(data, before.length);
  stream.set(after, before.length + data.length);
  return stream;
}

async function inflate(stream: Uint8Array, out: Uint8Array): Promise<void> {
  let given = false;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (given) controller.close();
      else controller.enqueue(stream);
      given = true;
    },
  });
  const reader = new XzReadableStream(source).getReader();
  let at = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    // set() throws when a damaged chunk gives more than it said.
    out.set(step.value, at);
    at += step.value.length;
  }
  if (at !== out.length) throw new Error(`a block unpacks to ${at} bytes, not ${out.length}`);
}

const isSign = (byte: number): boolean => byte === 0 || byte === 255;
/** By which of the last three bytes looked like a CALL or JMP: whether another may follow, and which byte decides. */
const ALLOWED = [true, true, true, false, true, false, false, false];
const DECIDES = [0, 1, 2, 2, 3, 3, 3, 3];

/** Turns the absolute targets after e8 and e9 back into relative ones, in place. */
function undoX86(code: Uint8Array): void {
  let last = -1;
  let mask = 0;
  for (let i = 0; i + 5 <= code.length; i++) {
    if ((code[i]! & 0xfe) !== 0xe8) continue;
    const distance = i - last;
    last = i;
    if (distance > 3) mask = 0;
    else {
      mask = (mask << (distance - 1)) & 7;
      if (mask !== 0 && (!ALLOWED[mask] || isSign(code[i + 4 - DECIDES[mask]!]!))) {
        mask = ((mask << 1) | 1) & 7;
        continue;
      }
    }
    if (!isSign(code[i + 4]!)) {
      mask = ((mask << 1) | 1) & 7;
      continue;
    }
    let from = u32(code, i + 1);
    let to = (from - (i + 5)) >>> 0;
    for (const bits = 8 * DECIDES[mask]!; mask !== 0 && isSign((to >>> (24 - bits)) & 255);) {
      from = (to ^ (2 ** (32 - bits) - 1)) >>> 0;
      to = (from - (i + 5)) >>> 0;
    }
    // 25 bits with their sign carried up.
    to = (to << 7) >> 7;
    code[i + 1] = to & 255;
    code[i + 2] = (to >> 8) & 255;
    code[i + 3] = (to >> 16) & 255;
    code[i + 4] = (to >> 24) & 255;
    i += 4;
  }
}
