/// <reference types="node" />
/** docs/series-as-posted.md is made from the rows of the package of that name, and the rows name what is there. */
import { readFileSync } from "node:fs";
import { INVARIANTS } from "@kreplica/kernel";
import { DEFECTS } from "@kreplica/series-as-posted";
import { expect, test } from "vitest";

test("docs/series-as-posted.md has these rows", () => {
  const rows = DEFECTS.map(
    ({ id, sentence, patch, effect, breaks, confirmed, configuration }) =>
      `| ${id} | ${sentence} | ${patch} | ${effect} | ${breaks.join(", ")} | ${confirmed}${configuration === undefined ? "" : `; on kernels with: ${configuration}`} |`,
  );
  const text = readFileSync(new URL("../../../../docs/series-as-posted.md", import.meta.url), "utf8");
  expect(text.split("\n").filter((line) => /^\| (D\d|N\d|remote|copied)/.test(line))).toEqual(rows);
});

/** Files that a patch of the series changes, of those that rows name. @source the series' diffstat */
const CHANGED: Readonly<Record<string, readonly string[]>> = {
  "03/12": ["mm/numa_replication.c", "include/linux/numa_replication.h"],
  "04/12": ["arch/x86/mm/pat/set_memory.c"],
  "07/12": ["arch/x86/mm/fault.c", "arch/x86/mm/tlb.c", "arch/x86/mm/pgtable.c"],
  "08/12": ["arch/x86/kernel/alternative.c"],
  "10/12": ["mm/vmalloc.c", "include/linux/vmalloc.h"],
};

test.each(DEFECTS)("$id: the patch changes the file, and the invariants are there", ({ patch, breaks }) => {
  const [, number, file] = /^(\d\d\/12) (\S+?):?(?: |$)/.exec(patch) ?? [];
  if (number !== undefined) expect(CHANGED[number]).toContain(file);
  else expect(patch).toMatch(/^none: .|^05\/12, which does not reach /);
  const known = INVARIANTS.map(({ id }) => id);
  expect(breaks.filter((id) => !known.includes(id))).toEqual([]);
  expect(breaks.length).toBeGreaterThan(0);
});
