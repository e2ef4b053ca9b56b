/**
 * Whose fault it is that a recording cannot be replayed: the file's, or that of whoever took it for one of this kernel.
 */
import { isZstd } from "@kreplica/inputs/zstd";
import { readTrace, type Recording, TraceError, type TraceErrorCode } from "@kreplica/trace";

/** What a damaged recording may say as well as one of another kernel. */
const EITHER: readonly TraceErrorCode[] = ["bad-address", "bad-frame", "unnamed-page", "refused"];

/** Content_Checksum_flag of a frame's descriptor. @source RFC 8878, "Frame_Header_Descriptor" */
const CHECKSUM = 4;
const DESCRIPTOR = 4;

/**
 * Does what replays a recording; its errors have the remedy that helps.
 * @param recording what is replayed @param kernel it is taken for
 */
export function rightlyBlaming<T>(recording: Recording, kernel: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof TraceError ? rightlyBlamed(error, recording, kernel) : error;
  }
}

/**
 * The error with the remedy that helps: a file that is whole by its checksum is not told to be damaged.
 * @param recording the error is of, unless it is of the schedule beside
 * @param kernel it was taken for
 */
function rightlyBlamed(error: TraceError, recording: Recording, kernel: string): TraceError {
  if (!EITHER.includes(error.code) || error.file !== recording.name || !isWhole(recording)) return error;
  return new TraceError(
    error.code,
    error.file,
    error.offset,
    error.reason,
    `the recording is whole, by its checksum, so it is not of ${kernel} and its guest without KASLR: name what was recorded with --recorded-kernel and --recorded-nodes`,
    error.unpacked,
  );
}

function isWhole(recording: Recording): boolean {
  const head = new Uint8Array(8);
  const source = recording.open();
  try {
    source.read(head);
  } finally {
    source.close();
  }
  if (!isZstd(head) || (head[DESCRIPTOR]! & CHECKSUM) === 0) return false;
  try {
    readTrace(recording, () => undefined);
    return true;
  } catch (error) {
    if (error instanceof TraceError) return false;
    throw error;
  }
}
