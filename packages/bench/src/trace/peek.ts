/** What a recording is of, without reading it to its end. */
import { Kind } from "./batch.js";
import { readTrace } from "./read-trace.js";
import { MARKER, Phase, testOfMarker, type TraceTest } from "./tests.js";
import { TraceError } from "./trace-error.js";

const FOUND = Symbol("found");

/** @throws TraceError as the reader does up to the start marker; no-start, unknown-test */
export function testOf(file: string): TraceTest {
  let test: TraceTest | undefined;
  try {
    readTrace(file, (batch) => {
      for (let i = 0; i < batch.length; i++) {
        const offset = batch.base + batch.at[i]!;
        if (batch.kind[i] === Kind.End) throw new TraceError("no-start", file, offset, "no start marker was recorded", "record from the marker before the test to the one behind it");
        if (batch.kind[i] !== Kind.Mark || batch.a[i]! >>> 16 !== MARKER || (batch.a[i]! & 0xff) !== Phase.Start) continue;
        test = testOfMarker(batch.a[i]!);
        if (!test) throw new TraceError("unknown-test", file, offset, `the start marker names test ${(batch.a[i]! >>> 8) & 0xff}, which is not known`, "use a test number from 1 to 10");
        throw FOUND;
      }
    });
  } catch (thrown) {
    if (thrown !== FOUND) throw thrown;
  }
  return test!;
}
