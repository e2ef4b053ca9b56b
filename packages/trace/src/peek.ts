/** What a recording is of, without reading it to its end. */
import { Kind } from "./batch.js";
import { readTrace, type Recording } from "./read-trace.js";
import { MARKER, Phase, testOfMarker, type TraceTest } from "./tests.js";
import { TraceError } from "./trace-error.js";

const FOUND = Symbol("found");

/** A recording's name without its folder and what its end says of the format. */
export const stemOf = (file: string): string =>
  file
    .replace(/[/\\]+$/, "")
    .replace(/^.*[/\\]/s, "")
    .replace(/\.kt(\.zst)?$/, "");

/**
 * The test whose number the start marker has. One of a number that is not known is named after its file.
 *
 * @param free named after the file whatever its number: of another kernel than the traced one
 * @throws TraceError as the reader does up to the start marker; no-start
 */
export function testOf(recording: Recording, free = false): TraceTest {
  const { name: file } = recording;
  let test: TraceTest | undefined;
  try {
    readTrace(recording, (batch) => {
      for (let i = 0; i < batch.length; i++) {
        const offset = batch.base + batch.at[i]!;
        if (batch.kind[i] === Kind.End)
          throw new TraceError(
            "no-start",
            file,
            offset,
            "no start marker was recorded",
            "record from the marker before the test to the one behind it",
          );
        if (batch.kind[i] !== Kind.Mark || batch.a[i]! >>> 16 !== MARKER || (batch.a[i]! & 0xff) !== Phase.Start)
          continue;
        const known = testOfMarker(batch.a[i]!);
        const named = stemOf(file);
        // What it calls is known by its number, wherever the recorded kernel has it.
        test =
          known && !free
            ? known
            : {
                id: (batch.a[i]! >>> 8) & 0xff,
                key: named,
                name: named,
                iterations: 1,
                ...(known?.call === undefined ? {} : { call: known.call }),
              };
        throw FOUND;
      }
    });
  } catch (thrown) {
    if (thrown !== FOUND) throw thrown;
  }
  return test!;
}

/**
 * Virtual CPU of the first start marker; of the first record where there is none.
 * @throws TraceError as the reader does
 */
export function markedCpu(recording: Recording): number {
  let vcpu = 0;
  let first: number | undefined;
  try {
    readTrace(recording, ({ kind, a, length }) => {
      for (let i = 0; i < length; i++) {
        if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
        else if (kind[i] === Kind.Fetch) first ??= vcpu;
        else if (kind[i] === Kind.Mark && a[i]! >>> 16 === MARKER && (a[i]! & 0xff) === Phase.Start) throw FOUND;
      }
    });
  } catch (thrown) {
    if (thrown !== FOUND) throw thrown;
    return vcpu;
  }
  return first ?? 0;
}
