/**
 * BPF Type Format as far as the loader needs it: types with sizes and members (map definitions, global data, argument
 * types), and from `.BTF.ext` which source line each instruction came from.
 *
 * @source Linux documentation, "BPF Type Format (BTF)": type and string encoding, .BTF.ext section
 */
import { BpfError } from "../errors.js";

export const enum BtfKind {
  Void = 0,
  Int = 1,
  Pointer = 2,
  Array = 3,
  Struct = 4,
  Union = 5,
  Enum = 6,
  Forward = 7,
  Typedef = 8,
  Volatile = 9,
  Const = 10,
  Restrict = 11,
  Function = 12,
  Prototype = 13,
  Variable = 14,
  DataSection = 15,
  Float = 16,
  DeclarationTag = 17,
  TypeTag = 18,
  Enum64 = 19,
}
/** A member of a structure, or a variable of a data section. */
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** Bits for struct members, bytes for variables of a data section. */
  readonly offset: number;
  /** Bytes, for variables of a data section; 0 elsewhere. */
  readonly size: number;
}
/** One type record; the types it refers to by number are in the same list. */
export interface BtfType {
  readonly kind: number;
  readonly name: string;
  /** Bytes, for the kinds that have a size of their own. */
  readonly size: number;
  /** Target of pointers, modifiers, variables; element of arrays; result of prototypes; prototype of functions. */
  readonly type: number;
  /** Elements of an array. */
  readonly count: number;
  readonly members: readonly BtfMember[];
}
export interface BtfLine {
  /** Byte offset in the section. */ readonly offset: number;
  readonly file: string;
  readonly text: string;
  readonly line: number;
}

/** Encoded bytes behind the 12-byte header of a type: fixed part and per member. */
const EXTRA: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0],
  [4, 0],
  [0, 0],
  [12, 0],
  [0, 12],
  [0, 12],
  [0, 8],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 8],
  [4, 0],
  [0, 12],
  [0, 0],
  [4, 0],
  [0, 0],
  [0, 12],
];
const DEEPEST = 32;

/** Types of one object, by id from 1; id 0 is void. */
export class Btf {
  constructor(readonly types: readonly BtfType[]) {}

  /** The type behind typedefs and qualifiers. Gives void after {@link DEEPEST} steps: hostile BTF can go in circles. */
  resolve(id: number): BtfType {
    let type = this.types[id] ?? this.types[0]!;
    for (
      let i = 0;
      i < DEEPEST && (type.kind === BtfKind.TypeTag || (type.kind >= BtfKind.Typedef && type.kind <= BtfKind.Restrict));
      i++
    )
      type = this.types[type.type] ?? this.types[0]!;
    return type;
  }

  /** Bytes of a value of the type, undefined where it has no size. */
  sizeOf(id: number, depth = 0): number | undefined {
    const type = this.resolve(id);
    if (depth > DEEPEST) return undefined;
    switch (type.kind) {
      case BtfKind.Pointer:
        return 8;
      case BtfKind.Array: {
        const element = this.sizeOf(type.type, depth + 1);
        return element === undefined ? undefined : element * type.count;
      }
      case BtfKind.Int:
      case BtfKind.Struct:
      case BtfKind.Union:
      case BtfKind.Enum:
      case BtfKind.DataSection:
      case BtfKind.Float:
      case BtfKind.Enum64:
        return type.size;
      default:
        return undefined;
    }
  }

  /** First type of this kind and name. */
  find(kind: number, name: string): BtfType | undefined {
    return this.types.find((type) => type.kind === kind && type.name === name);
  }
}

interface Header {
  readonly view: DataView;
  readonly start: number;
  readonly little: true;
}

/** @throws BpfError `btf-bad-header` */
function header(bytes: Uint8Array, section: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (
    bytes.length < 24 ||
    view.getUint16(0, true) !== 0xeb9f ||
    view.getUint32(4, true) < 24 ||
    view.getUint32(4, true) > bytes.length
  ) {
    throw new BpfError(
      "btf-bad-header",
      { section, offset: 0 },
      "magic or header length is wrong; compile with clang -g, little endian",
    );
  }
  return { view, start: view.getUint32(4, true), little: true };
}

/** Strings of a `.BTF` section. @throws BpfError `btf-bad-string` */
function strings(bytes: Uint8Array): (offset: number) => string {
  const { view, start } = header(bytes, ".BTF");
  const from = start + view.getUint32(16, true),
    size = view.getUint32(20, true);
  return (offset) => {
    const end = offset < size && from + size <= bytes.length ? bytes.indexOf(0, from + offset) : -1;
    if (end < 0 || end >= from + size)
      throw new BpfError(
        "btf-bad-string",
        { section: ".BTF", offset: from + offset },
        `no string at ${offset} of ${size} bytes`,
      );
    let out = "";
    for (let i = from + offset; i < end; i++) out += String.fromCharCode(bytes[i]!);
    return out;
  };
}

/** Reads a `.BTF` section. @throws BpfError `btf-bad-header`, `btf-bad-type`, `btf-bad-string` */
export function readBtf(bytes: Uint8Array): Btf {
  const { view, start } = header(bytes, ".BTF");
  const text = strings(bytes);
  const end = start + view.getUint32(8, true) + view.getUint32(12, true);
  const types: BtfType[] = [{ kind: BtfKind.Void, name: "void", size: 0, type: 0, count: 0, members: [] }];
  let at = start + view.getUint32(8, true);
  const bad = (why: string): never => {
    throw new BpfError("btf-bad-type", { section: ".BTF", offset: at }, `type ${types.length}: ${why}`);
  };
  if (end > bytes.length) bad("the type table reaches behind the section");
  while (at < end) {
    if (at + 12 > end) bad("cut");
    const info = view.getUint32(at + 4, true),
      kind = (info >>> 24) & 31,
      vlen = info & 0xffff,
      flag = info >>> 31 === 1,
      word = view.getUint32(at + 8, true);
    const extra = EXTRA[kind];
    if (!extra || kind === BtfKind.Void) return bad(`kind ${kind} is unknown`);
    const body = at + 12,
      next = body + extra[0] + extra[1] * vlen;
    if (next > end) bad("cut");
    const members: BtfMember[] = [];
    for (let i = 0; i < vlen && extra[1] > 0; i++) {
      const m = body + 12 * i;
      if (kind === BtfKind.Struct || kind === BtfKind.Union) {
        const offset = view.getUint32(m + 8, true);
        members.push({
          name: text(view.getUint32(m, true)),
          type: view.getUint32(m + 4, true),
          offset: flag ? offset & 0xffffff : offset,
          size: 0,
        });
      } else if (kind === BtfKind.DataSection) {
        members.push({
          name: "",
          type: view.getUint32(m, true),
          offset: view.getUint32(m + 4, true),
          size: view.getUint32(m + 8, true),
        });
      } else if (kind === BtfKind.Prototype) {
        members.push({
          name: text(view.getUint32(body + 8 * i, true)),
          type: view.getUint32(body + 8 * i + 4, true),
          offset: 0,
          size: 0,
        });
      }
    }
    const array = kind === BtfKind.Array;
    types.push({
      kind,
      name: text(view.getUint32(at, true)),
      size: word,
      type: array ? view.getUint32(body, true) : word,
      count: array ? view.getUint32(body + 8, true) : 0,
      members,
    });
    at = next;
  }
  return new Btf(types);
}

/**
 * Source lines of a `.BTF.ext` section, by the name of the section whose code they describe.
 *
 * @throws BpfError `btf-bad-header`, `btf-bad-line`, `btf-bad-string`
 */
export function readLines(ext: Uint8Array, btf: Uint8Array): Map<string, BtfLine[]> {
  const { view, start } = header(ext, ".BTF.ext");
  const text = strings(btf);
  const out = new Map<string, BtfLine[]>();
  let at = start + view.getUint32(16, true);
  const end = at + view.getUint32(20, true);
  const bad = (why: string): never => {
    throw new BpfError("btf-bad-line", { section: ".BTF.ext", offset: at }, why);
  };
  if (end > ext.length) bad("the line table reaches behind the section");
  if (end === at) return out;
  if (at + 4 > end) bad("cut");
  const record = view.getUint32(at, true);
  if (record < 16 || record > 256) bad(`records of ${record} bytes`);
  at += 4;
  while (at + 8 <= end) {
    const name = text(view.getUint32(at, true)),
      count = view.getUint32(at + 4, true);
    at += 8;
    if (at + count * record > end) bad(`${count} records do not fit`);
    const lines: BtfLine[] = out.get(name) ?? [];
    for (let i = 0; i < count; i++, at += record) {
      lines.push({
        offset: view.getUint32(at, true),
        file: text(view.getUint32(at + 4, true)),
        text: text(view.getUint32(at + 8, true)).trim(),
        line: view.getUint32(at + 12, true) >>> 10,
      });
    }
    out.set(name, lines);
  }
  return out;
}

/**
 * Count of CO-RE relocations in a `.BTF.ext` section: nonzero means the program expects libbpf to adjust its offsets.
 */
export function countFieldRelocations(ext: Uint8Array): number {
  const { view, start } = header(ext, ".BTF.ext");
  return start < 32 ? 0 : view.getUint32(28, true);
}
