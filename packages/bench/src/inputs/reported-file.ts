/**
 * `--reported FILE`: gains somebody reported of a machine, percent, to stand beside the modelled ones.
 *
 * JSON `{ "source", "machine", "figures": [{ "test", "hot", "cold" }] }`, or CSV with a head that names the columns
 * test, hot and cold (and, where they are wanted, source and machine, alike in every row). hot or cold may be absent,
 * and an empty cell is.
 */
import { didYouMean, InputError, type InputFault, parseJsonText } from "@kreplica/inputs";
import { type Reported, type ReportedFigure, type ReportedFigures, reportedIn } from "@kreplica/replay";
import { readText } from "./read-input.js";

/** MiB: figures of a few tests are kilobytes. */
const LARGEST = 1;
/** A gain is below 100 %, and nobody reports a loss of more than a thousandfold. */
const MOST = 100;
const LEAST = -100_000;
const FIELDS = ["source", "machine", "figures"];
const COLUMNS = ["test", "hot", "cold", "source", "machine"];

type Fault = Omit<InputFault, "file">;

/** @throws InputError with line, column or field; all faults in one, the first with its place */
export function readReportedFile(file: string): ReportedFigures {
  const text = readText(file, "--reported", LARGEST, "name a JSON or CSV file of reported gains");
  const faults: Fault[] = [];
  const read =
    text.trimStart().startsWith("{") || text.trimStart().startsWith("[")
      ? fromJson(text, file, faults)
      : fromCsv(text, faults);
  if (read.figures.length === 0 && faults.length === 0)
    faults.push({ line: 1, reason: "holds no figure", remedy: "give one or more tests, each with hot, cold or both" });
  const [first, ...more] = faults;
  if (first)
    throw new InputError({
      file,
      ...first,
      reason: [
        first.reason,
        ...more.map(
          ({ line, field, reason }) =>
            `${line === undefined ? "" : `line ${line}, `}${field === undefined ? "" : `${field}: `}${reason}`,
        ),
      ].join("; "),
    });
  return { file, ...read };
}

/**
 * The figures of a file that are to stand beside modelled ones.
 * @param tests names of those that are modelled @param word what is done with them: "compared"
 * @throws InputError for figures of another machine, or of none of the tests
 */
export function reportedOf(file: string, machine: string, tests: readonly string[], word = "compared"): Reported {
  const figures = readReportedFile(file);
  if (figures.machine !== undefined && figures.machine !== machine) {
    throw new InputError({
      file,
      field: "machine",
      reason: `these figures are of ${figures.machine}, and ${machine} is ${word}`,
      remedy: `name that machine with --machine; where they are of this one, write "${machine}"`,
    });
  }
  if (!figures.figures.some(({ test }) => tests.includes(test))) {
    throw new InputError({
      file,
      field: "figures",
      reason: `none is of a test that is ${word}: ${figures.figures.map(({ test }) => test).join(", ")}`,
      remedy: `the tests are ${tests.join(", ")}`,
    });
  }
  return reportedIn(figures);
}

const figureFault = (value: number): string | undefined =>
  !Number.isFinite(value)
    ? "is no number"
    : value > MOST || value < LEAST
      ? `${value} is no gain in percent: ${LEAST} to ${MOST}`
      : undefined;
const WRITE = "write the gain in percent, positive is faster, or leave it out";

function fromJson(text: string, file: string, faults: Fault[]): Omit<ReportedFigures, "file"> {
  const { value, placeOf } = parseJsonText(text, file);
  const fail = (path: readonly PropertyKey[], reason: string, remedy: string): void => {
    faults.push({
      ...placeOf(path),
      ...(path.length > 0
        ? {
            field: path
              .map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`))
              .join(""),
          }
        : {}),
      reason,
      remedy,
    });
  };
  const isObject = (of: unknown): of is Record<string, unknown> =>
    typeof of === "object" && of !== null && !Array.isArray(of);
  if (!isObject(value)) {
    fail([], "not an object", 'write { "source": ..., "machine": ..., "figures": [...] }');
    return { source: "", machine: undefined, figures: [] };
  }
  for (const key of Object.keys(value)) if (!FIELDS.includes(key)) fail([key], "no such field", meant(key, FIELDS));
  for (const key of ["source", "machine"])
    if (typeof value[key] !== "string" || value[key].trim() === "")
      fail(
        [key],
        value[key] === undefined ? "missing" : "is no text",
        key === "source"
          ? "say who reported the figures"
          : "give the machine's name, as `kreplica machine` lists it or the file says it",
      );
  const list: unknown = value["figures"];
  if (!Array.isArray(list)) {
    fail(["figures"], list === undefined ? "missing" : "is no list", "give a list of { test, hot, cold }");
    return { source: "", machine: undefined, figures: [] };
  }
  const figures = list.map((each: unknown, i): ReportedFigure => {
    const at = ["figures", i];
    if (!isObject(each)) {
      fail(at, "is no object", "write { test, hot, cold }");
      return { test: "" };
    }
    for (const key of Object.keys(each))
      if (!["test", "hot", "cold"].includes(key))
        fail([...at, key], "no such field", meant(key, ["test", "hot", "cold"]));
    if (typeof each["test"] !== "string" || each["test"] === "")
      fail(
        [...at, "test"],
        each["test"] === undefined ? "missing" : "is no test's name",
        "name the test as the report does",
      );
    for (const key of ["hot", "cold"]) {
      const wrong =
        each[key] === undefined ? undefined : typeof each[key] === "number" ? figureFault(each[key]) : "is no number";
      if (wrong) fail([...at, key], wrong, WRITE);
    }
    if (each["hot"] === undefined && each["cold"] === undefined) fail(at, "has neither hot nor cold", WRITE);
    return each as unknown as ReportedFigure;
  });
  figures.forEach(({ test }, i) => {
    if (figures.findIndex((each) => each.test === test) !== i)
      fail(["figures", i, "test"], `${JSON.stringify(test)} is there twice`, "keep one of them");
  });
  return { source: String(value["source"]), machine: String(value["machine"]), figures };
}

const meant = (word: string, known: readonly string[]): string =>
  didYouMean(word, known, `the fields are ${known.join(", ")}`);

function fromCsv(text: string, faults: Fault[]): Omit<ReportedFigures, "file"> {
  const none = { source: "", machine: undefined, figures: [] };
  const rows = text
    .split(/\r?\n/)
    .map((line, i) => ({ line: i + 1, cells: cellsOf(line) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const [head, ...body] = rows;
  if (!head) return none;
  const names = head.cells.map((each) => each.toLowerCase());
  const fail = (line: number, field: string, reason: string, remedy: string): void => {
    faults.push({ line, field, reason, remedy });
  };
  const columnOf = (at: number): string => `column ${at + 1}${names[at] ? ` (${names[at]})` : ""}`;
  names.forEach((name, at) => {
    if (!COLUMNS.includes(name)) fail(head.line, columnOf(at), "no such column", meant(name, COLUMNS));
    else if (names.indexOf(name) !== at) fail(head.line, columnOf(at), "is there twice", "keep one of them");
  });
  if (!names.includes("test") || !(names.includes("hot") || names.includes("cold")))
    fail(head.line, "head", "the columns test and hot or cold are missing", "begin with a line test,hot,cold");
  if (faults.length > 0) return none;
  const cell = (cells: readonly string[], name: string): string => cells[names.indexOf(name)] ?? "";
  const figures = body.map(({ line, cells }): ReportedFigure => {
    if (cells.length > names.length)
      fail(
        line,
        columnOf(names.length),
        `${cells.length} cells where the head has ${names.length}`,
        "put names with commas in double quotes",
      );
    const test = cell(cells, "test");
    if (test === "") fail(line, columnOf(names.indexOf("test")), "is empty", "name the test as the report does");
    const figure = (name: "hot" | "cold"): { [key in "hot" | "cold"]?: number } => {
      const written = cell(cells, name);
      if (written === "") return {};
      const value = /^[-+]?(\d+\.?\d*|\.\d+)$/.test(written) ? Number(written) : Number.NaN;
      const wrong = figureFault(value);
      if (wrong) fail(line, columnOf(names.indexOf(name)), `${JSON.stringify(written)} ${wrong}`, WRITE);
      return { [name]: value };
    };
    const both = { ...figure("hot"), ...figure("cold") };
    if (both.hot === undefined && both.cold === undefined) fail(line, "row", "has neither hot nor cold", WRITE);
    return { test, ...both };
  });
  figures.forEach(({ test }, i) => {
    if (test !== "" && figures.findIndex((each) => each.test === test) !== i)
      fail(
        body[i]!.line,
        columnOf(names.indexOf("test")),
        `${JSON.stringify(test)} is there twice`,
        "keep one of them",
      );
  });
  const alike = (name: string): string | undefined => {
    const said = body.filter(({ cells }) => cell(cells, name) !== "");
    const first = said[0] && cell(said[0].cells, name);
    const other = said.find(({ cells }) => cell(cells, name) !== first);
    if (other)
      fail(
        other.line,
        columnOf(names.indexOf(name)),
        `${JSON.stringify(cell(other.cells, name))}, and ${JSON.stringify(first)} before`,
        "keep figures of one machine from one source in a file",
      );
    return first;
  };
  return { source: alike("source") ?? "as given", machine: alike("machine"), figures };
}

/** Cells of a line, in double quotes where they hold a comma. */
function cellsOf(line: string): string[] {
  const cells: string[] = [];
  const cell = /\s*(?:"((?:[^"]|"")*)"\s*(?=,|$)|([^,]*))/y;
  for (let at = 0; at <= line.length; at = cell.lastIndex + 1) {
    cell.lastIndex = at;
    const [, quoted, bare] = cell.exec(line)!;
    cells.push(quoted === undefined ? bare!.trim() : quoted.replaceAll('""', '"'));
  }
  return cells;
}
