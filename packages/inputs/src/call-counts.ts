/**
 * How often a program made which system calls: what `strace -c`, `strace -cf` and `perf trace -s` print, or JSON. Text
 * in, counts out.
 */
import { type CallCount, readSummaries } from "./call-summary.js";
import { InputError } from "./input-error.js";
import { parseJsonText } from "./json-text.js";
import { fieldName, TextLines } from "./text-lines.js";

/** Calls beyond this are no count but a mistake. */
const MOST_CALLS = 1e15;
const NAME = /^[a-z_][a-z0-9_]{0,63}$/i;
const JSON_FORM = 'write { "calls": { "openat": 1200, "mmap": { "calls": 30, "seconds": 0.001 } } }';

/**
 * Reads a summary, or several of them one after the other, whose calls are added up.
 *
 * JSON is `{ "calls": { NAME: CALLS, ... } }`; in place of CALLS may stand `{ "calls": CALLS, "seconds": SECONDS }`.
 * Times are left out where not all calls have one.
 *
 * @param text of the file @param file its name, for faults
 * @returns one entry a name, in the file's order; at least one
 * @throws InputError with the line, all faults of the file in one
 */
export function readCallCounts(text: string, file: string): CallCount[] {
  const read = /^\uFEFF?\s*[{[]/.test(text) ? fromJson(text, file) : readSummaries(new TextLines(file, text));
  const all = new Map<string, CallCount>();
  const timed = read.every(({ seconds }) => seconds !== undefined);
  for (const { name, calls, seconds } of read) {
    const before = all.get(name);
    all.set(name, {
      name,
      calls: calls + (before?.calls ?? 0),
      ...(timed ? { seconds: seconds! + (before?.seconds ?? 0) } : {}),
    });
  }
  const counts = [...all.values()];
  if (!counts.some(({ calls }) => calls > 0))
    throw new InputError({
      file,
      reason: "counts no system call",
      remedy: "give what strace -c, strace -cf or perf trace -s printed, or JSON",
    });
  return counts;
}

function fromJson(text: string, file: string): CallCount[] {
  const { value, placeOf } = parseJsonText(text, file);
  const fault = (path: readonly string[], reason: string): InputError =>
    new InputError({
      file,
      ...placeOf(path),
      ...(path.length === 0 ? {} : { field: fieldName(path) }),
      reason,
      remedy: JSON_FORM,
    });
  const object = (of: unknown, path: readonly string[], fields?: readonly string[]): Record<string, unknown> => {
    if (typeof of !== "object" || of === null || Array.isArray(of)) throw fault(path, "is no object");
    const other = fields && Object.keys(of).find((key) => !fields.includes(key));
    if (other !== undefined) throw fault([...path, other], "no such field");
    return of as Record<string, unknown>;
  };
  const calls = object(object(value, [], ["calls"])["calls"], ["calls"]);
  return Object.entries(calls).map(([name, entry]): CallCount => {
    const path = ["calls", name];
    if (!NAME.test(name)) throw fault(path, "is no system call's name");
    const alone = typeof entry === "number";
    const of = alone ? { calls: entry } : object(entry, path, ["calls", "seconds"]);
    const at = alone ? path : [...path, "calls"];
    if (typeof of["calls"] !== "number" || !Number.isInteger(of["calls"]) || !(of["calls"] >= 0))
      throw fault(at, "is no whole number of calls from 0");
    if (of["calls"] > MOST_CALLS) throw fault(at, `more than ${MOST_CALLS} calls`);
    const seconds: unknown = alone ? undefined : (of as Record<string, unknown>)["seconds"];
    if (seconds === undefined) return { name, calls: of["calls"] };
    if (typeof seconds !== "number" || !Number.isFinite(seconds) || !(seconds >= 0))
      throw fault([...path, "seconds"], "is no time from 0");
    return { name, calls: of["calls"], seconds };
  });
}
