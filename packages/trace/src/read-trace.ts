/**
 * A recording, plain or zstd, through the decoder in bounded memory: a piece is read, decompressed, decoded and handed
 * on.
 */
import { isZstd, ZstdError, ZstdStream } from "@kreplica/inputs/zstd";
import { Batch } from "./batch.js";
import { MAGIC, TraceDecoder } from "./decoder.js";
import { TraceError } from "./trace-error.js";

const PIECE = 1 << 16; // bytes read from disk at a time
const ROWS = 1 << 14; // records handed on at a time: 280 KB of columns, within L2

/** Called for every run of records. The batch is used again: copy what must stay. */
export type BatchSink = (batch: Batch) => void;

/** Bytes of a recording, from the first to the last. */
export interface RecordingReader {
  /** Fills the array from its start. @returns how many bytes came; 0 at the end @throws TraceError unreadable */
  read(into: Uint8Array): number;
  close(): void;
}

/** Where a recording's bytes come from: a file, memory, whatever else; it can be read more than once. */
export interface Recording {
  /** As errors name it: its path, where it has one. */
  readonly name: string;
  /** From the first byte. @throws TraceError unreadable */
  open(): RecordingReader;
}

/** A recording in memory. @param name as errors name it */
export const recordingOf = (name: string, bytes: Uint8Array): Recording => ({
  name,
  open() {
    let at = 0;
    return {
      read(into) {
        const part = bytes.subarray(at, at + into.length);
        into.set(part);
        at += part.length;
        return part.length;
      },
      close() {},
    };
  },
});

/**
 * Reads a recording to its END.
 *
 * @param recording KTRC1, plain or zstd; recognised by its first bytes
 * @throws TraceError any code of the decoder; unreadable, not-a-trace, bad-compression, cut
 */
export function readTrace(recording: Recording, sink: BatchSink): void {
  const reader = recording.open();
  try {
    readPieces(recording.name, sink, (into) => reader.read(into));
  } finally {
    reader.close();
  }
}

/** The same for a recording in memory. @param name as errors name it */
export const readTraceBytes = (name: string, bytes: Uint8Array, sink: BatchSink): void => {
  readTrace(recordingOf(name, bytes), sink);
};

function readPieces(file: string, sink: BatchSink, read: (into: Uint8Array) => number): void {
  const stream = new RecordStream(file, sink);
  const piece = new Uint8Array(PIECE);
  let length = read(piece);
  if (!isZstd(piece.subarray(0, length))) {
    for (; length > 0; length = read(piece)) stream.push(piece.subarray(0, length));
    stream.finish();
    return;
  }
  const zstd = new ZstdStream((part) => stream.push(part));
  try {
    for (; length > 0; length = read(piece)) zstd.push(piece.subarray(0, length));
    zstd.finish();
    stream.finish();
  } catch (error) {
    if (error instanceof ZstdError)
      throw new TraceError(
        "bad-compression",
        file,
        error.offset,
        `the zstd stream is damaged or cut (${error.reason})`,
        "copy the file again, in full",
      );
    // Of the decoder or the sink, which know nothing of the packing.
    throw error instanceof TraceError && error.code !== "unreadable" ? error.ofPacked() : error;
  }
}

/** Cuts a byte stream at record borders for the decoder. */
class RecordStream {
  /** Decompressed bytes seen so far. */
  received = 0;
  private readonly batch = new Batch(ROWS);
  private readonly decoder: TraceDecoder;
  private buffer = new Uint8Array(1 << 18);
  private filled = 0;
  private begun = false;

  constructor(
    private readonly file: string,
    private readonly sink: BatchSink,
  ) {
    this.decoder = new TraceDecoder(file);
  }

  push(part: Uint8Array): void {
    this.received += part.length;
    if (this.filled + part.length > this.buffer.length) {
      const larger = new Uint8Array((this.filled + part.length) * 2);
      larger.set(this.buffer.subarray(0, this.filled));
      this.buffer = larger;
    }
    this.buffer.set(part, this.filled);
    this.filled += part.length;
    if (this.begun || this.filled >= MAGIC.length) this.drain(false);
  }

  finish(): void {
    this.drain(true);
    if (this.batch.length > 0) this.sink(this.batch);
    if (!this.decoder.ended) {
      throw new TraceError(
        "cut",
        this.file,
        this.received,
        "the recording ends without its END record",
        "copy the file again, in full",
      );
    }
  }

  private drain(last: boolean): void {
    let at = this.begun ? 0 : this.magic();
    if (last) this.buffer.fill(0, this.filled); // what a cut record reads beyond the end must end its numbers
    for (;;) {
      at = this.decoder.decode(this.buffer, at, this.filled, last, this.batch);
      if (this.batch.length < this.batch.capacity) break;
      this.sink(this.batch);
      this.batch.length = 0;
    }
    this.buffer.copyWithin(0, at, this.filled);
    this.filled -= at;
  }

  private magic(): number {
    for (let i = 0; i < MAGIC.length; i++) {
      if (i >= this.filled || this.buffer[i] !== MAGIC.charCodeAt(i)) {
        throw new TraceError(
          "not-a-trace",
          this.file,
          i,
          "it is neither a KTRC1 recording nor a zstd-compressed one",
          "give a .kt or .kt.zst file, or a folder of them",
        );
      }
    }
    this.begun = true;
    return MAGIC.length;
  }
}
