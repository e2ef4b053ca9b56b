/** struct_ops variables of an object: which program fills which function pointer of which kernel structure. */
import { BpfError } from "../errors.js";
import { type Btf, BtfKind } from "./btf.js";
import { type ElfObject, SymbolType } from "./elf-object.js";

/** One variable in section `.struct_ops`. */
export interface StructOpsDefinition {
  readonly name: string;
  /** Name of the kernel structure. */
  readonly structure: string;
  /** The variable's bytes, pointers zero. */
  readonly value: Uint8Array;
  /** Function pointers: member, byte offset in the structure, program that fills it. */
  readonly members: readonly { readonly name: string; readonly offset: number; readonly program: string }[];
}

/** @throws BpfError `struct-ops-bad-member` */
export function readStructOps(elf: ElfObject, btf: Btf | undefined): StructOpsDefinition[] {
  const out: StructOpsDefinition[] = [];
  for (const section of elf.sections) {
    if (section.name !== ".struct_ops" && section.name !== ".struct_ops.link") continue;
    const datasec = btf?.find(BtfKind.DataSection, section.name);
    const relocations = elf.relocationsOf(section.index);
    for (const symbol of elf.symbols) {
      if (symbol.section !== section.index || symbol.type !== SymbolType.Object) continue;
      const start = Number(symbol.value),
        size = Number(symbol.size);
      const variable = datasec?.members
        .map((member) => btf!.resolve(member.type))
        .find((each) => each.name === symbol.name);
      const structure = variable && btf!.resolve(variable.type);
      const members = relocations
        .filter(({ offset }) => offset >= start && offset < start + size)
        .map(({ offset, symbol: program }) => ({
          name: structure?.members.find((member) => member.offset === (offset - start) * 8)?.name ?? "",
          offset: offset - start,
          program: program.name,
        }));
      const odd = members.find((member) => member.name === "" || member.program === "");
      if (!structure || odd || start + size > section.size) {
        throw new BpfError(
          "struct-ops-bad-member",
          { section: section.name, offset: odd?.offset ?? start },
          `${symbol.name} is no structure known to BTF with programs at its function pointers; compile with clang -g`,
        );
      }
      out.push({
        name: symbol.name,
        structure: structure.name,
        value: section.data.slice(start, start + size),
        members,
      });
    }
  }
  return out;
}
