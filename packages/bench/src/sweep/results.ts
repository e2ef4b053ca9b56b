/** Results of a sweep, read again: rows of a folder, ready-made questions, and SQL where DuckDB is installed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { didYouMean, InputError } from "@kreplica/inputs";
import { along, type AxisValue, figuresOf, type Row, rowsOf, shareOf } from "@kreplica/sweep";
import { readManifest, RESULTS } from "./folder.js";

/** A folder's rows and axes. */
export interface Results {
  readonly folder: string;
  readonly title: string;
  readonly axes: readonly string[];
  readonly rows: readonly Row[];
}

/** A table that answers a question. */
export interface Answer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly AxisValue[])[];
}

/** @throws InputError for a folder that is none of a sweep's, or of one that is not done */
export async function readResults(folder: string): Promise<Results> {
  const manifest = readManifest(folder);
  if (manifest.results === undefined)
    throw new InputError({
      file: folder,
      reason: "its sweep is not done",
      remedy: "give its command again: it goes on",
    });
  let rows: Row[];
  try {
    rows = await rowsOf(readFileSync(join(folder, RESULTS)));
  } catch (error) {
    throw new InputError({
      file: join(folder, RESULTS),
      reason: `no Parquet that can be read (${(error as Error).message.split("\n")[0]!})`,
      remedy: "give its sweep's command again: it is written from the journal",
    });
  }
  return { folder, title: manifest.title ?? folder, axes: manifest.axes, rows };
}

/** @throws InputError where no row has such a column, or none a number in it */
export function columnNamed({ rows, folder }: Results, column: string, option: string, numbers = false): string {
  const known = Object.keys(rows[0] ?? {});
  if (!known.includes(column))
    throw new InputError({
      file: option,
      reason: `${folder} has no column ${JSON.stringify(column)}`,
      remedy: didYouMean(column, known),
    });
  if (numbers && figuresOf(rows, column).length === 0)
    throw new InputError({ file: option, reason: `${column} has no numbers`, remedy: "name a column of figures" });
  return column;
}

/** How many rows the best and the worst are. */
const FEW = 10;

type Question = (results: Results, column: string) => Answer;
/** Without what only a machine reads. */
const shownColumns = ({ axes }: Results, column: string): string[] => [...axes, "cache", column];
const sorted = (results: Results, column: string, sign: 1 | -1): Answer => {
  const columns = shownColumns(results, column);
  const rows = results.rows.filter((row) => typeof row[column] === "number");
  return {
    columns,
    rows: [...rows]
      .sort((a, b) => sign * ((a[column] as number) - (b[column] as number)))
      .slice(0, FEW)
      .map((row) => columns.map((name) => row[name] ?? null)),
  };
};

/** Axes, and the state of the caches, with more than one value. */
const varied = ({ axes, rows }: Results): readonly string[] =>
  [...axes, "cache"].filter((axis) => new Set(rows.map((row) => row[axis] ?? null)).size > 1);

/** Ready-made questions, by name. */
export const QUESTIONS: Readonly<Record<string, { readonly about: string; readonly answer: Question }>> = {
  deciding: {
    about: "how much of a figure's variance each axis explains by itself, most first",
    answer: (results, column) => ({
      columns: ["axis", "sharePercent", "leastMean", "mostMean"],
      rows: varied(results)
        .map((axis) => {
          const means = along(results.rows, axis, column).map(({ mean }) => mean);
          return [axis, 100 * shareOf(results.rows, axis, column), Math.min(...means), Math.max(...means)] as const;
        })
        .sort((a, b) => b[1] - a[1]),
    }),
  },
  axes: {
    about: "a figure's mean, least and most for each value of each axis",
    answer: (results, column) => ({
      columns: ["axis", "value", "rows", "mean", "least", "most"],
      rows: varied(results).flatMap((axis) =>
        along(results.rows, axis, column).map(({ value, rows, mean, least, most }) => [
          axis,
          value,
          rows,
          mean,
          least,
          most,
        ]),
      ),
    }),
  },
  best: { about: `the ${FEW} rows with most of a figure`, answer: (results, column) => sorted(results, column, -1) },
  worst: { about: `the ${FEW} rows with least of it`, answer: (results, column) => sorted(results, column, 1) },
  rows: {
    about: "all rows and columns",
    answer: ({ rows }) => {
      const columns = Object.keys(rows[0] ?? {});
      return { columns, rows: rows.map((row) => columns.map((name) => row[name] ?? null)) };
    },
  },
};

/** What is used of `@duckdb/node-api`. */
interface DuckDb {
  readonly DuckDBInstance: {
    create(path: string): Promise<{
      connect(): Promise<{
        run(sql: string): Promise<unknown>;
        runAndReadAll(sql: string): Promise<{ columnNames(): string[]; getRowsJson(): unknown[][] }>;
      }>;
    }>;
  };
}
/** Not in a string that a bundler follows: it is large, native and installed by whoever wants it. */
const DUCKDB = "@duckdb/node-api";

/**
 * An SQL query on the rows, which are the table `results`.
 * @throws InputError where DuckDB is not installed, or does not take the query
 */
export async function asked({ folder }: Results, sql: string): Promise<Answer> {
  let module: DuckDb;
  try {
    module = (await import(/* @vite-ignore */ DUCKDB)) as DuckDb;
  } catch {
    throw new InputError({
      file: "--sql",
      reason: `needs ${DUCKDB}, which is not installed: it is large, and nothing else needs it`,
      remedy: `install it beside kreplica (npm install ${DUCKDB}), or export with --csv`,
    });
  }
  const connection = await (await module.DuckDBInstance.create(":memory:")).connect();
  const file = join(folder, RESULTS).replaceAll("'", "''");
  await connection.run(`create table results as select * from read_parquet('${file}')`);
  // From here on a query reads this table, and no other file of the reader's.
  await connection.run("set enable_external_access = false");
  await connection.run("set lock_configuration = true");
  try {
    const reader = await connection.runAndReadAll(sql);
    const plain = (value: unknown): AxisValue =>
      typeof value === "string" && /^-?\d+$/.test(value) && value.length < 16
        ? Number(value)
        : value === null || ["string", "number", "boolean"].includes(typeof value)
          ? (value as AxisValue)
          : JSON.stringify(value);
    return { columns: reader.columnNames(), rows: reader.getRowsJson().map((row) => row.map(plain)) };
  } catch (error) {
    throw new InputError({
      file: "--sql",
      reason: (error as Error).message.split("\n")[0]!.replace(/\.$/, ""),
      remedy: "the table is `results`; `kreplica results FOLDER rows` shows its columns",
    });
  }
}
