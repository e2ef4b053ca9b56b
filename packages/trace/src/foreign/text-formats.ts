/**
 * Lines of Dinero's din and xdin and of Valgrind's lackey.
 *
 *   din     label address          0 read, 1 write, 2 instruction; hexadecimal, with or without 0x
 *   xdin    label address size     r, w, i; 3, 4, m, c, v: misc, copyback, invalidate, which hold no reference
 *   lackey  I  address,size        and " L", " S", " M" (load and store at once); ==PID== lines are Valgrind's own
 */
import { TraceError } from "../trace-error.js";
import type { ImportWriter } from "./import-writer.js";

const DIN = /^\s*([0-4rwimcv])\s+(?:0x)?([0-9a-f]{1,16})(?:\s+([0-9a-f]{1,4}))?\s*$/i;
const LACKEY = /^(I | [LSM]) {1,2}([0-9a-f]{1,16}),(\d{1,5})\s*$/i;

/** @param at byte it begins at @throws TraceError bad-line */
export function dinLine(text: string, line: number, at: number, file: string, to: ImportWriter): void {
  if (/^\s*(#.*)?$/.test(text)) return;
  const [, label, address, size] = DIN.exec(text) ?? [];
  if (label === undefined) throw badLine(text, line, at, file, "LABEL ADDRESS or LABEL ADDRESS SIZE");
  const [lo, hi] = halves(address!);
  const bytes = size === undefined ? 0 : parseInt(size, 16);
  switch (label.toLowerCase()) {
    case "2":
    case "i":
      return to.instruction(lo, hi, bytes, at);
    case "0":
    case "r":
      return to.reference(false, lo, hi, bytes, at);
    case "1":
    case "w":
      return to.reference(true, lo, hi, bytes, at);
  }
}

/** @param at byte it begins at @throws TraceError bad-line */
export function lackeyLine(text: string, line: number, at: number, file: string, to: ImportWriter): void {
  if (text === "" || /^(==|--)\d+/.test(text)) return;
  const [, what, address, size] = LACKEY.exec(text) ?? [];
  if (what === undefined) throw badLine(text, line, at, file, "`I  ADDRESS,SIZE` or ` L ADDRESS,SIZE`");
  const [lo, hi] = halves(address!);
  const bytes = Number(size);
  if (what.trim().toUpperCase() === "I") return to.instruction(lo, hi, bytes, at);
  if (!/s/i.test(what)) to.reference(false, lo, hi, bytes, at);
  if (!/l/i.test(what)) to.reference(true, lo, hi, bytes, at);
}

const halves = (digits: string): [lo: number, hi: number] => [
  parseInt(digits.slice(-8), 16),
  digits.length > 8 ? parseInt(digits.slice(0, -8), 16) : 0,
];

const badLine = (text: string, line: number, at: number, file: string, form: string): TraceError =>
  new TraceError(
    "bad-line",
    file,
    at,
    `line ${line} is ${JSON.stringify(text.slice(0, 40))}, which is no reference`,
    `write ${form}, or name the format it has`,
  );
