/** The pages of an image's data that a boot looks for by name, for images that are invented. */
import { PAGE } from "@kreplica/hw-x86/api";

const NAMES = [
  "init_top_pgt",
  "init_top_pgt_user",
  "level4_kernel_pgt",
  "level3_kernel_pgt",
  "level2_kernel_pgt",
  "level2_fixmap_pgt",
  "level1_fixmap_pgt",
  "vsyscall_page",
];

/**
 * A page each, one behind the other; with page-table isolation the user half of the first lies behind it.
 * @param at address of the first page, a multiple of 4 KiB, in the image's data
 * @returns symbols and their addresses, the last at `at` + 7 pages
 */
export const firstTables = (at: bigint): readonly (readonly [string, bigint])[] =>
  NAMES.map((name, page) => [name, at + BigInt(page) * PAGE]);
