/** The forms of an export, by the name that `--format` takes. What a form needs is loaded where it is asked for. */
import { callgrind, collapsed, COLUMNS, csv, speedscope } from "../report/export/formats.js";
import type { Exported } from "../report/export/samples.js";

/** Rows as csv has them, with columns of their types. */
async function parquet({ title, samples }: Exported): Promise<Uint8Array> {
  const { parquetOf } = await import("@kreplica/sweep");
  return parquetOf(
    samples.map((each) => Object.fromEntries(COLUMNS.map((name) => [name, each[name]]))),
    { title },
  );
}

/** A form: what writes it, and whether that is text. */
export interface ExportForm {
  readonly text: boolean;
  /** It is about time. */
  readonly timed?: boolean;
  write(exported: Exported): string | Uint8Array | Promise<string | Uint8Array>;
}

/** By the name that `--format` takes. */
export const FORMATS = {
  speedscope: { text: true, write: speedscope },
  callgrind: { text: true, write: callgrind },
  collapsed: { text: true, write: collapsed },
  // Loaded where they are asked for.
  pprof: { text: false, write: async (exported) => (await import("../report/export/pprof.js")).pprof(exported) },
  perfetto: {
    text: false,
    timed: true,
    write: async (exported) => (await import("../report/export/perfetto.js")).perfetto(exported),
  },
  csv: { text: true, write: csv },
  parquet: { text: false, write: parquet },
} satisfies Readonly<Record<string, ExportForm>>;
export type Format = keyof typeof FORMATS;
