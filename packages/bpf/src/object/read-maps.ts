/**
 * Maps that an object declares: BTF-defined (`.maps`), legacy (`maps`), and the hidden arrays behind its global data.
 */
import { BpfError } from "../errors.js";
import { type Btf, BtfKind } from "./btf.js";
import { type ElfObject, type ElfSection, SymbolType } from "./elf-object.js";
import { mapKindOf, READ_ONLY_FROM_PROGRAM, type MapDefinition } from "./program-type.js";

/** Where a symbol or section leads: which map, and for global data from which section. */
export interface MapPlaces {
  readonly definitions: MapDefinition[];
  /** Index of the map that a variable of a map section declares: `section:offset`. */
  readonly bySymbol: Map<string, number>;
  /** Index of the array behind a data section, by section index. */
  readonly bySection: Map<number, number>;
}

const LEGACY_BYTES = 20;
const MOST_GLOBAL_BYTES = 1 << 24;

/** @throws BpfError `object-bad-map`, `object-unknown-map-type`, `object-too-large` */
export function readMaps(elf: ElfObject, btf: Btf | undefined): MapPlaces {
  const places: MapPlaces = { definitions: [], bySymbol: new Map(), bySection: new Map() };
  for (const section of elf.sections) {
    if (section.name === ".maps") readDeclared(elf, section, btf, places);
    else if (section.name === "maps") readLegacy(elf, section, places);
  }
  for (const section of elf.sections) {
    const global = /^\.(data|rodata|bss)(\..*)?$/.exec(section.name);
    if (!global || section.size === 0 || !section.allocated) continue;
    if (section.size > MOST_GLOBAL_BYTES)
      throw new BpfError(
        "object-data-too-large",
        { section: section.name },
        `${section.size} bytes of global data, ${MOST_GLOBAL_BYTES} at most`,
      );
    const initial = new Uint8Array(section.size);
    initial.set(section.data);
    places.bySection.set(section.index, places.definitions.length);
    places.definitions.push({
      name: section.name,
      kind: "array",
      keyBytes: 4,
      valueBytes: section.size,
      entries: 1,
      flags: global[1] === "rodata" ? READ_ONLY_FROM_PROGRAM : 0,
      initial,
    });
  }
  return places;
}

function add(
  places: MapPlaces,
  section: ElfSection,
  offset: number,
  name: string,
  type: number,
  keyBytes: number,
  valueBytes: number,
  entries: number,
  flags: number,
): void {
  const kind = mapKindOf(type);
  if (!kind)
    throw new BpfError(
      "object-unknown-map-type",
      { section: section.name, offset },
      `map ${name} has type ${type}; known are array, hash, per-CPU array and hash, LRU hash, ring buffer, prog array, LPM trie`,
    );
  places.bySymbol.set(`${section.index}:${offset}`, places.definitions.length);
  places.definitions.push({ name, kind, keyBytes, valueBytes, entries, flags });
}

function bad(section: ElfSection, offset: number, why: string): never {
  throw new BpfError("object-bad-map", { section: section.name, offset }, why);
}

/** `struct { int (*type)[N]; ... } name SEC(".maps")`: numbers are the element counts of arrays behind pointers. */
function readDeclared(elf: ElfObject, section: ElfSection, btf: Btf | undefined, places: MapPlaces): void {
  const datasec = btf?.find(BtfKind.DataSection, ".maps");
  if (!btf || !datasec) return bad(section, 0, "section .maps without BTF; compile with clang -g");
  // Clang leaves the offsets in the type zero; the symbol table has them.
  const symbols = new Map(
    elf.symbols
      .filter((symbol) => symbol.section === section.index && symbol.type === SymbolType.Object)
      .map((symbol) => [symbol.name, Number(symbol.value)]),
  );
  for (const variable of datasec.members) {
    const declared = btf.resolve(variable.type);
    const name = declared.name,
      offset = symbols.get(name);
    const shape = btf.resolve(declared.type);
    if (declared.kind !== BtfKind.Variable || shape.kind !== BtfKind.Struct || offset === undefined)
      return bad(section, variable.offset, `"${name}" is no struct variable with a symbol`);
    const field: Record<string, number> = {};
    for (const member of shape.members) {
      const pointer = btf.resolve(member.type),
        target = btf.resolve(pointer.type);
      if (pointer.kind === BtfKind.Pointer && (member.name === "key" || member.name === "value"))
        field[`${member.name}_size`] =
          btf.sizeOf(pointer.type) ?? bad(section, offset, `the type of ${member.name} of map ${name} has no size`);
      else if (pointer.kind === BtfKind.Pointer && target.kind === BtfKind.Array) field[member.name] = target.count;
      else if (member.name !== "values")
        bad(section, offset, `member ${member.name} of map ${name} is written neither with __uint nor with __type`);
    }
    for (const known of Object.keys(field)) {
      if (!["type", "max_entries", "key_size", "value_size", "map_flags", "pinning", "numa_node"].includes(known))
        bad(section, offset, `member ${known} of map ${name} is unknown`);
    }
    if (field["type"] === undefined) bad(section, offset, `map ${name} says no type`);
    add(
      places,
      section,
      offset,
      name,
      field["type"]!,
      field["key_size"] ?? 0,
      field["value_size"] ?? 0,
      field["max_entries"] ?? 0,
      field["map_flags"] ?? 0,
    );
  }
}

/** `struct bpf_map_def { type, key_size, value_size, max_entries, map_flags }`, five 32-bit words at each symbol. */
function readLegacy(elf: ElfObject, section: ElfSection, places: MapPlaces): void {
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.length);
  for (const symbol of elf.symbols) {
    if (symbol.section !== section.index || symbol.type === SymbolType.Section) continue;
    const at = Number(symbol.value);
    if (at + LEGACY_BYTES > section.data.length)
      bad(section, at, `map ${symbol.name} needs ${LEGACY_BYTES} bytes; the section has ${section.data.length}`);
    add(
      places,
      section,
      at,
      symbol.name,
      ...([0, 4, 8, 12, 16].map((word) => view.getUint32(at + word, true)) as [number, number, number, number, number]),
    );
  }
}
