/**
 * KTRL2: which stretch of a long recording resembles which recorded one, and the lines it touched. Written by
 * scripts/cut-long-run.ts. Little endian; v = LEB128 varint, z = zigzag varint.
 *
 *   "KTRL2\n"  v templates  v bursts  v stretches
 *   stretch:  v template * 2 + (it is the template itself)
 *             v bursts of other CPUs that ran in it           in order; the recording has them behind the templates
 *             v pages   { z virtual page  z physical page  v line * 4 + op }   pages that got or changed their frame, differences to the
 *                                                             one before; and what touched it then: op 0 fetch, 1 load, 2 store
 *             v lines   { v z(line) * 2 + (the first touch is a store) }   data in order of first touch; differences, the first to 0
 *             v lines   { z line }                            text that is in no template, likewise
 *
 * A virtual page is 36 bits plus bit 36 for the kernel half; a line is the low 48 bits of its address divided by 64.
 */
import { TraceError } from "@kreplica/trace";

const MAGIC = "KTRL2\n";
const REMEDY = "copy the file again, in full, or leave it out to replay the recording as it stands";

/** Everything in parallel arrays; stretch i has pages `[pageStart[i], pageStart[i + 1])` and lines likewise. */
export interface LineSchedule {
  readonly templates: number;
  readonly stretches: number;
  readonly template: Uint16Array;
  /** Stretch each template was cut from. */
  readonly origin: Int32Array;
  readonly pageStart: Uint32Array;
  /** Virtual page numbers, 52 bits as in an address. */
  readonly pages: Float64Array;
  readonly frames: Uint32Array;
  /** By page: line * 4 + op of the reference that got it. */
  readonly touched: Uint8Array;
  readonly lineStart: Uint32Array;
  readonly lines: Float64Array;
  /** By line: 1 where the first touch is a store. */
  readonly stored: Uint8Array;
  /** Bursts of other CPUs, and the first behind each stretch. */
  readonly bursts: number;
  readonly burstStart: Uint32Array;
  readonly textStart: Uint32Array;
  readonly text: Float64Array;
}

/** @param file as errors name it @throws TraceError not-lines, bad-lines */
export function readLineSchedule(bytes: Uint8Array, file: string): LineSchedule {
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[i] !== MAGIC.charCodeAt(i))
      throw new TraceError("not-lines", file, i, "it is not a KTRL2 schedule of lines", REMEDY);
  }
  let at = MAGIC.length;
  const bad = (why: string): never => {
    throw new TraceError("bad-lines", file, at, why, REMEDY);
  };
  const varint = (): number => {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) return bad("the schedule ends inside a number");
      value += (byte & 127) * unit;
      if (byte < 128) return value;
      if (unit > 2 ** 42) return bad("a number is too long");
    }
  };
  const signed = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);
  const zigzag = (): number => signed(varint());
  const count = (limit: number): number => {
    const value = varint();
    return value > limit ? bad(`a count of ${value} is more than the file has room for`) : value;
  };
  const templates = count(65_535);
  const bursts = count(bytes.length);
  const stretches = count(bytes.length);
  const template = new Uint16Array(stretches);
  const origin = new Int32Array(templates).fill(-1);
  const pageStart = new Uint32Array(stretches + 1);
  const lineStart = new Uint32Array(stretches + 1);
  const pages: number[] = [];
  const frames: number[] = [];
  const touched: number[] = [];
  const burstStart = new Uint32Array(stretches + 1);
  const textStart = new Uint32Array(stretches + 1);
  const text: number[] = [];
  // A line has a byte in the file at least. What is not written takes none of the host's memory, so that there is no
  // need to grow, which would copy, nor to cut.
  const lines = new Float64Array(bytes.length);
  const stored = new Uint8Array(bytes.length);
  let filled = 0;
  let page = 0;
  let frame = 0;
  for (let i = 0; i < stretches; i++) {
    const which = varint();
    template[i] = which >>> 1;
    if (template[i]! >= templates) bad(`stretch ${i} names template ${which >>> 1} of ${templates}`);
    if ((which & 1) !== 0) origin[which >>> 1] = i;
    burstStart[i + 1] = burstStart[i]! + count(bytes.length);
    for (let left = count(bytes.length); left > 0; left--) {
      page += zigzag();
      frame += zigzag();
      if (page < 0 || page >= 2 ** 37 || frame < 0 || frame >= 2 ** 32) bad(`a page of stretch ${i} is out of range`);
      pages.push(page >= 2 ** 36 ? page - 2 ** 37 + 2 ** 52 : page);
      frames.push(frame);
      const touch = varint();
      if (touch >= 256 || touch % 4 === 3) bad(`a page of stretch ${i} was touched by nothing there is`);
      touched.push(touch);
    }
    pageStart[i + 1] = pages.length;
    let line = 0;
    for (let left = count(bytes.length); left > 0; left--) {
      const value = varint();
      line += signed(Math.floor(value / 2));
      if (line < 0 || line >= 2 ** 42) bad(`a line of stretch ${i} is out of range`);
      stored[filled] = value % 2;
      lines[filled++] = line;
    }
    lineStart[i + 1] = filled;
    line = 0;
    for (let left = count(bytes.length); left > 0; left--) {
      line += zigzag();
      if (line < 0 || line >= 2 ** 42) bad(`a line of text of stretch ${i} is out of range`);
      text.push(line);
    }
    textStart[i + 1] = text.length;
  }
  if (at !== bytes.length) bad("bytes follow the last stretch");
  if (burstStart[stretches] !== bursts) bad(`it has ${bursts} bursts, its stretches name ${burstStart[stretches]}`);
  if (origin.includes(-1)) bad(`template ${origin.indexOf(-1)} has no stretch of its own`);
  return {
    templates,
    stretches,
    template,
    origin,
    pageStart,
    pages: Float64Array.from(pages),
    frames: Uint32Array.from(frames),
    touched: Uint8Array.from(touched),
    lineStart,
    lines: lines.subarray(0, filled),
    stored: stored.subarray(0, filled),
    bursts,
    burstStart,
    textStart,
    text: Float64Array.from(text),
  };
}
