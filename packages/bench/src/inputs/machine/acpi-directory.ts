/** Folders with ACPI tables: /sys/firmware/acpi/tables, or a copy of it. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { TABLES } from "@kreplica/machines";

/** Of one machine at most: SRAT2, SRAT3 are of others. */
const isTable = (name: string): boolean =>
  TABLES.some((table) => name.replace(/\.(?:bin|dat|aml)$/i, "").toUpperCase() === table);

/** @returns files of the tables that are read; undefined where there is none */
export function acpiDirectory(directory: string): string[] | undefined {
  let entries: string[];
  try {
    entries = readdirSync(directory);
  } catch {
    return undefined;
  }
  const found = entries
    .filter(isTable)
    .map((entry) => join(directory, entry))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .sort();
  return found.length > 0 ? found : undefined;
}
