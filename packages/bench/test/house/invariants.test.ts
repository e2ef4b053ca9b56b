/** The invariants' page is what the rows say; their number stands nowhere by hand. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { GROUPS, type Invariant } from "@kreplica/invariants";
import { INVARIANTS } from "@kreplica/kernel";
import { expect, test } from "vitest";
import { PAGE, withTables } from "../../../../scripts/invariants.mjs";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const page = readFileSync(join(root, PAGE), "utf8");

test("the page's tables are the rows: after a change run `npm run invariants`", () => {
  expect(withTables(page, INVARIANTS, GROUPS)).toBe(page);
});

test("a row more is a line more and another number, with nothing else to touch", () => {
  const mine: Invariant<never> = { id: "A99", when: "always", where: ["state"], sentence: "a | b" };
  const longer = withTables(page, [...INVARIANTS, mine], GROUPS);
  expect(longer).toContain("| A99 | a \\| b | always | state |");
  expect(longer).toContain(`There are ${INVARIANTS.length + 1}:`);
  expect(() => withTables("no tables here", INVARIANTS, GROUPS)).toThrow(/lacks the lines/);
});

test("no document and no source but the page names how many there are", () => {
  const documents = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "GLOSSARY.md",
    "HOUSE-RULES.md",
    "STYLE.md",
    ...readdirSync(join(root, "docs"))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
    ...readdirSync(join(root, "packages"))
      .filter((name) => name !== "invariants")
      .map((name) => `packages/${name}/README.md`),
  ];
  const naming = documents.filter((file) =>
    new RegExp(`\\b${INVARIANTS.length}\\b[^|.\\n]{0,40}(invariant|propert|rule)`, "i").test(
      readFileSync(join(root, file), "utf8"),
    ),
  );
  expect(naming).toEqual([]);
});
