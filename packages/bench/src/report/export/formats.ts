/** Forms in which viewers of profiles read cycles by function and cause. Samples in, text or bytes out. */
import { STATES } from "@kreplica/replay";
import { type Exported, wholeNumbers } from "./samples.js";

/** @source speedscope, "Importing from custom sources": its file format's schema, file-format-schema.json */
export function speedscope({ title, kernels, samples }: Exported): string {
  const numbers = new Map<string, number>();
  const frame = (name: string): number => {
    let number = numbers.get(name);
    if (number === undefined) numbers.set(name, (number = numbers.size));
    return number;
  };
  const profiles = STATES.flatMap((cache) =>
    kernels.map((kernel) => {
      const own = samples.filter((each) => each.cache === cache && each.kernel === kernel);
      return {
        type: "sampled",
        name: `${kernel}, ${cache}: cycles`,
        unit: "none",
        startValue: 0,
        endValue: own.reduce((sum, { cycles }) => sum + cycles, 0),
        samples: own.map((each) => [frame(each.test), frame(each.function), frame(each.cause)]),
        weights: own.map(({ cycles }) => cycles),
      };
    }),
  );
  return `${JSON.stringify({
    $schema: "https://www.speedscope.app/file-format-schema.json",
    name: title,
    exporter: "kreplica",
    shared: { frames: Array.from(numbers.keys(), (name) => ({ name })) },
    profiles,
  })}\n`;
}

/**
 * A stack a line, its frames from the outermost in between semicolons, whole cycles behind it: what flamegraph.pl and
 * what followed it reads. A semicolon in a name would part it.
 */
export function collapsed({ samples }: Exported): string {
  const counts = wholeNumbers(samples.map(({ cycles }) => cycles));
  return samples
    .map((each, nth) => {
      const frames = [`${each.kernel}, ${each.cache}`, each.test, each.function, each.cause];
      return counts[nth] === 0 ? "" : `${frames.map((name) => name.replaceAll(";", ",")).join(";")} ${counts[nth]}\n`;
    })
    .join("");
}

/**
 * Events are the causes on either kernel, so that both stand beside each other; a test in one state of the caches is a
 * file, its functions are the file's. Whole cycles.
 *
 * @source Valgrind manual, "Callgrind Format Specification"
 */
export function callgrind({ title, kernels, samples }: Exported): string {
  const causes = [...new Set(samples.map(({ cause }) => cause))];
  const events = ["One", "Copies"].flatMap((kernel) => ["", ...causes].map((cause) => eventName(kernel, cause)));
  const counts = wholeNumbers(samples.map(({ cycles }) => cycles));
  const functions = new Map<string, { readonly file: string; readonly name: string; readonly cells: number[] }>();
  const totals = events.map(() => 0);
  samples.forEach((each, nth) => {
    const key = `${each.test} ${each.cache} ${each.function} ${each.address}`;
    let found = functions.get(key);
    if (!found)
      functions.set(
        key,
        (found = { file: `${each.test}, ${each.cache}`, name: each.function, cells: events.map(() => 0) }),
      );
    const first = kernels.indexOf(each.kernel) * (causes.length + 1);
    for (const at of [first, first + 1 + causes.indexOf(each.cause)]) {
      found.cells[at]! += counts[nth]!;
      totals[at]! += counts[nth]!;
    }
  });
  const described = ["One", "Copies"].flatMap((kernel, side) =>
    ["", ...causes].map(
      (cause) => `event: ${eventName(kernel, cause)} : ${kernels[side]!}, ${cause === "" ? "all cycles" : cause}`,
    ),
  );
  return [
    "# callgrind format",
    "version: 1",
    "creator: kreplica",
    `cmd: ${title}`,
    "positions: line",
    ...described,
    `events: ${events.join(" ")}`,
    `summary: ${totals.join(" ")}`,
    ...[...functions.values()].flatMap(({ file, name, cells }) => [
      "",
      `fl=${file}`,
      `fn=${name}`,
      `0 ${cells.join(" ")}`,
    ]),
    "",
  ].join("\n");
}

/** Letters and digits: `One_text_from_remote_memory`. */
const eventName = (kernel: string, cause: string): string =>
  [kernel, cause === "" ? "Cycles" : cause].join("_").replaceAll(/[^A-Za-z0-9]+/g, "_");

/** Columns of an export as a table. */
export const COLUMNS = ["test", "cache", "kernel", "function", "address", "cause", "cycles"] as const;

/** @source RFC 4180, with line feeds */
export function csv({ samples }: Exported): string {
  const cell = (value: string | number): string =>
    /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return [COLUMNS.join(","), ...samples.map((each) => COLUMNS.map((name) => cell(each[name])).join(",")), ""].join(
    "\n",
  );
}
