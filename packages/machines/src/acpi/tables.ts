/**
 * ACPI tables as bytes, from a table's own file (`/sys/firmware/acpi/tables/SRAT`), or from what acpidump prints:
 *
 *     SRAT @ 0x000000007FFE1A2B
 *         0000: 53 52 41 54 38 02 00 00 03 4A 42 4F 43 48 53 20  SRAT8....JBOCHS
 *
 * A table begins with 36 bytes: signature (4), length (4), revision (1), checksum (1: all bytes sum to 0) ...
 *
 * @source ACPI Specification, "System Description Table Header"; acpidump(8)
 */
import { InputError } from "@kreplica/inputs";

/** Of every table. */
export const HEADER_BYTES = 36;
/** Tables with what the model needs; all others are passed over. */
export const TABLES = ["SRAT", "SLIT", "HMAT", "APIC"] as const;
/** Signature of a table that is read. */
export type TableName = (typeof TABLES)[number];

/** One table, with its place for errors. */
export class AcpiTable {
  readonly view: DataView;

  /** @param whereOf place of a byte of the table in its file */
  constructor(
    readonly name: TableName,
    readonly file: string,
    readonly bytes: Uint8Array,
    private readonly whereOf: (offset: number) => { readonly line?: number; readonly offset?: number },
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get revision(): number {
    return this.bytes[8]!;
  }

  /** Where a byte of the table stands. */
  place(offset: number): { readonly file: string; readonly line?: number; readonly offset?: number } {
    return { file: this.file, ...this.whereOf(offset) };
  }

  fault(offset: number, field: string, reason: string, remedy = WHOLE): InputError {
    return new InputError({ ...this.place(offset), field: `${this.name} ${field}`, reason, remedy });
  }

  /** An integer of 8 bytes, exact below 2^53. */
  wide(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * 2 ** 32;
  }
}

const WHOLE = "copy the table again, in full: `cp /sys/firmware/acpi/tables/SRAT .`, or give acpidump's output";
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
/** Whether a file's name is one of the tables that are read; SRAT2, SRAT3 are of other machines. */
export const isTableFile = (name: string): boolean => isName(name.replace(/\.(?:bin|dat|aml)$/i, "").toUpperCase());

const isName = (name: string): name is TableName => (TABLES as readonly string[]).includes(name);

/** Whether bytes begin like a table that is read. */
export const isAcpiTable = (bytes: Uint8Array): boolean => bytes.length >= 8 && isName(latin1(bytes.subarray(0, 4)));

/** Whether a text is acpidump's. */
export const isAcpiDump = (text: string): boolean => /^(?:[A-Z0-9_!]{4}) @ (?:0x)?[0-9a-f]+\s*$/im.test(text);

/** @throws InputError with the byte, for what is no whole table */
export function tableFromBytes(bytes: Uint8Array, file: string): AcpiTable {
  return tableAt(bytes, file, (offset) => ({ offset }));
}

function tableAt(
  bytes: Uint8Array,
  file: string,
  whereOf: (offset: number) => { line?: number; offset?: number },
): AcpiTable {
  const name = latin1(bytes.subarray(0, 4)) as TableName;
  const fault = (offset: number, reason: string): InputError =>
    new InputError({ file, ...whereOf(offset), field: name, reason, remedy: WHOLE });
  if (bytes.length < HEADER_BYTES)
    throw fault(bytes.length, `${bytes.length} bytes, and the header alone has ${HEADER_BYTES}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  if (length < HEADER_BYTES || length > bytes.length)
    throw fault(4, `its length says ${length} bytes, and ${bytes.length} are there`);
  const table = bytes.subarray(0, length);
  const sum = table.reduce((total, each) => (total + each) & 0xff, 0);
  if (sum !== 0) throw fault(9, `the checksum is wrong: the bytes sum to ${sum}, not to 0`);
  return new AcpiTable(name, file, table, whereOf);
}

/** Those of acpidump's tables that are read. @throws InputError naming the line of every fault */
export function tablesFromDump(text: string, file: string): AcpiTable[] {
  const tables: AcpiTable[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  let name = "";
  let heading = 0;
  let bytes: number[] = [];
  let starts: number[] = [];
  const settle = (): void => {
    if (isName(name)) {
      const at = starts;
      const lineOf = (offset: number): { line: number } => ({
        line: (at.findLast((_, index) => index * 16 <= offset) ?? heading) + 1,
      });
      const table = Uint8Array.from(bytes);
      if (latin1(table.subarray(0, 4)) !== name)
        throw new InputError({
          file,
          line: heading + 2,
          field: name,
          reason: "the bytes below have another signature",
          remedy: WHOLE,
        });
      tables.push(tableAt(table, file, lineOf));
    }
    [name, bytes, starts] = ["", [], []];
  };
  for (const [index, line] of lines.entries()) {
    const head = /^([A-Z0-9_!]{4}) @ (?:0x)?[0-9a-f]+\s*$/i.exec(line);
    if (head) {
      settle();
      [name, heading] = [head[1]!.toUpperCase(), index];
      continue;
    }
    const row = /^\s*([0-9a-f]{4,8}):((?: [0-9a-f]{2}){1,16})(?:\s{2}.*|\s*)$/i.exec(line);
    if (!isName(name) || (!row && line.trim() === "")) continue;
    if (!row || Number.parseInt(row[1]!, 16) !== bytes.length)
      throw new InputError({
        file,
        line: index + 1,
        field: name,
        reason: row
          ? `the row at byte ${Number.parseInt(row[1]!, 16)} comes after ${bytes.length} bytes`
          : "no row of hexadecimal bytes",
        remedy: WHOLE,
      });
    starts.push(index);
    bytes.push(
      ...row[2]!
        .trim()
        .split(" ")
        .map((each) => Number.parseInt(each, 16)),
    );
  }
  settle();
  return tables;
}
