/** Folders with ACPI tables: /sys/firmware/acpi/tables, or a copy of it. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isTableFile } from "@kreplica/machines";

/** @returns files of the tables that are read; undefined where there is none */
export function acpiDirectory(directory: string): string[] | undefined {
  let entries: string[];
  try {
    entries = readdirSync(directory);
  } catch {
    return undefined;
  }
  const found = entries
    .filter(isTableFile)
    .map((entry) => join(directory, entry))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .sort();
  return found.length > 0 ? found : undefined;
}
