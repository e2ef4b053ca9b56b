/**
 * Files that an option or an argument names, read whole: what cannot be is told by the file, the option and the remedy.
 */
import { readFileSync, statSync } from "node:fs";
import { InputError, whyNot } from "@kreplica/inputs";

/** @param field the option that named the file @throws InputError when it cannot be read */
export function readInput(file: string, remedy: string, field?: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new InputError({ file, ...(field === undefined ? {} : { field }), ...whyNot(error, remedy) });
  }
}

/**
 * A file that people write or tools print: text in UTF-8, of a size such a file has.
 * @param largest MiB
 * @throws InputError for a folder, for what is larger, is no such text, or cannot be read
 */
export function readText(file: string, field: string, largest: number, remedy: string): string {
  const refuse = (reason: string): InputError => new InputError({ file, field, reason, remedy });
  try {
    const found = statSync(file);
    if (found.isDirectory()) throw refuse("is a folder");
    if (found.size > largest * 2 ** 20) throw refuse(`larger than ${largest} MiB`);
  } catch (error) {
    throw error instanceof InputError ? error : new InputError({ file, field, ...whyNot(error, remedy) });
  }
  const bytes = readInput(file, remedy, field);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refuse("is no text in UTF-8");
  }
}
