/**
 * How reports look: tables without frames, colours only where somebody sees them, a progress line only on a terminal.
 */
import CliTable from "cli-table3";
import cliProgress from "cli-progress";
import picocolors from "picocolors";

/** What the text will be shown on. */
export interface Screen {
  /** Letters a line may have. */
  readonly columns: number;
  /** Whether it shows block characters, for bars. */
  readonly blocks: boolean;
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
}

/** The part of a stream that decides how text on it looks. */
export interface StreamLike {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Where nobody says how wide: what a page or a mail takes. */
const USUAL = 100;
const NARROWEST = 60;
/** Beyond this nobody follows a line. */
const WIDEST = 250;

/**
 * Width: what COLUMNS says where it is set, else the terminal's, else 100; from 60 to 250.
 * Colours on a terminal unless NO_COLOR is set (to anything but nothing) or TERM is dumb; never in a pipe.
 * Block characters on a terminal whose locale is one of UTF-8; never in a pipe, which has the same bytes everywhere.
 */
export function screenFor(stream: StreamLike, environment: Readonly<Record<string, string | undefined>>): Screen {
  const able = Boolean(stream.isTTY) && environment["TERM"] !== "dumb";
  const colours = picocolors.createColors(able && !environment["NO_COLOR"]);
  const asked = /^\d{1,5}$/.test(environment["COLUMNS"] ?? "") ? Number(environment["COLUMNS"]) : 0;
  const columns = asked > 0 ? asked : stream.isTTY && stream.columns ? stream.columns : USUAL;
  return {
    columns: Math.min(WIDEST, Math.max(NARROWEST, columns)),
    blocks: able && isUtf8(environment),
    bold: colours.bold,
    dim: colours.dim,
    good: colours.green,
    bad: colours.red,
    warn: colours.yellow,
  };
}

/** As the C library has it: the first of the three that is set, to anything but nothing, decides. */
const isUtf8 = (environment: Readonly<Record<string, string | undefined>>): boolean =>
  /utf-?8/i.test(environment["LC_ALL"] || environment["LC_CTYPE"] || environment["LANG"] || "");

/** One column of a table. */
export interface Column {
  readonly head: string;
  /** Absent: left. */
  readonly align?: "left" | "right";
}

/** Blanks before every line of a table. */
const INDENT = 2;
/** A column of numbers: set to the right. */
export const right = (head: string): Column => ({ head, align: "right" });

/** Blanks between its columns. */
export const GAP = 2;

/**
 * A table without frames, its head dim. Cells may hold line breaks; nothing is cut or wrapped. What is too wide for the
 * screen stands in several tables below each other, each with the columns of words before the first column of figures.
 *
 * @returns lines, each ending in a line break
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], screen: Screen): string {
  const labels = columns.findIndex((column) => column.align === "right");
  if (labels <= 0) return onePanel(columns, rows, screen);
  const widths = columns.map(
    ({ head }, at) =>
      Math.max(...[head, ...rows.map((row) => row[at]!)].flatMap((cell) => cell.split("\n").map(visibleLength))) + GAP,
  );
  const labelWidth = widths.slice(0, labels).reduce((sum, width) => sum + width, INDENT - GAP);
  let text = "";
  for (let from = labels, to = from; from < columns.length; from = to) {
    let width = labelWidth;
    while (to < columns.length && (to === from || width + widths[to]! <= screen.columns)) width += widths[to++]!;
    const chosen = <T>(cells: readonly T[]): T[] => [...cells.slice(0, labels), ...cells.slice(from, to)];
    text += (text === "" ? "" : "\n") + onePanel(chosen(columns), rows.map(chosen), screen);
  }
  return text;
}

/** Letters of a text without its colours. */
// eslint-disable-next-line no-control-regex -- escape sequences begin with a control character
export const visibleLength = (text: string): number => text.replace(/\u001b\[[0-9;]*m/g, "").length;

function onePanel(columns: readonly Column[], rows: readonly (readonly string[])[], screen: Screen): string {
  const none = {
    top: "",
    "top-mid": "",
    "top-left": "",
    "top-right": "",
    bottom: "",
    "bottom-mid": "",
    "bottom-left": "",
    "bottom-right": "",
    left: " ".repeat(INDENT),
    "left-mid": "",
    mid: "",
    "mid-mid": "",
    right: "",
    "right-mid": "",
    middle: " ".repeat(GAP),
  };
  const table = new CliTable({
    chars: none,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colAligns: columns.map((column) => column.align ?? "left"),
  });
  if (columns.some((column) => column.head !== "")) table.push(columns.map((column) => screen.dim(column.head)));
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split("\n")
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** Breaks text at blanks so that no line exceeds the width; a longer word stands alone. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && visibleLength(line) + 1 + visibleLength(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}

/**
 * A title and what it is about, on one line where they fit, else below each other.
 * @returns lines, each ending in a line break
 */
export function heading(title: string, rest: string, screen: Screen, between = " "): string {
  if (title.length + between.length + rest.length <= screen.columns)
    return `${screen.bold(title)}${between}${screen.dim(rest)}\n`;
  return (
    wrap(title, screen.columns)
      .map((line) => `${screen.bold(line)}\n`)
      .join("") +
    wrap(rest, screen.columns - INDENT)
      .map((line) => `${" ".repeat(INDENT)}${screen.dim(line)}\n`)
      .join("")
  );
}

/** Text in full width, wrapped and set in. @returns lines, each ending in a line break */
export const paragraph = (text: string, screen: Screen): string =>
  wrap(text.trimEnd(), screen.columns - INDENT)
    .map((line) => `${" ".repeat(INDENT)}${line}\n`)
    .join("");

/** A remark below a table, wrapped and dim. @returns lines, each ending in a line break */
export const note = (text: string, screen: Screen): string =>
  wrap(text, screen.columns - INDENT)
    .map((line) => `${" ".repeat(INDENT)}${screen.dim(line)}\n`)
    .join("");

/** Text after a label, its further lines set below the first. @returns lines, each ending in a line break */
export function hanging(label: string, text: string, screen: Screen, labelWidth = visibleLength(label) + GAP): string {
  const lines = wrap(text, screen.columns - INDENT - labelWidth);
  return (lines.length === 0 ? [""] : lines)
    .map((line, i) =>
      `${" ".repeat(INDENT)}${i === 0 ? label + " ".repeat(Math.max(0, labelWidth - visibleLength(label))) : " ".repeat(labelWidth)}${line}\n`.replace(
        / +\n$/,
        "\n",
      ),
    )
    .join("");
}

/**
 * A square matrix with its row and column names, in as many panels of columns as the width asks for.
 *
 * @param names of rows and columns
 * @param corner what the names are
 */
export function renderMatrix(
  names: readonly string[],
  cells: readonly (readonly string[])[],
  corner: string,
  screen: Screen,
): string {
  const cellWidth = Math.max(...names.map((name) => name.length), ...cells.flat().map((cell) => cell.length)) + GAP;
  const labelWidth = Math.max(corner.length, ...names.map((name) => name.length));
  const perPanel = Math.max(1, Math.floor((screen.columns - INDENT - labelWidth) / cellWidth));
  let text = "";
  for (let from = 0; from < names.length; from += perPanel) {
    const head = [corner, ...names.slice(from, from + perPanel)].map((name): Column => ({
      head: name,
      align: "right",
    }));
    text +=
      (from > 0 ? "\n" : "") +
      renderTable(
        head,
        cells.map((row, i) => [names[i]!, ...row.slice(from, from + perPanel)]),
        screen,
      );
  }
  return text;
}

/** Shows how far a long job is. Every method does nothing when nobody watches. */
export interface Progress {
  /** @param total steps of the whole job */
  start(total: number, what: string): void;
  /** One or more steps are done, or none; what is being done now. */
  step(count: number, what: string): void;
  stop(): void;
}

/** Whether somebody watches: a terminal that can go back on a line, outside CI. */
export const isWatched = (stream: StreamLike, environment: Readonly<Record<string, string | undefined>>): boolean =>
  Boolean(stream.isTTY) && environment["TERM"] !== "dumb" && !environment["CI"];

/** A line on standard error where that is a terminal; otherwise silence. */
export function progressOn(
  stream: NodeJS.WriteStream,
  environment: Readonly<Record<string, string | undefined>>,
): Progress {
  if (!isWatched(stream, environment)) return { start() {}, step() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    stream,
    format: "  {bar} {percentage} %  {what}",
    barsize: 24,
    clearOnComplete: true,
    barCompleteChar: "=",
    barIncompleteChar: ".",
    stopOnComplete: false,
    // Signals are terminal-session.ts's; nothing is changed here that would have to be restored.
    gracefulExit: false,
    hideCursor: false,
    linewrap: true,
  });
  return {
    start(total, what) {
      bar.start(total, 0, { what });
    },
    step(count, what) {
      bar.increment(count, { what });
    },
    stop() {
      bar.stop();
    },
  };
}
