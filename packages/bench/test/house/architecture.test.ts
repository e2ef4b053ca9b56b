/** ARCHITECTURE.md against the packages: its graph is what they depend on, its table has their layers. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { layers } from "../../../../scripts/layers.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");
const page = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
const names = readdirSync(join(root, "packages"))
  .filter((name) => existsSync(join(root, "packages", name, "package.json")))
  .sort();

/** What each package declares, as pnpm lets it import nothing else. */
const depends = new Map(
  names.map((name): [string, Set<string>] => {
    const { dependencies = {} } = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    return [
      name,
      new Set(
        Object.keys(dependencies)
          .filter((each) => each.startsWith("@kreplica/"))
          .map((each) => each.slice("@kreplica/".length)),
      ),
    ];
  }),
);
/** Arrows as drawn: `a --> b & c`. */
const drawn = [...page.matchAll(/^ {2}([\w-]+) --> ([\w& -]+)$/gm)].flatMap(([, from, to]) =>
  to!.split(" & ").map((each): [string, string] => [from!, each.trim()]),
);

/** All that arrows lead to. */
function reached(from: string, seen = new Set<string>()): Set<string> {
  for (const [a, b] of drawn) if (a === from && !seen.has(b)) reached(b, seen.add(b));
  return seen;
}

test("every arrow is a dependency", () => {
  expect(drawn.length).toBeGreaterThan(10);
  expect(drawn.filter(([from, to]) => !depends.get(from)?.has(to)).map((arrow) => arrow.join(" --> "))).toEqual([]);
});

test("every dependency is an arrow, or follows from arrows", () => {
  const missing = names.flatMap((from) =>
    [...depends.get(from)!].filter((to) => !reached(from).has(to)).map((to) => `${from} --> ${to}`),
  );
  expect(missing).toEqual([]);
});

test("no arrow follows from others", () => {
  const redundant = drawn.filter(([from, to]) => drawn.some(([a, b]) => a === from && b !== to && reached(b).has(to)));
  expect(redundant.map((arrow) => arrow.join(" --> "))).toEqual([]);
});

test("every package is in the table, with its layer", () => {
  const rows = [...page.matchAll(/^\| `([\w-]+)` \| (\d+) \|/gm)].map(([, name, layer]): [string, number] => [
    name!,
    Number(layer),
  ]);
  expect(Object.fromEntries(rows)).toEqual(layers);
  expect(rows.map(([name]) => name).sort()).toEqual(names);
});
