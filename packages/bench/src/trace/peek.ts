/** What a recording is of, without reading it to its end. */
import { Kind } from "./batch.js";
import { readTrace } from "./read-trace.js";
import { MARKER, Phase, testOfMarker, type TraceTest } from "./tests.js";
import { TraceError } from "./trace-error.js";

const FOUND = Symbol("found");

/** @throws TraceError as the reader does up to the start marker; no-start, no-test */
export function testOf(file: string): TraceTest {
  let immediate: number | undefined;
  try {
    readTrace(file, (batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (batch.kind[i] !== Kind.Mark || batch.a[i]! >>> 16 !== MARKER || (batch.a[i]! & 0xff) !== Phase.Start) continue;
        immediate = batch.a[i]!;
        throw FOUND;
      }
    });
  } catch (thrown) {
    if (thrown !== FOUND) throw thrown;
  }
  if (immediate === undefined) throw new TraceError("no-start", file, 0, "no start marker was recorded", "record from the marker before the test to the one behind it");
  const test = testOfMarker(immediate);
  if (!test) throw new TraceError("unknown-test", file, 0, `its marker names test ${(immediate >>> 8) & 0xff}, which is not known`, "use a test number from 1 to 10");
  return test;
}
