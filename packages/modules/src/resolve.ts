/** Every symbol of a module gets its value: from its own sections, from the kernel, or from a module loaded earlier. */
import { hex } from "@kreplica/hw-x86/api";
import { SpecialSection, SymbolBinding } from "@kreplica/elf";
import { signedOf } from "./addresses.js";
import { ModuleError } from "./errors.js";
import type { ModuleFile } from "./module-file.js";
import type { ModuleImage } from "./module-image.js";
import type { ExportedSymbol, SymbolTable } from "./symbols.js";

/** The symbols of a module with their values. */
export interface Resolved {
  /** Signed value by symbol index. */
  readonly values: Float64Array;
  /** Modules it now uses. */
  readonly uses: ReadonlySet<string>;
}

/**
 * @param percpuOffset where the module's per-CPU section begins in every CPU's unit
 * @source kernel/module/main.c simplify_symbols
 * @throws ModuleError unknown-symbol, version, namespace, common-symbol, bad-symbol
 */
export function resolveSymbols(image: ModuleImage, table: SymbolTable, percpuOffset: number): Resolved {
  const { file } = image;
  const values = new Float64Array(file.symbols.length);
  const uses = new Set<string>();
  for (const symbol of file.symbols) {
    if (symbol.index === 0) continue;
    if (symbol.section === SpecialSection.Undefined) {
      const found = lookUp(file, table, symbol.name);
      if (found) {
        values[symbol.index] = found.value;
        if (found.owner !== undefined) uses.add(found.owner);
      } else if (symbol.binding !== SymbolBinding.Weak) {
        throw new ModuleError(
          "unknown-symbol",
          file.name,
          `Unknown symbol ${symbol.name}: load the module that exports it first`,
        );
      }
      continue;
    }
    if (symbol.section === SpecialSection.Common)
      throw new ModuleError(
        "common-symbol",
        file.name,
        `symbol ${symbol.name} is common: please compile with -fno-common`,
      );
    const value = signedOf(symbol.value);
    if (!Number.isSafeInteger(value))
      throw new ModuleError(
        "bad-symbol",
        file.name,
        `symbol ${symbol.index} "${symbol.name}" has value ${hex(symbol.value)}`,
      );
    if (symbol.section === SpecialSection.Absolute) values[symbol.index] = value;
    else if (symbol.section >= file.sections.length)
      throw new ModuleError(
        "bad-symbol",
        file.name,
        // The file's 16 bits, which the reader widens where they stand for no section.
        `symbol ${symbol.index} "${symbol.name}" is in section ${hex(symbol.section >= 0xffff_ff00 ? symbol.section & 0xffff : symbol.section)}`,
      );
    else if (symbol.section === file.percpu?.index) values[symbol.index] = percpuOffset + value;
    // A symbol of a section that is not kept (.modinfo, .comment) is an offset from nowhere; nothing kept may use it,
    // and nothing does.
    else
      values[symbol.index] =
        (Number.isNaN(image.sectionAddress[symbol.section]!) ? 0 : image.sectionAddress[symbol.section]!) + value;
  }
  return { values, uses };
}

/**
 * Whether a symbol is exported for the module by name: the namespace `module:kvm,kvm-*` is for kvm and all that begin
 * so, and cannot be imported.
 *
 * @source Documentation/core-api/symbol-namespaces.rst, "Using the EXPORT_SYMBOL_FOR_MODULES() macro"
 */
export function isNamed(namespace: string, module: string): boolean {
  const plain = (name: string): string => name.trim().replaceAll("-", "_");
  return (
    namespace.startsWith("module:") &&
    namespace
      .slice("module:".length)
      .split(",")
      .map(plain)
      .some((pattern) =>
        pattern.endsWith("*") ? plain(module).startsWith(pattern.slice(0, -1)) : plain(module) === pattern,
      )
  );
}

/** @source kernel/module/main.c resolve_symbol */
function lookUp(file: ModuleFile, table: SymbolTable, name: string): ExportedSymbol | undefined {
  const found = table.find(name);
  // A symbol for GPL modules does not exist for others.
  if (!found || (found.gpl && !file.gpl)) return undefined;
  const built = file.versions.get(name);
  if (built !== undefined && found.checksum !== undefined && built !== found.checksum) {
    throw new ModuleError(
      "version",
      file.name,
      `disagrees about version of symbol ${name}: ${hex(built)}, exported is ${hex(found.checksum)}`,
    );
  }
  if (
    found.namespace !== "" &&
    !isNamed(found.namespace, file.name) &&
    !(file.info.get("import_ns") ?? []).includes(found.namespace)
  ) {
    throw new ModuleError(
      "namespace",
      file.name,
      `uses symbol ${name} from namespace ${found.namespace}, but does not import it`,
    );
  }
  return found;
}
