/** Public surface of efi: one root for all nodes, as the series has it, or one for each holder. */
import { bind, bindValue, plugin } from "@kreplica/di";
import { Efi, EfiRoots } from "./api.js";
import { EfiTables } from "./efi-mm.js";

export * from "./api.js";
export { EfiTables };

/**
 * One EFI PGD registered for every node: the firmware's callers run the master's kernel text.
 * @patch 09/12 arch/x86/platform/efi/efi_64.c efi_alloc_page_tables
 */
export const efi = plugin("efi", [
  bindValue(EfiRoots, { nodes: (_holders, master) => [master] }),
  bind(Efi, EfiTables),
]);

/** A root for each holder: kernel text stays local during firmware calls. The series does not have this. */
export const efiPerHolder = plugin("efi-per-holder", [
  bindValue(EfiRoots, { nodes: (holders) => holders }),
  bind(Efi, EfiTables),
]);
