/** Opens kernel files for their reader. */
import { readFile } from "node:fs/promises";
import { InputError } from "@kreplica/inputs";
import { type KernelFile, kernelFromBytes, readSymbolList, textOf } from "@kreplica/kernel-files";

/** @param symbolFile System.map or kallsyms, when there is one @throws InputError for anything unusable */
export async function readKernelFile(file: string, symbolFile?: string): Promise<KernelFile> {
  const bytes = await readBytes(file);
  const list =
    symbolFile === undefined ? undefined : readSymbolList(textOf(await readBytes(symbolFile), symbolFile), symbolFile);
  return kernelFromBytes(bytes, file, list);
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new InputError({
      file,
      reason: `cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
      remedy: "give the path of a readable file",
    });
  }
}
