/**
 * A kernel file as an image the model can boot: symbols that say where the first page tables lie are there, and lie
 * where they can.
 */
import { PAGE } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import { type KernelImage, MmError } from "@kreplica/mm-core";
import { imageOf, type KernelFile } from "./kernel-file.js";
import { withNoOps } from "./no-op-runs.js";

/** Pages of the image's own data in which the boot finds or makes tables. */
const TABLES = [
  "init_top_pgt",
  "level3_kernel_pgt",
  "level2_kernel_pgt",
  "level2_fixmap_pgt",
  "level1_fixmap_pgt",
  "bm_pte",
  "idt_table",
  "__brk_base",
] as const;
/** The same, in kernels that have them. */
const PERHAPS = [
  "level4_kernel_pgt",
  "vsyscall_page",
  "espfix_pud_page",
  "__start_bss_decrypted_unused",
  "__end_bss_decrypted",
] as const;
/** Not on a page: code and words, of which only the place is asked for. */
const PLACES = ["__entry_text_start", "__entry_text_end"] as const;
const REMEDY = "give the System.map of the same build with --system-map";

/** @param alignment ends of text and rodata: `patch-06` fills them to 2 MiB @throws InputError naming the symbol */
export function bootableImage(kernel: KernelFile, alignment: "recorded" | "patch-06"): KernelImage {
  let image: KernelImage;
  try {
    image = withNoOps(imageOf(kernel, alignment), kernel);
  } catch (error) {
    if (!(error instanceof MmError)) throw error;
    throw new InputError({ file: kernel.file, field: "symbols", reason: error.message, remedy: REMEDY });
  }
  return checkedImage(image, kernel.file);
}

/**
 * The image, with the symbols that a boot looks up where they can be.
 * @param file as errors name it
 * @throws InputError naming the symbol
 */
export function checkedImage(image: KernelImage, file: string): KernelImage {
  const fault = (name: string, reason: string): never => {
    throw new InputError({ file, field: name, reason, remedy: REMEDY });
  };
  for (const name of [...TABLES, ...PERHAPS, ...PLACES]) {
    const address = image.symbol(name);
    if (address === undefined) {
      if ((TABLES as readonly string[]).includes(name))
        fault(name, "the kernel has no such symbol, and the first page tables lie there");
      continue;
    }
    if (address < image.stext || address >= image.end)
      fault(
        name,
        `0x${address.toString(16)} is outside the image, which lies from 0x${image.stext.toString(16)} to 0x${image.end.toString(16)}`,
      );
    if (!(PLACES as readonly string[]).includes(name) && name !== "__brk_base" && address % PAGE !== 0n)
      fault(name, `0x${address.toString(16)} is not on a page`);
  }
  return image;
}
