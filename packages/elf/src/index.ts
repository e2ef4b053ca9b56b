/** Public surface of elf: read a file, ask for its parts, one typed error. */
export * from "./errors.js";
export * from "./file.js";
export { FileType, MachineType, SegmentType, type ElfHeader, type ElfSegment } from "./header.js";
export { X86Relocation, type Relocations } from "./relocations.js";
export { latin1, LONGEST_NAME, SectionFlag, SectionType, type ElfSection } from "./sections.js";
export { SpecialSection, SymbolBinding, SymbolType, type ElfSymbol } from "./symbols.js";
