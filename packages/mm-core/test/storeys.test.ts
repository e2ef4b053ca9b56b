/** The package's storeys: an import goes to the same one or to one below. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** From the ground up. Files of no folder (errors, options, random) lie below all, doors and test helpers above all. */
const STOREYS = ["memory", "image", "tables", "boot", "processes"];
const GROUND = ["errors.ts", "options-api.ts", "random.ts"];
const source = join(import.meta.dirname, "../src");

/** -1 for what lies below all storeys; undefined for doors and test helpers. */
const storeyOf = (file: string): number | undefined => {
  const [folder, rest] = file.split("/");
  if (rest === undefined) return GROUND.includes(file) ? -1 : undefined;
  return folder === "testing" ? undefined : STOREYS.indexOf(folder!);
};

/** Imports that go up, as `from: to`. */
function upward(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([file, text]) => {
    const here = storeyOf(file);
    if (here === undefined) return [];
    return [...text.matchAll(/from "(\.[^"]+)\.js"/g)].flatMap(([, path]) => {
      const target = join(file, "..", `${path}.ts`);
      const there = storeyOf(target);
      return there === undefined || there > here ? [`${file}: ${target}`] : [];
    });
  });
}

const read = (folder: string): [string, string][] =>
  readdirSync(join(source, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = join(folder, entry.name);
    return entry.isDirectory() ? read(name) : [[name, readFileSync(join(source, name), "utf8")] as [string, string]];
  });

test("every file has its storey, and imports nothing from above", () => {
  const files = new Map(read("."));
  const folders = new Set([...files.keys()].filter((file) => file.includes("/")).map((file) => file.split("/")[0]!));
  expect([...folders].sort()).toEqual([...STOREYS, "testing"].sort());
  expect(upward(files)).toEqual([]);
});

test("an import from above is seen, from a door too", () => {
  expect(
    upward(
      new Map([
        ["memory/fine.ts", 'import { x } from "../errors.js"; import { y } from "./buddy.js";'],
        ["memory/up.ts", 'import type { x } from "../tables/walk.js";'],
        ["tables/door.ts", 'import {\n  x,\n} from "../api.js";'],
      ]),
    ),
  ).toEqual(["memory/up.ts: tables/walk.ts", "tables/door.ts: api.ts"]);
});

test("ports stand beside what fills them: a token is made in a file NAME-api.ts, and nowhere else", () => {
  const made = read(".").filter(([, text]) => /= token</.test(text));
  expect(made.length).toBeGreaterThan(10);
  expect(made.map(([file]) => file).filter((file) => !file.endsWith("-api.ts"))).toEqual([]);
});
