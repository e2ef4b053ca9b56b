/** What a module exports, read from its own tables once they are relocated. */
import { ModuleError } from "./errors.js";
import type { ModuleImage } from "./module-image.js";
import { readExports, type ExportedSymbol } from "./symbols.js";

/** @throws ModuleError bad-symbol when a table names what is not in the module */
export function moduleExports(image: ModuleImage): ExportedSymbol[] {
  const all: ExportedSymbol[] = [];
  for (const suffix of ["", "_gpl"]) {
    const table = image.section(`__ksymtab${suffix}`);
    if (!table) continue;
    const sums = image.section(`__kcrctab${suffix}`);
    const flags = suffix === "" ? image.section("__kflagstab") : undefined;
    const found = readExports(
      image,
      {
        start: image.sectionAddress[table.index]!,
        bytes: table.size,
        gpl: suffix === "_gpl",
        ...(flags ? { flags: image.sectionAddress[flags.index]! } : {}),
        ...(sums && sums.size >= Math.floor(table.size / 12) * 4
          ? { checksums: image.sectionAddress[sums.index]! }
          : {}),
      },
      image.file.name,
    );
    if (!found)
      throw new ModuleError("bad-symbol", image.file.name, `${table.name} names a symbol outside the module's memory`);
    all.push(...found);
  }
  return all;
}
