/**
 * Instructions, lines of text, loads and stores of a recording by function of the recorded kernel: the measured CPU's,
 * in kernel mode.
 */
import { type Batch, Kind, MARKER, Phase } from "@kreplica/trace";
import { readTraceFile } from "../../src/inputs/trace-file.js";

export interface FunctionCounts {
  instructions: number;
  entries: number;
  readonly lines: Set<number>;
  loads: number;
  stores: number;
}

/** @param symbols in any order @returns by name; names of one address share their counts */
export function countFunctions(
  file: string,
  symbols: readonly { readonly name: string; readonly address: bigint }[],
): Map<string, FunctionCounts> {
  const text = symbols
    .filter(({ address }) => address >= 0xffff_ffff_8100_0000n)
    .map(({ name, address }) => ({ name, at: Number(address & 0xffff_ffffn) }))
    .sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1));
  const counts = new Map<number, FunctionCounts>();
  const of = (lo: number): FunctionCounts => {
    let below = 0;
    for (let above = text.length; below < above;) {
      const middle = (below + above) >>> 1;
      if (text[middle]!.at <= lo) below = middle + 1;
      else above = middle;
    }
    const { at } = text[below - 1]!;
    let found = counts.get(at);
    if (!found) counts.set(at, (found = { instructions: 0, entries: 0, lines: new Set(), loads: 0, stores: 0 }));
    return found;
  };
  let vcpu = 0;
  let measured = -1;
  let current: FunctionCounts | undefined;
  readTraceFile(file, ({ kind, lo, hi, a, b, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      const what = kind[i]!;
      if (what === Kind.Vcpu) vcpu = a[i]!;
      else if (what === Kind.Mark && a[i]! >>> 16 === MARKER && (a[i]! & 0xff) === Phase.Start) measured = vcpu;
      else if (measured >= 0 && vcpu !== measured) continue;
      else if (what === Kind.Fetch) {
        const now = hi[i] === 0xffff_ffff ? of(lo[i]!) : undefined;
        if (now) {
          if (now !== current) now.entries++;
          now.instructions += a[i]!;
          for (let at = lo[i]! - (lo[i]! % 64); at < lo[i]! + b[i]!; at += 64) now.lines.add(at);
        }
        current = now;
      } else if ((what === Kind.Load || what === Kind.Store) && current)
        current[what === Kind.Load ? "loads" : "stores"]++;
    }
  });
  return new Map(
    text.flatMap(({ name, at }) => {
      const found = counts.get(at);
      return found ? [[name, found] as const] : [];
    }),
  );
}
