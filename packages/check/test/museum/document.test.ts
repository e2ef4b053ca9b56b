/**
 * docs/museum.md is made here, from the bugs as the package has them: `npx vitest run test/museum/document.test.ts
 * --update` in packages/check writes it.
 */
import { type Bug, BUGS, ROOMS } from "@kreplica/museum";
import { expect, test } from "vitest";
import { kindOfBug } from "../../src/bugs.js";
import { kindText } from "../../src/kinds.js";

const HEAD = `# The museum: bugs that kernels really had

Known bugs of Linux in page tables, translations, text patching and what is around them, each an overlay of a few lines over a correct kernel: a file each in
\`packages/museum\`. \`kreplica bugs NAME\` tells one whole; \`kreplica check --bug NAME\` finds it from a seed, \`--shortest\` by the way recorded here. A bug hangs here only
if an invariant catches it: a test plays every path with the bug and without, with a copy a node and with a single copy; of 19 a step could be left out. The defects of
the series itself are in [series-as-posted.md](series-as-posted.md).

"With copies" and "with one" say which rule the same path breaks on a kernel with a copy a node and on one with a single copy; \`-\` where it breaks none. Commits are
Linux's; "id not found" means that nobody here has seen it confirmed. This page is made by a test (\`packages/check/test/museum/document.test.ts\`).
`;

const cells = (...each: readonly string[]): string => `| ${each.join(" | ")} |`;
const commitsOf = ({ commits }: Bug): string =>
  commits.length === 0
    ? "none found"
    : commits.map(({ id, subject }) => `${id ?? "(id not found)"} ${subject}`).join("; ");

function row(bug: Bug): string {
  const { id, sentence, invariant, path, copies } = bug;
  return cells(
    id,
    sentence,
    bug.mended,
    commitsOf(bug),
    invariant,
    path.length === 0 ? "the boot" : String(path.length),
    kindText(kindOfBug(bug)),
    copies.with ?? "-",
    copies.without ?? "-",
    copies.words,
  );
}

test("docs/museum.md is these bugs", async () => {
  const tables = ROOMS.map((room) =>
    [
      `\n## ${room[0]!.toUpperCase()}${room.slice(1)}\n`,
      cells(
        "name",
        "what is wrong",
        "mended",
        "commits",
        "caught by",
        "steps",
        "kernel",
        "with copies",
        "with one",
        "what a copy makes of it",
      ),
      "|---|---|---|---|---|---|---|---|---|---|",
      ...BUGS.filter((bug) => bug.room === room).map(row),
      "",
    ].join("\n"),
  );
  await expect(`${HEAD}${tables.join("")}`).toMatchFileSnapshot("../../../../docs/museum.md");
});
