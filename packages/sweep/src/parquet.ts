/** Rows as a Parquet file and back: a column for each name, strings, numbers or truth values, all of them nullable. */
import { parquetReadObjects } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import type { Row } from "./journal.js";

/** What a column holds. */
export type ColumnType = "STRING" | "DOUBLE" | "BOOLEAN";

/** Columns of rows in the order in which they first stand; mixed ones are strings. */
export function columnsOf(rows: readonly Row[]): ReadonlyMap<string, ColumnType> {
  const types = new Map<string, Set<string>>();
  for (const row of rows)
    for (const [name, value] of Object.entries(row)) {
      const seen = types.get(name) ?? new Set<string>();
      if (value !== null) seen.add(typeof value);
      types.set(name, seen);
    }
  const typeOf = (seen: ReadonlySet<string>): ColumnType =>
    seen.size !== 1 ? "STRING" : seen.has("number") ? "DOUBLE" : seen.has("boolean") ? "BOOLEAN" : "STRING";
  return new Map([...types].map(([name, seen]) => [name, typeOf(seen)]));
}

/**
 * Same rows, same bytes.
 * @param about stands in the file's key-value metadata
 */
export function parquetOf(rows: readonly Row[], about: Readonly<Record<string, string>> = {}): Uint8Array {
  const columnData = [...columnsOf(rows)].map(([name, type]) => ({
    name,
    type,
    nullable: true,
    data: rows.map((row) => {
      const value = row[name] ?? null;
      return value === null || type !== "STRING" ? value : String(value);
    }),
  }));
  const kvMetadata = Object.entries(about).map(([key, value]) => ({ key, value }));
  return new Uint8Array(parquetWriteBuffer({ columnData, kvMetadata }));
}

/** @throws Error of the library for bytes that are no such file */
export async function rowsOf(bytes: Uint8Array): Promise<Row[]> {
  const { buffer, byteOffset, byteLength } = bytes;
  const file = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  return (await parquetReadObjects({ file })) as Row[];
}
