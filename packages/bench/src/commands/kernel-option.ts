/** `--kernel` and `--system-map`: a real kernel in place of the traced one, for every command that boots. */
import { type Command, Option } from "commander";
import type { KernelImage } from "@kreplica/mm-core";
import { InputError } from "../inputs/input-error.js";
import { imageOf, readKernelFile } from "../inputs/kernel-image/kernel-file.js";

/** As commander fills them in. */
export interface KernelOption { readonly kernel?: string; readonly systemMap?: string }

export const addKernelOption = (command: Command): Command => command
  .addOption(new Option("--kernel <file>", "boot this kernel, with its real bytes: vmlinux, or vmlinuz packed with gzip, lz4, xz or zstd (default: the traced kernel's layout)"))
  .addOption(new Option("--system-map <file>", "its System.map or a copy of /proc/kallsyms (default: the symbols in the image itself)"));

/**
 * @param alignment ends of text and rodata: `patch-06` fills them to 2 MiB
 * @returns undefined when none was given @throws InputError for a file that is no kernel, is cut, or lacks symbols that bound its parts
 */
export async function readKernelOption(options: KernelOption, alignment: "recorded" | "patch-06"): Promise<KernelImage | undefined> {
  if (options.kernel === undefined) {
    if (options.systemMap !== undefined) throw new InputError({ file: "--system-map", reason: "given without --kernel", remedy: "name the kernel it belongs to" });
    return undefined;
  }
  const kernel = await readKernelFile(options.kernel, options.systemMap);
  try { return imageOf(kernel, alignment); } catch (error) {
    if (!(error instanceof Error) || error.name !== "MmError") throw error;
    throw new InputError({ file: options.kernel, field: "symbols", reason: error.message, remedy: "give the System.map of the same build with --system-map" });
  }
}
