/** Which pages of the traced kernel's text a shipped recording fetches: what `hot-subset:fork-1` stands for. */
import { type PageRun, runsOf } from "@kreplica/numa-replication";
import { Kind, testOf, traceTests } from "@kreplica/trace";
import { shippedTraces } from "./inputs/traces.js";
import { readTraceFile, traceFile } from "./inputs/trace-file.js";
import { tracedKernel } from "./traced-kernel.js";

const known = new Map<string, readonly PageRun[]>();

/**
 * @param name a test's, as comparisons write it
 * @returns runs of pages from the first of the text, ascending, apart from each other; undefined where no recording of
 *   this name ships
 */
export function shippedTextProfile(name: string): readonly PageRun[] | undefined {
  if (!traceTests.some((test) => test.name === name)) return undefined;
  const found = known.get(name) ?? read(name);
  if (found) known.set(name, found);
  return found;
}

function read(name: string): readonly PageRun[] | undefined {
  const file = shippedTraces().find((each) => testOf(traceFile(each))?.name === name);
  if (file === undefined) return undefined;
  const { stext, etext } = tracedKernel("recorded");
  const [start, end] = [Number(stext & 0xffff_ffffn), Number(etext & 0xffff_ffffn)];
  const high = Number(stext >> 32n);
  const touched = new Set<number>();
  readTraceFile(file, ({ kind, lo, hi, b, length }) => {
    for (let i = 0; i < length; i++) {
      if (kind[i] !== Kind.Fetch || hi[i] !== high || lo[i]! < start || lo[i]! >= end) continue;
      for (let page = (lo[i]! - start) >>> 12; page <= (lo[i]! + b[i]! - 1 - start) >>> 12; page++) touched.add(page);
    }
  });
  return runsOf(touched);
}
