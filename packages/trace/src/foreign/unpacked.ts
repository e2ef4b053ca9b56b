/**
 * Bytes of another program's trace, unpacked on the way: gzip, zip (its files one behind the other), lz4, told by their
 * first bytes; anything else as it is.
 */
import { Gunzip, Unzip, UnzipInflate } from "fflate";
import type { Recording } from "../read-trace.js";
import { TraceError } from "../trace-error.js";
import { isLz4, Lz4Error, Lz4Stream } from "./lz4-frame.js";

const PIECE = 1 << 16;

/** What takes packed bytes. */
interface Unpacker {
  push(part: Uint8Array, last: boolean): void;
}

/** How the bytes are packed; undefined where they are not. */
function unpackerOf(head: Uint8Array, sink: (part: Uint8Array) => void): Unpacker | undefined {
  if (isLz4(head)) {
    const lz4 = new Lz4Stream(sink);
    return {
      push(part, last) {
        lz4.push(part);
        if (last) lz4.finish();
      },
    };
  }
  if (head[0] === 0x1f && head[1] === 0x8b) return new Gunzip(sink);
  if (head[0] !== 0x50 || head[1] !== 0x4b || head[2] !== 3 || head[3] !== 4) return undefined;
  let open = 0;
  const unzip = new Unzip((file) => {
    open++;
    file.ondata = (error, part, last) => {
      if (error) throw error;
      if (last) open--;
      sink(part);
    };
    file.start();
  });
  unzip.register(UnzipInflate);
  return {
    push(part, last) {
      unzip.push(part, last);
      if (last && open > 0) throw new Error("it ends within a file");
    },
  };
}

/**
 * @param sink gets the unpacked bytes in order; the array may be used again
 * @throws TraceError bad-compression with the packed byte read last; unreadable; what the sink throws, as of a packed
 *   file
 */
export function readUnpacked(recording: Recording, sink: (part: Uint8Array) => void): void {
  const reader = recording.open();
  // Of the sink, which knows nothing of the packing.
  let ofSink: unknown;
  const handed = (part: Uint8Array): void => {
    try {
      sink(part);
    } catch (error) {
      ofSink = error;
      throw error;
    }
  };
  try {
    const piece = new Uint8Array(PIECE);
    let read = 0;
    let unpacker: Unpacker | undefined;
    try {
      for (let length = 0; (length = reader.read(piece)) > 0; read += length) {
        // Unpackers keep what they are given.
        const part = piece.slice(0, length);
        if (read === 0) unpacker = unpackerOf(part, handed);
        if (unpacker) unpacker.push(part, false);
        else handed(part);
      }
      unpacker?.push(new Uint8Array(0), true);
    } catch (error) {
      if (error === ofSink) throw error instanceof TraceError && unpacker ? error.ofPacked() : error;
      if (error instanceof TraceError) throw error;
      throw new TraceError(
        "bad-compression",
        recording.name,
        read,
        `it is damaged or cut (${error instanceof Lz4Error || error instanceof Error ? error.message : String(error)})`,
        "copy the file again, in full",
      );
    }
  } finally {
    reader.close();
  }
}
