/** `kreplica results`: what a sweep found, by ready-made questions, by SQL, as CSV, as a map over two axes. */
import { InputError } from "@kreplica/inputs";
import { presets } from "@kreplica/machines";
import { type PlacedMark, sweepPage } from "@kreplica/report";
import { csvOf, gridOf, type Row } from "@kreplica/sweep";
import { Argument, type Command, Option } from "commander";
import { jsonText } from "../report/documents/json-text.js";
import type { ResultsDocument } from "../report/documents/results.js";
import { outputFile } from "../report/output-file.js";
import { presetRatio } from "../report/preset-standings.js";
import { type Column, paragraph, renderTable } from "../report/terminal.js";
import { type Answer, asked, columnNamed, QUESTIONS, readResults, type Results } from "../sweep/results.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { jsonOption, type JsonOption } from "./options.js";
import { declareRules } from "./rules.js";
import { choiceOption, repeatedOption } from "./values.js";
import { countText } from "../report/units.js";

type ResultsOptions = JsonOption & {
  readonly column: string;
  readonly where?: readonly Condition[];
  readonly sql?: string;
  readonly csv?: boolean;
  readonly map?: string;
  readonly output: string;
  readonly cache: "hot" | "cold" | "both";
};

interface Condition {
  readonly axis: string;
  readonly value: string;
}

const DEFAULT_QUESTION = "deciding";
const DEFAULT_FILE = "map.html";

const words = Object.entries(QUESTIONS).map(([name, { about }]) => `${name}: ${about}`);

export function registerResults(program: Command, context: CommandContext): void {
  declareRules(program.command("results"), [
    { option: "--csv", not: "--json", because: "both are the answer's form" },
    { option: "--csv", not: "--map", because: "a map is a page" },
    { option: "--json", not: "--map", because: "a map is a page" },
    { option: "--sql", not: "--map", because: "a map is of the rows themselves" },
    { option: "--column", not: "--sql", because: "the query names its columns" },
    { option: "--where", not: "--sql", because: "the query has a where of its own" },
    { option: "--cache", not: "--sql", because: "the query says which, by the column cache" },
    { option: "--output", needs: "--map" },
  ])
    .summary("ask what a sweep found")
    .description(
      `Reads the folder that \`kreplica sweep\` wrote. Questions: ${words.join("; ")}. SQL needs DuckDB, which is installed apart; the rest does not.`,
    )
    .argument("<folder>", "of a sweep that is done")
    .addArgument(new Argument("[question]", `default: ${DEFAULT_QUESTION}`).choices(Object.keys(QUESTIONS)))
    .addOption(new Option("--column <name>", "figure that is asked about").default("gainPercent"))
    .addOption(choiceOption("--cache <state>", "rows of this state of the caches", ["hot", "cold", "both"], "both"))
    .addOption(
      repeatedOption("--where <axis=value>", "only rows with this value; may be given again").argParser(
        (text: string, before: unknown) => [...((before as Condition[] | undefined) ?? []), conditionIn(text)],
      ),
    )
    .addOption(new Option("--sql <query>", "a query on the table `results`"))
    .addOption(new Option("--csv", "print the answer as CSV"))
    .addOption(new Option("--map <x,y>", "write a page with the figure over two axes, as colours and as curves"))
    .addOption(new Option("-o, --output <file>", "the page; - is standard output").default(DEFAULT_FILE))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica results plan.results", "what decides the gain"],
        ["kreplica results plan.results best --cache cold", "where most is gained"],
        ["kreplica results plan.results rows --csv", "everything, for a table of your own"],
        ["kreplica results plan.results --map machine.l3.inclusion,farOverNear", "a page, map.html"],
      ) + exitCodes,
    )
    .action(async (folder: string, question: string | undefined, options: ResultsOptions) => {
      const all = await readResults(folder);
      if (options.sql !== undefined) {
        if (question !== undefined)
          throw new InputError({
            file: "--sql",
            reason: `means nothing beside the question ${question}`,
            remedy: "leave one of them out",
          });
        print(context, options, all, options.sql, await asked(all, options.sql));
        return;
      }
      const results = chosen(all, options);
      const column = columnNamed(all, options.column, "--column", true);
      if (options.map !== undefined) {
        map(context, results, column, options);
        return;
      }
      const name = question ?? DEFAULT_QUESTION;
      const answer = QUESTIONS[name]!.answer(results, column);
      if (name !== "rows" || options.json || options.csv) print(context, options, all, name, answer);
      else {
        // Thirty columns fit no screen.
        const shown = ["cache", ...all.axes, column];
        const places = shown.map((head) => answer.columns.indexOf(head)).filter((at) => at >= 0);
        print(context, options, all, name, {
          columns: places.map((at) => answer.columns[at]!),
          rows: answer.rows.map((row) => places.map((at) => row[at] ?? null)),
        });
        const left = answer.columns.length - places.length;
        if (left > 0) context.print(`${left} more with --csv or --json: cycles, lines, bounds, ...\n`);
      }
    });
}

function conditionIn(text: string): Condition {
  const [, axis, value] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (axis === undefined || value === undefined)
    throw new InputError({
      file: "--where",
      reason: `${JSON.stringify(text)} is no condition`,
      remedy: "write AXIS=VALUE, policy=per-node",
    });
  return { axis, value };
}

/** Rows that the options leave. @throws InputError where there are none */
function chosen(results: Results, { where = [], cache }: ResultsOptions): Results {
  const conditions = [...where, ...(cache === "both" ? [] : [{ axis: "cache", value: cache }])];
  let { rows } = results;
  for (const { axis, value } of conditions) {
    columnNamed(results, axis, "--where");
    const has = (row: Row): boolean => String(row[axis] ?? null) === value;
    const left = rows.filter(has);
    if (left.length === 0)
      throw new InputError({
        file: "--where",
        reason: `no row has ${axis} ${value}`,
        remedy: `its values are ${[...new Set(rows.map((row) => String(row[axis] ?? null)))].slice(0, 20).join(", ")}`,
      });
    rows = left;
  }
  return { ...results, rows };
}

const SHOWN_DIGITS = 2;
const cellText = (value: string | number | boolean | null): string =>
  value === null
    ? "-"
    : typeof value === "number" && !Number.isInteger(value)
      ? value.toFixed(SHOWN_DIGITS)
      : String(value);

function print(
  context: CommandContext,
  { json, csv, column }: ResultsOptions,
  { folder, axes }: Results,
  question: string,
  { columns, rows }: Answer,
): void {
  if (json) {
    const document: ResultsDocument = { schema: "kreplica.results/1", folder, question, column, columns, rows };
    context.print(jsonText(document));
  } else if (csv) context.print(csvOf(columns, rows));
  else context.print(answerText(columns, rows, axes, context.screen));
}

/**
 * As a table. Where rows are cells of the sweep they are numbered, so that a table in several panels can be read; an
 * axis on which they all have one value is a sentence above and no column.
 */
function answerText(
  columns: readonly string[],
  rows: Answer["rows"],
  axes: readonly string[],
  screen: CommandContext["screen"],
): string {
  const isAxis = (at: number): boolean => columns[at] === "cache" || axes.includes(columns[at]!);
  const all = columns.map((_, at) => at);
  const areCells = rows.length > 1 && axes.length > 0 && axes.every((axis) => columns.includes(axis));
  const same = areCells ? all.filter((at) => isAxis(at) && rows.every((row) => row[at] === rows[0]![at])) : [];
  const shown = all.filter((at) => !same.includes(at));
  const table = renderTable(
    [
      ...(areCells ? [{ head: "row" }] : []),
      ...shown.map((at): Column => ({
        head: columns[at]!,
        align: rows.every((row) => typeof row[at] !== "string") ? "right" : "left",
      })),
    ],
    rows.map((row, nth) => [...(areCells ? [String(nth + 1)] : []), ...shown.map((at) => cellText(row[at] ?? null))]),
    screen,
  );
  if (same.length === 0) return table;
  const values = same.map((at) => `${columns[at]} ${cellText(rows[0]![at] ?? null)}`);
  return paragraph(`In all rows: ${values.join(", ")}.`, screen) + table;
}

function map(
  context: CommandContext,
  results: Results,
  column: string,
  { map: axes, output, where = [], cache }: ResultsOptions,
): void {
  const [x, y, ...more] = axes!.split(",");
  if (x === undefined || y === undefined || more.length > 0 || x === y)
    throw new InputError({
      file: "--map",
      reason: `${JSON.stringify(axes)} are not two axes`,
      remedy: "write X,Y, machine.l2.bytes,farOverNear",
    });
  for (const axis of [x, y]) columnNamed(results, axis, "--map");
  const file = output === "-" ? undefined : outputFile(output, "--output");
  const only = [
    ...where.map(({ axis, value }) => `${axis} ${value}`),
    ...(cache === "both" ? [] : [`caches ${cache}`]),
  ];
  const page = sweepPage({
    title: results.title,
    about: `Modelled. ${column}: mean of ${countText(results.rows.length, "row")} over all that is not on an axis${only.length === 0 ? "" : `; only ${only.join(", ")}`}.`,
    ...gridOf(results.rows, x, y, column),
    marks: presetMarks(x, y),
  });
  if (file) {
    file.write(page);
    context.remark(`${file.path} is written: open it in a browser`);
  } else context.print(page);
}

/** Where the presets' processors stand on two axes, if both are numbers of a machine. */
function presetMarks(x: string, y: string): readonly PlacedMark[] {
  return presets.flatMap((spec) => {
    const value = (axis: string): number | undefined => {
      if (axis === "farOverNear") return presetRatio(spec);
      const found = axis
        .split(".")
        .slice(1)
        .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], spec);
      return axis.startsWith("machine.") && typeof found === "number" ? found : undefined;
    };
    const [here, there] = [value(x), value(y)];
    return here === undefined || there === undefined ? [] : [{ name: spec.name, x: here, y: there }];
  });
}
