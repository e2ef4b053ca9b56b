/**
 * String instructions. One element at a time through the access path, registers updated after each, so that a fault or
 * an interrupt in the middle leaves exactly what hardware leaves and the instruction can be started again. Runs of
 * bytes within two held windows are moved at once.
 * Source: SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"; "MOVS", "STOS", "LODS", "CMPS", "SCAS".
 */
import { compare, compare64 } from "./alu.js";
import { Flag, Slot, type Context } from "./context.js";
import { REPEAT, type Handler, type Instruction } from "./instruction.js";
import { load, store } from "./memory.js";
import { putAny } from "./operand.js";
import { Access } from "./port.js";

/** Ea from an index register, cut to the address size, with a segment base for the source. */
function pointAt(c: Context, i: Instruction, register: number, segment: number): void {
  const s = c.s;
  const lo = s[register]!;
  const hi = i.addressSize === 4 ? 0 : s[register + 1]!;
  const sum = (lo + s[segment]!) | 0;
  s[Slot.Ea] = sum;
  s[Slot.Ea + 1] = hi + s[segment + 1]! + (sum >>> 0 < lo >>> 0 ? 1 : 0);
}

/** Index register += a signed number of bytes; a 4-byte one clears its high half. */
function step(c: Context, i: Instruction, register: number, bytes: number): void {
  const s = c.s;
  const lo = s[register]!;
  const moved = (lo + bytes) | 0;
  s[register] = moved;
  if (i.addressSize === 4) s[register + 1] = 0;
  else if (bytes < 0 ? moved >>> 0 > lo >>> 0 : moved >>> 0 < lo >>> 0)
    s[register + 1] = s[register + 1]! + (bytes < 0 ? -1 : 1);
}

const delta = (c: Context, i: Instruction): number => ((c.s[Slot.Flags]! & Flag.Direction) !== 0 ? -i.size : i.size);

/** Each element: a status, or 0. */
function movsOne(c: Context, i: Instruction): number {
  pointAt(c, i, Slot.Rsi, i.segment);
  let status = load(c, i.size, Access.Read);
  if (status !== 0) return status;
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  status = store(c, i.size, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!, Access.Write);
  if (status !== 0) return status;
  const by = delta(c, i);
  step(c, i, Slot.Rsi, by);
  step(c, i, Slot.Rdi, by);
  return 0;
}

function stosOne(c: Context, i: Instruction): number {
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  const status = store(c, i.size, c.s[Slot.Rax]!, c.s[Slot.Rax + 1]!, Access.Write);
  if (status === 0) step(c, i, Slot.Rdi, delta(c, i));
  return status;
}

function lodsOne(c: Context, i: Instruction): number {
  pointAt(c, i, Slot.Rsi, i.segment);
  const status = load(c, i.size, Access.Read);
  if (status !== 0) return status;
  putAny(c, i.size, 0, c.s[Slot.Temp]!, c.s[Slot.Temp + 1]!);
  step(c, i, Slot.Rsi, delta(c, i));
  return 0;
}

function cmpsOne(c: Context, i: Instruction): number {
  const s = c.s;
  pointAt(c, i, Slot.Rsi, i.segment);
  let status = load(c, i.size, Access.Read);
  if (status !== 0) return status;
  const lo = s[Slot.Temp]!,
    hi = s[Slot.Temp + 1]!;
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  status = load(c, i.size, Access.Read);
  if (status !== 0) return status;
  if (i.size === 8) compare64(s, lo, hi, s[Slot.Temp]!, s[Slot.Temp + 1]!);
  else compare(s, lo, s[Slot.Temp]!, i.shift);
  const by = delta(c, i);
  step(c, i, Slot.Rsi, by);
  step(c, i, Slot.Rdi, by);
  return 0;
}

function scasOne(c: Context, i: Instruction): number {
  const s = c.s;
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  const status = load(c, i.size, Access.Read);
  if (status !== 0) return status;
  if (i.size === 8) compare64(s, s[Slot.Rax]!, s[Slot.Rax + 1]!, s[Slot.Temp]!, s[Slot.Temp + 1]!);
  else compare(s, s[Slot.Rax]!, s[Slot.Temp]!, i.shift);
  step(c, i, Slot.Rdi, delta(c, i));
  return 0;
}

/** RCX (or ECX) less a number of elements. */
function countDown(c: Context, i: Instruction, elements: number): void {
  const s = c.s;
  const lo = s[Slot.Rcx]!;
  s[Slot.Rcx] = lo - elements;
  if (i.addressSize === 4) s[Slot.Rcx + 1] = 0;
  else if (lo >>> 0 < elements) s[Slot.Rcx + 1]!--;
}

const exhausted = (c: Context, i: Instruction): boolean =>
  c.s[Slot.Rcx] === 0 && (i.addressSize === 4 || c.s[Slot.Rcx + 1] === 0);

/** Elements a run may take: the count, the repeat limit, and what is left of the page at Ea. */
function runLength(c: Context, i: Instruction, addressLo: number): number {
  const wanted =
    i.addressSize === 8 && c.s[Slot.Rcx + 1] !== 0 ? c.repeatLimit : Math.min(c.s[Slot.Rcx]! >>> 0, c.repeatLimit);
  return Math.min(wanted, Math.floor((4096 - (addressLo & 0xfff)) / i.size));
}

/** Which write window holds the page at Ea, or undefined. */
function writable(c: Context) {
  const lo = c.s[Slot.Ea]!;
  const k = (lo >>> 12) & 255;
  return c.writeTags[2 * k] === (lo & ~0xfff) && c.writeTags[2 * k + 1] === c.s[Slot.Ea + 1]
    ? c.writePages[k]
    : undefined;
}

function readable(c: Context) {
  const lo = c.s[Slot.Ea]!;
  const k = (lo >>> 12) & 255;
  return c.readTags[2 * k] === (lo & ~0xfff) && c.readTags[2 * k + 1] === c.s[Slot.Ea + 1] ? c.readPages[k] : undefined;
}

/** Forward REP MOVS within held windows. @returns elements moved, 0 when the slow way has to go on */
function moveRun(c: Context, i: Instruction): number {
  if ((c.s[Slot.Flags]! & Flag.Direction) !== 0) return 0;
  pointAt(c, i, Slot.Rsi, i.segment);
  const from = readable(c);
  const fromLo = c.s[Slot.Ea]!;
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  const to = writable(c);
  if (from === undefined || to === undefined) return 0;
  const toLo = c.s[Slot.Ea]!;
  const elements = Math.min(runLength(c, i, fromLo), runLength(c, i, toLo));
  const bytes = elements * i.size;
  const source = from.base + (fromLo & 0xfff);
  const target = to.base + (toLo & 0xfff);
  if (bytes === 0) return 0;
  if (from.bytes.buffer === to.bytes.buffer) {
    const apart = from.bytes.byteOffset + source - to.bytes.byteOffset - target;
    // An overlap repeats what it has just written; only the slow way does that faithfully.
    if (apart < 0 && apart > -bytes) return 0;
  }
  to.versions[to.slot]!++;
  for (let n = 0; n < bytes; n++) to.bytes[target + n] = from.bytes[source + n]!;
  step(c, i, Slot.Rsi, bytes);
  step(c, i, Slot.Rdi, bytes);
  return elements;
}

/** Forward REP STOS within a held window. */
function storeRun(c: Context, i: Instruction): number {
  if ((c.s[Slot.Flags]! & Flag.Direction) !== 0) return 0;
  pointAt(c, i, Slot.Rdi, Slot.Zero);
  const to = writable(c);
  if (to === undefined) return 0;
  const lo = c.s[Slot.Ea]!;
  const elements = runLength(c, i, lo);
  const target = to.base + (lo & 0xfff);
  const bytes = elements * i.size;
  if (bytes === 0) return 0;
  to.versions[to.slot]!++;
  for (let n = 0; n < bytes; n++) to.bytes[target + n] = c.u8[n & (i.size - 1)]!;
  step(c, i, Slot.Rdi, bytes);
  return elements;
}

const noRun = (): number => 0;

/** The loop around an element; `repeat` 0 does it once. */
const repeated =
  (one: Handler, run: Handler): Handler =>
  (c, i) => {
    if (i.repeat === 0) return one(c, i);
    for (let left = c.repeatLimit; left > 0;) {
      if (exhausted(c, i)) return 0;
      const many = run(c, i);
      if (many > 0) {
        countDown(c, i, many);
        left -= many;
        continue;
      }
      const status = one(c, i);
      if (status !== 0) return status;
      countDown(c, i, 1);
      left--;
    }
    return exhausted(c, i) ? 0 : REPEAT;
  };

/**
 * The loop of CMPS and SCAS, which also stops on ZF as its prefix says. What an interrupt, a trap or a fault in the
 * middle sees in the arithmetic flags is the vendor's: Intel's processors restore those from before the instruction,
 * AMD's leave those of the last comparison. Neither reads them when it goes on.
 * Source: SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"; for AMD the outcomes in test/isa/data/amd-outcomes.jsonl.zst.
 */
const comparing =
  (one: Handler): Handler =>
  (c, i) => {
    if (i.repeat === 0) return one(c, i);
    const s = c.s;
    const fz = s[Slot.Fz]!,
      fs = s[Slot.Fs]!,
      fp = s[Slot.Fp]!,
      fc = s[Slot.Fc]!,
      fa = s[Slot.Fa]!;
    let status = 0;
    for (let left = c.repeatLimit; left > 0; left--) {
      if (exhausted(c, i)) return 0;
      status = one(c, i);
      if (status !== 0) break;
      countDown(c, i, 1);
      if ((s[Slot.Fz] === 0) !== (i.repeat === 1)) return 0;
    }
    if (status === 0) {
      if (exhausted(c, i)) return 0;
      status = REPEAT;
    }
    if (c.amd) return status;
    s[Slot.Fz] = fz;
    s[Slot.Fs] = fs;
    s[Slot.Fp] = fp;
    s[Slot.Fc] = fc;
    s[Slot.Fa] = fa;
    return status;
  };

/** MOVS, by `size`. */
export const movs = repeated(movsOne, moveRun);
/** STOS, by `size`. */
export const stos = repeated(stosOne, storeRun);
/** LODS, by `size`. */
export const lods = repeated(lodsOne, noRun);
/** CMPS, by `size`. */
export const cmps = comparing(cmpsOne);
/** SCAS, by `size`. */
export const scas = comparing(scasOne);
