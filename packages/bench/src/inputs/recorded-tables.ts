/** Opens a directory of recorded page tables for their readers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "@kreplica/inputs";
import { readPackedPages, readRoots, type RecordedTables } from "@kreplica/kernel-files";
import { foundFile } from "./input-file.js";

/**
 * Reads `ptpages.bin.zst` and `registers.txt` (QEMU's `info registers -a`) of a directory.
 * @throws InputError naming file, line or byte when one is missing or is not what it should be
 */
export function readRecordedTables(directory: string): RecordedTables {
  const pagesFile = join(directory, "ptpages.bin.zst");
  const registersFile = join(directory, "registers.txt");
  return {
    ...readPackedPages(pagesFile, open(pagesFile)),
    roots: readRoots(registersFile, open(registersFile).toString("utf8")),
  };
}

function open(file: string): Buffer {
  try {
    return readFileSync(foundFile(file));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({
      file,
      reason: `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      remedy: "name a directory with ptpages.bin.zst and registers.txt",
    });
  }
}
