/** `--kernel` and `--system-map`: a real kernel in place of the traced one, for every command that boots. */
import { InputError } from "@kreplica/inputs";
import { bootableImage } from "@kreplica/kernel-files";
import type { Command, Option } from "commander";
import type { KernelImage } from "@kreplica/mm-core";
import { readKernelFile } from "../inputs/kernel-file.js";
import { fileOption } from "./values.js";

/** As commander fills them in. */
export interface KernelOption {
  readonly kernel?: string;
  readonly systemMap?: string;
}

export const addKernelOption = (command: Command): Command =>
  command
    .addOption(
      fileOption(
        "--kernel <file>",
        "boot this kernel, with its real bytes: vmlinux, or vmlinuz packed with gzip, lz4, xz or zstd (default: the traced kernel's layout)",
      ),
    )
    .addOption(systemMapOption());

/** `--system-map`: symbols of the kernel that `--kernel` names. */
export const systemMapOption = (): Option =>
  fileOption(
    "--system-map <file>",
    "its System.map or a copy of /proc/kallsyms (default: the symbols in the image itself)",
  );

/** The kernel named, as plain data that a worker can be handed. @throws InputError for a map without a kernel */
export function kernelNamed({
  kernel,
  systemMap,
}: KernelOption): { readonly file: string; readonly systemMap?: string } | undefined {
  if (kernel !== undefined) return { file: kernel, ...(systemMap === undefined ? {} : { systemMap }) };
  if (systemMap !== undefined)
    throw new InputError({
      file: "--system-map",
      reason: "given without --kernel",
      remedy: "name the kernel it belongs to",
    });
  return undefined;
}

/** A kernel that was read, as an image: ends of text and rodata as in the file, or filled to 2 MiB by patch 06. */
export type ReadImage = (alignment: "recorded" | "patch-06") => KernelImage;

/**
 * @returns undefined when none was given
 * @throws InputError for a file that is no kernel, is cut, or lacks symbols that bound its parts
 */
export async function readKernelOption(options: KernelOption): Promise<ReadImage | undefined> {
  const named = kernelNamed(options);
  if (!named) return undefined;
  const kernel = await readKernelFile(named.file, named.systemMap);
  return (alignment) => bootableImage(kernel, alignment);
}
