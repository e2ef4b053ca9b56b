/**
 * Writes the tables of packages/invariants/README.md from the rows themselves: how many there are, by group and by
 * where they are looked at, and every sentence. `packages/bench/test/house/invariants.test.ts` holds the page to what
 * this gives.
 *
 *   node scripts/invariants.mjs
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const PAGE = "packages/invariants/README.md";
const BEGIN = "<!-- rows: written by scripts/invariants.mjs -->";
const END = "<!-- end of rows -->";

/** `A1–A4, A6` of ids of one group, in their order. */
function ranges(ids) {
  const runs = [];
  for (const id of ids) {
    const number = Number(/\d+$/.exec(id)[0]);
    const last = runs.at(-1);
    if (last && last.to === number - 1) Object.assign(last, { to: number, end: id });
    else runs.push({ start: id, end: id, to: number });
  }
  return runs.map(({ start, end }) => (start === end ? start : `${start}–${end}`)).join(", ");
}

const cell = (text) => text.replaceAll("|", "\\|");
const columns = [
  ["state", ({ where }) => where.includes("state")],
  ["boot", ({ where }) => where.includes("boot")],
  ["areas", ({ where }) => where.includes("areas")],
  ["run", ({ where }) => where.includes("run")],
  ["patching", ({ where }) => where.includes("patching")],
  ["test", ({ where }) => where.some((each) => each.startsWith("test "))],
];

/**
 * @param rows all, in their order
 * @param groups letter to subject
 * @returns the page with its tables as the rows have them
 */
export function withTables(page, rows, groups) {
  const of = (letter) => rows.filter(({ id }) => id.replace(/\d+$/, "") === letter);
  const summary = [...groups].map(
    ([letter, subject]) =>
      `| ${letter}: ${subject} | ${of(letter).length} | ${columns
        .map(([, fits]) =>
          ranges(
            of(letter)
              .filter(fits)
              .map(({ id }) => id),
          ),
        )
        .join(" | ")} |`,
  );
  const all = rows.map(
    ({ id, sentence, when, where }) =>
      `| ${id} | ${cell(sentence)} | ${cell(when)} | ${cell(where.map((each) => each.replace(/^test .*\//, "")).join(", "))} |`,
  );
  const text = [
    BEGIN,
    "",
    `There are ${rows.length}:`,
    "",
    `| group | rows | ${columns.map(([name]) => name).join(" | ")} |`,
    `| --- | --: | ${columns.map(() => "---").join(" | ")} |`,
    ...summary,
    "",
    "| id | sentence | when | where |",
    "| --- | --- | --- | --- |",
    ...all,
    "",
    END,
  ].join("\n");
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the lines ${BEGIN} and ${END}`);
  return page.slice(0, from) + text + page.slice(to + END.length);
}

/** Rows and groups from the sources. */
async function rowsOfSources(root) {
  const { build } = await import("esbuild");
  const folder = mkdtempSync(join(root, "packages/bench/node_modules/.invariants-"));
  try {
    const outfile = join(folder, "rows.mjs");
    await build({
      stdin: {
        contents: 'export { INVARIANTS } from "@kreplica/kernel"; export { GROUPS } from "@kreplica/invariants";',
        resolveDir: join(root, "packages/bench"),
        loader: "ts",
      },
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      conditions: ["@kreplica/source"],
      external: ["iced-x86"],
      logLevel: "warning",
    });
    const { INVARIANTS, GROUPS } = await import(pathToFileURL(outfile).href);
    return [INVARIANTS, GROUPS];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const page = join(root, PAGE);
  writeFileSync(page, withTables(readFileSync(page, "utf8"), ...(await rowsOfSources(root))));
}
