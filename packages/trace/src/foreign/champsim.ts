/**
 * ChampSim's instructions, 64 bytes each, little endian:
 *
 *   0 ip (8)   8 is a branch   9 taken   10 registers written (2)   12 read (4)   16 stores (2 x 8)   32 loads (4 x 8)
 *
 * An address of 0 is none. Registers are not read: 0 in what we write, but those that make a jump of one, the
 * instruction pointer's 26.
 */
import { Access, type Batch, Kind } from "../batch.js";
import { readTrace, type Recording } from "../read-trace.js";
import type { ByteSink } from "../writer.js";
import type { ImportResult, ImportWriter } from "./import-writer.js";

/** Of one instruction. */
export const CHAMPSIM_BYTES = 64;
const STORES = 2;
const LOADS = 4;
const STORES_AT = 16;
const LOADS_AT = 32;
const INSTRUCTION_POINTER = 26;

/** One instruction and what it loads, then stores. @param at byte of the trace, for errors */
export function champSimRecord(bytes: Uint8Array, from: number, to: ImportWriter, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, CHAMPSIM_BYTES);
  to.instruction(view.getUint32(0, true), view.getUint32(4, true), 0, at);
  const references = (first: number, count: number, store: boolean): void => {
    for (let each = first; each < first + 8 * count; each += 8) {
      const [lo, hi] = [view.getUint32(each, true), view.getUint32(each + 4, true)];
      if ((lo | hi) !== 0) to.reference(store, lo, hi, 0, at);
    }
  };
  references(LOADS_AT, LOADS, false);
  references(STORES_AT, STORES, true);
}

/**
 * Writes a recording's instructions for ChampSim, of one virtual CPU: it runs one a trace. A run of instructions is
 * spread evenly over its bytes; an instruction of more loads or stores than a record holds is written again for the
 * rest.
 *
 * @param cpu whose instructions; all others are left out
 * @throws TraceError as the reader does
 */
export function exportChampSim(recording: Recording, cpu: number, sink: ByteSink): Omit<ImportResult, "pages"> {
  const record = new Uint8Array(CHAMPSIM_BYTES);
  const view = new DataView(record.buffer);
  let [held, loads, stores, vcpu] = [false, 0, 0, 0];
  const counted = { instructions: 0, loads: 0, stores: 0 };
  const put = (): void => {
    if (held) sink(record);
  };
  const begin = (lo: number, hi: number): void => {
    record.fill(0);
    view.setUint32(0, lo, true);
    view.setUint32(4, hi, true);
    [held, loads, stores] = [true, 0, 0];
  };
  const next = (lo: number, hi: number, follows: boolean): void => {
    if (held && !follows) {
      record[8] = record[9] = 1;
      record[10] = record[12] = INSTRUCTION_POINTER;
    }
    put();
    begin(lo, hi);
  };
  let [endLo, endHi] = [0, 0];
  readTrace(recording, ({ kind, lo, hi, a, b, length }: Batch) => {
    for (let i = 0; i < length; i++) {
      if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
      if (vcpu !== cpu) continue;
      if (kind[i] === Kind.Fetch) {
        for (let nth = 0; nth < a[i]!; nth++) {
          const at = lo[i]! + Math.floor((b[i]! * nth) / a[i]!);
          next(at, at > 0xffff_ffff ? hi[i]! + 1 : hi[i]!, nth > 0 || (lo[i] === endLo && hi[i] === endHi));
        }
        counted.instructions += a[i]!;
        endLo = (lo[i]! + b[i]!) >>> 0;
        endHi = lo[i]! + b[i]! > 0xffff_ffff ? hi[i]! + 1 : hi[i]!;
      } else if ((kind[i] === Kind.Load || kind[i] === Kind.Store) && held && (a[i]! & Access.Io) === 0) {
        const store = kind[i] === Kind.Store;
        if (store ? stores === STORES : loads === LOADS) {
          put();
          begin(view.getUint32(0, true), view.getUint32(4, true));
        }
        const place = store ? STORES_AT + 8 * stores++ : LOADS_AT + 8 * loads++;
        view.setUint32(place, lo[i]!, true);
        view.setUint32(place + 4, hi[i]!, true);
        counted[store ? "stores" : "loads"]++;
      }
    }
  });
  put();
  return counted;
}

/** One byte a character; TextEncoder is no part of the language. */
const asciiOf = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** The same as Dinero's din: a label and an address a line. */
export function exportDin(recording: Recording, cpu: number, sink: ByteSink): Omit<ImportResult, "pages"> {
  const counted = { instructions: 0, loads: 0, stores: 0 };
  let vcpu = 0;
  const address = (lo: number, hi: number): string =>
    hi === 0 ? lo.toString(16) : `${hi.toString(16)}${lo.toString(16).padStart(8, "0")}`;
  readTrace(recording, ({ kind, lo, hi, a, b, length }: Batch) => {
    let text = "";
    for (let i = 0; i < length; i++) {
      if (kind[i] === Kind.Vcpu) vcpu = a[i]!;
      if (vcpu !== cpu) continue;
      if (kind[i] === Kind.Fetch) {
        for (let nth = 0; nth < a[i]!; nth++) {
          const at = lo[i]! + Math.floor((b[i]! * nth) / a[i]!);
          text += `2 ${address(at >>> 0, at > 0xffff_ffff ? hi[i]! + 1 : hi[i]!)}\n`;
        }
        counted.instructions += a[i]!;
      } else if ((kind[i] === Kind.Load || kind[i] === Kind.Store) && (a[i]! & Access.Io) === 0) {
        text += `${kind[i] === Kind.Store ? 1 : 0} ${address(lo[i]!, hi[i]!)}\n`;
        counted[kind[i] === Kind.Store ? "stores" : "loads"]++;
      }
    }
    sink(asciiOf(text));
  });
  return counted;
}
