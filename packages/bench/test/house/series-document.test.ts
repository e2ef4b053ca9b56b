/// <reference types="node" />
/** docs/series-as-posted.md is made from the rows of the package of that name. */
import { readFileSync } from "node:fs";
import { OTHER_DEFECTS, SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { expect, test } from "vitest";

test("docs/series-as-posted.md has these rows", () => {
  const rows = [...SERIES_DEFECTS, ...OTHER_DEFECTS].map(
    ({ id, sentence, patch, effect, confirmed, configuration }) =>
      `| ${id} | ${sentence} | ${patch} | ${effect} | ${confirmed}${configuration === undefined ? "" : `; on kernels with: ${configuration}`} |`,
  );
  const text = readFileSync(new URL("../../../../docs/series-as-posted.md", import.meta.url), "utf8");
  expect(text.split("\n").filter((line) => /^\| (D\d|N\d|remote|copied)/.test(line))).toEqual(rows);
});
