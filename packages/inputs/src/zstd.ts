/**
 * Zstd frames unpacked a piece at a time and held against their own checks: fzstd unpacks blocks, but passes over the
 * checksum, the declared length and the place of an error.
 *
 *   frame      28 b5 2f fd  descriptor  [window]  [dictionary]  [length]  { block }  [low half of XXH64 of what it unpacks to]
 *   block      3 bytes: last | type << 1 | length << 3, then its content
 *   skippable  5x 2a 4d 18  length (4 bytes)  anything
 *
 * Source: RFC 8878, "Zstandard Frames", "Skippable Frames".
 */
import { Decompress } from "fzstd";
import xxhash from "xxhash-wasm";
import { joined, unzstdWhole } from "./zstd-frame.js";

export { unzstdWhole } from "./zstd-frame.js";

const { create64 } = await xxhash();

const FRAME = 0xfd2f_b528;
const SKIPPABLE = 0x184d_2a50;
/** What `zstd -d` takes without being told otherwise; a damaged header must not ask for gigabytes. */
const LARGEST_WINDOW = 1 << 27;
const LARGEST_BLOCK = 1 << 17;
/** Longest of the fields that are looked at: the frame header behind its descriptor. */
const LONGEST_FIELD = 13;

const enum Stage {
  Magic,
  SkipLength,
  Skip,
  Descriptor,
  Header,
  BlockHeader,
  Block,
  Checksum,
}
const enum BlockType {
  Raw = 0,
  Run = 1,
  Packed = 2,
  Reserved = 3,
}

/** A zstd stream that cannot be unpacked; for {@link InputError}s, which know the file. */
export class ZstdError extends Error {
  override readonly name = "ZstdError";
  /** @param offset byte of the packed stream where the frame's part begins that is wrong */
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** Whether a file of which these are the first bytes is zstd's. */
export const isZstd = (bytes: Uint8Array): boolean => {
  if (bytes.length < 4) return false;
  const magic = word(bytes, 0, 4);
  return magic === FRAME || (magic & ~15) >>> 0 === SKIPPABLE;
};

/**
 * All of a packed file.
 *
 * @param limit bytes it may unpack to
 * @param expected bytes it should unpack to, where somebody else knows: makes a frame fast that does not say so itself
 * @throws ZstdError
 */
export function unzstd(packed: Uint8Array, limit = 2 ** 31, expected?: number): Uint8Array<ArrayBuffer> {
  const atOnce = unzstdWhole(packed, limit, expected);
  if (atOnce) return atOnce;
  const parts: Uint8Array[] = [];
  let length = 0;
  const stream = new ZstdStream((part) => {
    length += part.length;
    if (length > limit) throw new ZstdError(0, `it unpacks to more than ${limit} bytes`);
    parts.push(part);
  });
  stream.push(packed);
  stream.finish();
  return joined(parts, length);
}

/** Any number of frames one behind the other. */
export class ZstdStream {
  private stage = Stage.Magic;
  /** Bytes the present field or content still lacks. */
  private missing = 4;
  private readonly field = new Uint8Array(LONGEST_FIELD);
  private filled = 0;
  /** Packed bytes seen, and those before the present field or block. */
  private position = 0;
  private began = 0;

  // The present frame.
  private descriptor = 0;
  private window = 0;
  private declared = -1;
  private length = 0;
  private last = false;
  private hash: ReturnType<typeof create64> | undefined;
  private blocks!: Decompress;
  private readonly unpacked: Uint8Array[] = [];

  /** @param sink gets what the frames unpack to, in order; what it throws comes out of {@link push} as it is */
  constructor(private readonly sink: (part: Uint8Array) => void) {}

  /** @throws ZstdError */
  push(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + this.missing);
      if (this.stage === Stage.Block) this.unpack(part, false);
      else if (this.stage !== Stage.Skip) {
        this.field.set(part, this.filled);
        this.filled += part.length;
      }
      at += part.length;
      this.position += part.length;
      this.missing -= part.length;
      while (this.missing === 0) this.next();
    }
  }

  /** Nothing follows. @throws ZstdError when a frame is not at its end */
  finish(): void {
    if (this.stage !== Stage.Magic || this.filled > 0)
      this.fail(`the stream ends here, after ${this.position} bytes, inside a frame`);
  }

  /** The present field or content is whole. */
  private next(): void {
    const { field } = this;
    switch (this.stage) {
      case Stage.Magic: {
        const magic = word(field, 0, 4);
        if ((magic & ~15) >>> 0 === SKIPPABLE) return this.enter(Stage.SkipLength, 4);
        if (magic !== FRAME) this.fail("no zstd frame begins here");
        this.blocks = new Decompress((part) => {
          this.unpacked.push(part);
        });
        this.length = 0;
        this.unpack(field.subarray(0, 4), false);
        return this.enter(Stage.Descriptor, 1);
      }
      case Stage.SkipLength:
        return this.enter(Stage.Skip, word(field, 0, 4));
      case Stage.Skip:
        return this.enter(Stage.Magic, 4);
      case Stage.Descriptor: {
        this.descriptor = field[0]!;
        if ((this.descriptor & 8) !== 0) this.fail("a reserved bit of the frame's header is set");
        this.hash = (this.descriptor & 4) === 0 ? undefined : create64();
        this.unpack(field.subarray(0, 1), false);
        return this.enter(Stage.Header, this.windowBytes + this.dictionaryBytes + this.lengthBytes);
      }
      case Stage.Header: {
        this.header();
        this.unpack(field.subarray(0, this.filled), false);
        return this.enter(Stage.BlockHeader, 3);
      }
      case Stage.BlockHeader: {
        const head = word(field, 0, 3);
        const type = (head >>> 1) & 3;
        const bytes = head >>> 3;
        this.last = (head & 1) !== 0;
        if (type === BlockType.Reserved) this.fail("a block of a reserved type");
        if (bytes > Math.min(LARGEST_BLOCK, this.window))
          this.fail(`a block of ${bytes} bytes, more than a frame may have`);
        this.unpack(field.subarray(0, 3), false);
        // The error of a block is at its header.
        this.stage = Stage.Block;
        this.missing = type === BlockType.Run ? 1 : bytes;
        return;
      }
      case Stage.Block: {
        if (!this.last) return this.enter(Stage.BlockHeader, 3);
        if (this.hash) return this.enter(Stage.Checksum, 4);
        return this.endFrame(field.subarray(0, 0));
      }
      case Stage.Checksum:
        return this.endFrame(field.subarray(0, 4));
    }
  }

  private get windowBytes(): number {
    return (this.descriptor & 0x20) === 0 ? 1 : 0;
  }
  private get dictionaryBytes(): number {
    return [0, 1, 2, 4][this.descriptor & 3]!;
  }
  private get lengthBytes(): number {
    return [this.windowBytes === 0 ? 1 : 0, 2, 4, 8][this.descriptor >>> 6]!;
  }

  private header(): void {
    const { field, windowBytes, dictionaryBytes, lengthBytes } = this;
    if (word(field, windowBytes, dictionaryBytes) !== 0) this.fail("it was packed with a dictionary");
    const at = windowBytes + dictionaryBytes;
    this.declared =
      lengthBytes === 0
        ? -1
        : word(field, at, Math.min(4, lengthBytes)) +
          (lengthBytes === 8 ? word(field, at + 4, 4) * 2 ** 32 : lengthBytes === 2 ? 256 : 0);
    this.window = windowBytes === 0 ? this.declared : 2 ** (10 + (field[0]! >>> 3)) * (1 + (field[0]! & 7) / 8);
    if (this.window > LARGEST_WINDOW)
      this.fail(`it asks for a window of ${this.window} bytes, and may have ${LARGEST_WINDOW}`);
  }

  private endFrame(checksum: Uint8Array): void {
    this.unpack(checksum, true);
    if (this.declared >= 0 && this.declared !== this.length)
      this.fail(`the frame unpacks to ${this.length} bytes and should to ${this.declared}`);
    if (this.hash && Number(BigInt.asUintN(32, this.hash.digest())) !== word(checksum, 0, 4))
      this.fail("what it unpacks to does not match its checksum");
    this.enter(Stage.Magic, 4);
  }

  private enter(stage: Stage, bytes: number): void {
    this.stage = stage;
    this.missing = bytes;
    this.filled = 0;
    this.began = this.position;
  }

  private unpack(part: Uint8Array, final: boolean): void {
    try {
      // It keeps what it is given until it is used.
      this.blocks.push(part.slice(), final);
    } catch (error) {
      this.fail((error as Error).message);
    }
    for (const each of this.unpacked.splice(0)) {
      this.length += each.length;
      this.hash?.update(each);
      this.sink(each);
    }
  }

  private fail(reason: string): never {
    throw new ZstdError(this.began, reason);
  }
}

/** Up to four bytes, little endian. */
function word(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value += bytes[at + i]! * 2 ** (8 * i);
  return value;
}
