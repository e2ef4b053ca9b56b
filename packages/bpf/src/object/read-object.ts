/**
 * Opens a BPF object as libbpf does: programs by section, their subprograms appended, calls and map references
 * resolved.
 *
 * A reference to map k is left as a 64-bit load with `src` MapIndex (the map itself) or MapIndexValue (an address
 * inside the first value of global data), `imm` k, and the offset in the second slot; the loader puts addresses there.
 */
import { hex } from "@kreplica/hw-x86/api";
import { BpfError } from "../errors.js";
import { Code, decode } from "../isa/code.js";
import { CALL, CallKind, LD_IMM64, Pseudo } from "../isa/opcode.js";
import type { Btf } from "./btf.js";
import { countFieldRelocations, readBtf, readLines } from "./btf.js";
import {
  type ElfObject,
  type ElfSection,
  type ElfSymbol,
  openElf,
  SectionType,
  SpecialSection,
  SymbolBinding,
  SymbolType,
} from "./elf-object.js";
import { attachTargetOf, type MapDefinition, type ProgramType, programTypeOf } from "./program-type.js";
import { type MapPlaces, readMaps } from "./read-maps.js";
import { readStructOps, type StructOpsDefinition } from "./read-struct-ops.js";

const EM_BPF = 247,
  ET_REL = 1,
  R_BPF_64_64 = 1,
  R_BPF_64_32 = 10;
/** Most instructions of one linked program: the kernel's limit for privileged users. */
const MOST_SLOTS = 1_000_000;

/** Source line of an instruction. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}
/** One program, linked. */
export interface ObjectProgram {
  readonly name: string;
  readonly section: string;
  readonly type: ProgramType;
  /** What stands behind the slash of the section name. */
  readonly target: string;
  readonly code: Code;
  /** Where each function begins, the program itself first, at slot 0. */
  readonly functions: readonly { readonly name: string; readonly start: number }[];
  /** By slot; sparse: a slot without an entry belongs to the line before it. */
  readonly lines: ReadonlyMap<number, SourceLine>;
}
/** An opened object: programs with their subprograms appended, and the maps they refer to. */
export interface BpfObject {
  readonly license: string;
  readonly programs: readonly ObjectProgram[];
  readonly maps: readonly MapDefinition[];
  readonly structOps: readonly StructOpsDefinition[];
  readonly btf: Btf | undefined;
}

/** A function of the file, not yet linked. */
interface RawFunction {
  readonly name: string;
  readonly section: number;
  readonly start: number;
  readonly end: number;
  readonly global: boolean;
}
/** What relocation says about one slot of a section. */
type Reference =
  | { readonly kind: "map"; readonly map: number }
  | { readonly kind: "value"; readonly map: number; readonly offset: number }
  | { readonly kind: "function"; readonly section: number; readonly slot: number };

/**
 * @param bytes the whole `.o` file
 * @throws BpfError with a code of ObjectErrorCode
 */
export function readObject(bytes: Uint8Array): BpfObject {
  const elf = openElf(bytes),
    { header } = elf.file;
  if (header.machine !== EM_BPF)
    throw new BpfError(
      "elf-wrong-machine",
      { offset: 18 },
      `machine ${header.machine}, BPF is ${EM_BPF}; compile with clang -target bpf`,
    );
  if (header.type !== ET_REL)
    throw new BpfError(
      "elf-wrong-type",
      { offset: 16 },
      `file type ${header.type}, expected a relocatable object (1); compile with -c`,
    );
  if (elf.symbols.length === 0) throw new BpfError("elf-no-symbols", {}, "no symbol table; do not strip the object");
  const section = (name: string): ElfSection | undefined => elf.sections.find((each) => each.name === name);
  const btfBytes = section(".BTF")?.data,
    extBytes = section(".BTF.ext")?.data;
  const btf = btfBytes ? readBtf(btfBytes) : undefined;
  if (extBytes && countFieldRelocations(extBytes) > 0) {
    throw new BpfError(
      "object-core-unsupported",
      { section: ".BTF.ext" },
      "the object wants its field offsets adjusted to a kernel (CO-RE); compile without preserve_access_index",
    );
  }
  const lines = btfBytes && extBytes ? readLines(extBytes, btfBytes) : new Map<string, never[]>();
  const linker = new Linker(elf, readMaps(elf, btf));
  const programs: ObjectProgram[] = [];
  for (const each of linker.functions) {
    const home = elf.sections[each.section]!;
    if (home.name === ".text" || !each.global) continue;
    const type = programTypeOf(home.name);
    if (!type)
      throw new BpfError(
        "object-unknown-section",
        { section: home.name },
        `the section of ${each.name} selects no program type; name it xdp, tc, kprobe/f, fentry/f, ...`,
      );
    const { code, functions } = linker.link(each);
    const sourceLines = new Map<number, SourceLine>();
    for (const { from, start } of functions) {
      for (const line of lines.get(elf.sections[from.section]!.name) ?? []) {
        const slot = line.offset / 8;
        if (slot >= from.start && slot < from.end && line.line > 0) sourceLines.set(start + slot - from.start, line);
      }
    }
    programs.push({
      name: each.name,
      section: home.name,
      type,
      target: attachTargetOf(home.name),
      code,
      functions: functions.map(({ from, start }) => ({ name: from.name, start })),
      lines: sourceLines,
    });
  }
  if (programs.length === 0)
    throw new BpfError(
      "object-no-program",
      {},
      'no global function in a named section; mark programs with SEC("xdp") or the like',
    );
  const license = section("license")?.data ?? new Uint8Array();
  return {
    license: String.fromCharCode(
      ...license.subarray(0, Math.min(64, license.indexOf(0) < 0 ? license.length : license.indexOf(0))),
    ),
    programs,
    maps: linker.maps.definitions,
    structOps: readStructOps(elf, btf),
    btf,
  };
}

class Linker {
  readonly functions: RawFunction[] = [];
  private readonly code = new Map<number, Code>();
  private readonly references = new Map<number, Map<number, Reference>>();

  constructor(
    private readonly elf: ElfObject,
    readonly maps: MapPlaces,
  ) {
    for (const section of elf.sections) {
      if (section.type !== SectionType.Progbits || !section.executable || section.size === 0) continue;
      this.code.set(section.index, decode(section.data));
    }
    for (const symbol of elf.symbols) {
      const code = this.code.get(symbol.section);
      if (symbol.type !== SymbolType.Function || !code) continue;
      const start = Number(symbol.value) / 8,
        end = start + Number(symbol.size) / 8;
      if (!Number.isInteger(start) || !Number.isInteger(end) || end > code.length || end <= start) {
        throw new BpfError(
          "object-bad-function",
          { section: elf.sections[symbol.section]!.name, offset: Number(symbol.value) },
          `function ${symbol.name} of ${symbol.size} bytes does not lie on whole instructions inside its section`,
        );
      }
      this.functions.push({
        name: symbol.name,
        section: symbol.section,
        start,
        end,
        global: symbol.binding !== SymbolBinding.Local,
      });
    }
    for (const [section, code] of this.code) {
      const found = new Map<number, Reference>();
      for (const { offset, type, symbol } of elf.relocationsOf(section))
        found.set(offset / 8, this.reference(section, code, offset, type, symbol));
      this.references.set(section, found);
    }
  }

  private reference(section: number, code: Code, offset: number, type: number, symbol: ElfSymbol): Reference {
    const home = this.elf.sections[section]!.name,
      slot = offset / 8;
    const opcode = code.opcode[slot];
    const wanted =
      type === R_BPF_64_64
        ? opcode === LD_IMM64 && slot + 1 < code.length
        : type === R_BPF_64_32 && opcode === CALL && code.src[slot] === CallKind.Local;
    if (!wanted)
      throw new BpfError(
        "object-bad-relocation",
        { section: home, offset, instruction: slot },
        `relocation type ${type} does not fit opcode ${opcode === undefined ? "between instructions" : hex(opcode)}`,
      );
    if (symbol.section === SpecialSection.Undefined)
      throw new BpfError(
        "object-unresolved-symbol",
        { section: home, offset, instruction: slot },
        `"${symbol.name}" is defined nowhere in the object; kernel symbols and Kconfig externs are not supported`,
      );
    const imm = code.imm[slot]!;
    // A section symbol keeps the place inside the section in the instruction; a variable's own symbol keeps it in its
    // value.
    if (this.code.has(symbol.section)) {
      return {
        kind: "function",
        section: symbol.section,
        slot: Number(symbol.value) / 8 + (type === R_BPF_64_32 ? imm + 1 : imm / 8),
      };
    }
    const map = this.maps.bySymbol.get(
      `${symbol.section}:${Number(symbol.value) + (symbol.type === SymbolType.Section ? imm : 0)}`,
    );
    if (type === R_BPF_64_64 && map !== undefined) return { kind: "map", map };
    const data = this.maps.bySection.get(symbol.section);
    const at = Number(symbol.value) + imm;
    if (type !== R_BPF_64_64 || data === undefined || at < 0 || at > this.maps.definitions[data]!.valueBytes) {
      throw new BpfError(
        "object-bad-reference",
        { section: home, offset, instruction: slot },
        `"${symbol.name}" in section ${this.elf.sections[symbol.section]?.name ?? symbol.section} is neither a function, a map nor global data`,
      );
    }
    return { kind: "value", map: data, offset: at };
  }

  /** Program and every function it calls, in order of discovery, with call distances made anew. */
  link(main: RawFunction): { code: Code; functions: { from: RawFunction; start: number }[] } {
    const placed = [{ from: main, start: 0 }];
    let length = main.end - main.start;
    const place = (section: number, slot: number, caller: RawFunction, at: number): number => {
      const from = this.functions.find((each) => each.section === section && each.start === slot);
      if (!from)
        throw new BpfError(
          "object-bad-call",
          { section: this.elf.sections[caller.section]!.name, instruction: at },
          `a call from ${caller.name} leads to slot ${slot}, where no function begins`,
        );
      let known = placed.find((each) => each.from === from);
      if (!known) {
        known = { from, start: length };
        length += from.end - from.start;
        if (length > MOST_SLOTS)
          throw new BpfError(
            "object-too-large",
            { section: this.elf.sections[main.section]!.name },
            `${main.name} with its functions has more than ${MOST_SLOTS} instructions`,
          );
        placed.push(known);
      }
      return known.start;
    };
    const edits: { at: number; src: number; imm: number; next?: number }[] = [];
    for (let i = 0; i < placed.length; i++) {
      const { from, start } = placed[i]!;
      const code = this.code.get(from.section)!,
        references = this.references.get(from.section)!;
      for (let slot = from.start; slot < from.end; slot++) {
        const at = start + slot - from.start,
          reference = references.get(slot),
          opcode = code.opcode[slot];
        if (opcode === CALL && code.src[slot] === CallKind.Local) {
          const target =
            reference?.kind === "function" ? reference : { section: from.section, slot: slot + 1 + code.imm[slot]! };
          edits.push({ at, src: CallKind.Local, imm: place(target.section, target.slot, from, slot) - at - 1 });
        } else if (reference?.kind === "function")
          edits.push({
            at,
            src: Pseudo.Func,
            imm: place(reference.section, reference.slot, from, slot) - at - 1,
            next: 0,
          });
        else if (reference?.kind === "map") edits.push({ at, src: Pseudo.MapIndex, imm: reference.map, next: 0 });
        else if (reference) edits.push({ at, src: Pseudo.MapIndexValue, imm: reference.map, next: reference.offset });
        if (opcode === LD_IMM64) slot++;
      }
    }
    const out = new Code(length);
    for (const { from, start } of placed) out.paste(start, this.code.get(from.section)!, from.start, from.end);
    for (const { at, src, imm, next } of edits) {
      out.src[at] = src;
      out.imm[at] = imm;
      if (next !== undefined && at + 1 < length) out.imm[at + 1] = next;
    }
    return { code: out, functions: placed };
  }
}
