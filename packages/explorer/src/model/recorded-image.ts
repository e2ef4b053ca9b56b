/** An image to boot for a recording whose kernel nobody opened: the parts of the recorded one, without a byte of it. */
import { PAGE } from "@kreplica/hw-x86/api";
import { firstTables, kernelImage, type KernelImage, loadedSection } from "@kreplica/mm-core";
import { type RecordedGuest, shippedGuest } from "@kreplica/trace";

/** @param alignment ends of text and rodata: `patch-06` fills them to 2 MiB */
export function recordedImage(
  alignment: "recorded" | "patch-06",
  { kernel, image: { stext, startRodata, startData, end, tails } }: RecordedGuest = shippedGuest,
): KernelImage {
  const [etext = startRodata, endRodata = startData] = tails.map(({ start }) => start);
  // Data is as large as all that is behind it: which of it is .bss matters to nobody who has no bytes.
  const init = end - 0x80n * PAGE;
  const brk = end - 0x30n * PAGE;
  const bounds: readonly (readonly [string, bigint])[] = [
    ["_stext", stext],
    ["_etext", etext],
    ["__start_rodata", startRodata],
    ["__start_ro_after_init", endRodata - 2n * PAGE],
    ["__start___ex_table", endRodata - PAGE],
    ["__end_rodata", endRodata],
    ["__init_begin", init],
    ["__init_end", init + 0x10n * PAGE],
    ["__bss_start", init + 0x10n * PAGE],
    ["__brk_base", brk],
    ["_end", end],
  ];
  return kernelImage({
    name: kernel,
    alignment,
    symbols: new Map([
      ...bounds,
      ...firstTables(startData),
      ["idt_table", startData + 8n * PAGE],
      ["bm_pte", startData + 9n * PAGE],
    ]),
    sections: [
      loadedSection(".text", { start: stext, end: etext }, false, true),
      loadedSection(".rodata", { start: startRodata, end: endRodata }, false, false),
      loadedSection(".data", { start: startData, end: init }, true, false),
      loadedSection(".init.text", { start: init, end: init + 0x10n * PAGE }, false, true),
      loadedSection(".bss", { start: init + 0x10n * PAGE, end: brk }, true, false),
      loadedSection(".brk", { start: brk, end }, true, false),
    ],
  });
}
