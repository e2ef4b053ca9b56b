/** A small kernel image with every symbol the boot needs and ragged ends, laid out as the traced kernel's is. */
import { LARGE, PAGE } from "@kreplica/hw-x86/api";
import { firstTables } from "../image/first-tables.js";
import { kernelImage, loadedSection } from "../image/image.js";
import type { KernelImage } from "../image/kernel-image-api.js";

const TEXT = 0xffff_ffff_8100_0000n;

/**
 * 2 MiB of text, a tail of 2 pages; 2 MiB of rodata, a tail of 3; data, init, bss, brk.
 * @param espfix adds the page a kernel with 16-bit segments has
 */
export function tinyImage(alignment: "recorded" | "patch-06" = "recorded", espfix = false): KernelImage {
  const rodata = TEXT + 0x40_0000n;
  const data = TEXT + 0x80_0000n;
  const init = TEXT + 0xa0_2000n;
  const initEnd = TEXT + 0xa4_0000n;
  const bss = TEXT + 0xa4_2000n;
  const brk = TEXT + 0xc0_0000n;
  const end = brk + 0x3_0000n;
  const symbols = new Map<string, bigint>([
    ["_text", TEXT],
    ["_stext", TEXT],
    ["__entry_text_start", TEXT + 0x10n],
    ["__entry_text_end", TEXT + 0x1000n],
    ["_etext", TEXT + LARGE + 2n * PAGE - 0x30n],
    ["__start_rodata", rodata],
    ["__start_ro_after_init", rodata + 0x3100n],
    ["__start___ex_table", rodata + 0x20_0040n],
    ["__end_rodata", rodata + LARGE + 3n * PAGE],
    ["__init_begin", init],
    ["__init_end", initEnd],
    ["__bss_start", bss],
    ["idt_table", bss + PAGE],
    ["bm_pte", bss + 2n * PAGE],
    ["__brk_base", brk],
    ["_end", end],
    ...firstTables(data),
    ...(espfix ? [["espfix_pud_page", bss + 3n * PAGE] as [string, bigint]] : []),
  ]);
  return kernelImage({
    name: "tiny",
    alignment,
    symbols,
    sections: [
      loadedSection(".text", { start: TEXT, end: TEXT + LARGE + 2n * PAGE - 0x30n }, false, true),
      loadedSection(".rodata", { start: rodata, end: rodata + LARGE + 3n * PAGE }, false, false),
      loadedSection(".data", { start: data, end: data + 0x1_0000n }, true, false),
      loadedSection(".init.text", { start: init, end: initEnd }, false, true),
      loadedSection(".bss", { start: bss, end: brk }, true, false),
      loadedSection(".brk", { start: brk, end: end }, true, false),
    ],
  });
}
