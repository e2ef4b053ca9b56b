/**
 * Tables are walked by one loop over levels and indices: hw-x86's walkTables, whose entryBytes and entryPages are the
 * only place that works out what an entry stands for.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const packages = join(import.meta.dirname, "../../..");
/** 12 + 9 times, or 512 to the power of, a level: the size of what an entry stands for. */
const SIZE_OF_ENTRY = /12 \+ 9 \* |9 \* \(\w+(\.\w+)? - 1\)|512 \*\* \(/;
/** The walk and the index it takes; slow models, which must not share what they check. */
const ALLOWED = /^hw-x86\/src\/(addr|table-walk)\.ts$|\/src\/testing\//;

test("nobody works out by hand what an entry of a level stands for", () => {
  const found = readdirSync(packages).flatMap((name) =>
    readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.tsx?$/.test(file))
      .map((file) => `${name}/src/${file}`)
      .filter((file) => SIZE_OF_ENTRY.test(readFileSync(join(packages, file), "utf8"))),
  );
  expect(found.some((file) => ALLOWED.test(file))).toBe(true);
  expect(found.filter((file) => !ALLOWED.test(file))).toEqual([]);
});
