/// <reference types="node" />
/**
 * CONTRIBUTING's recipes, done in a fresh clone as they stand: every line of their shell blocks ends well, what they
 * promise is there afterwards, and a person edits as many files as the page says.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freshClone, touched } from "../package/fresh-clone.js";
import { root, run } from "../package/packed.js";
import { edit, recipes } from "./recipes.js";

let clone: string;
beforeAll(() => {
  clone = freshClone();
  // As `npm test` would, before its first test.
  run("node", ["scripts/run.mjs", "turbo", "typecheck", "--dry-run"], clone);
});
afterAll(() => {
  rmSync(clone, { recursive: true, force: true });
});

/** As at a terminal: no CI, no colours, and the programs of the installation found without `npx`. */
const shell = (): Record<string, string> => ({
  // Set where turbo runs this: a package would say its one line in place of what a reader sees.
  TURBO_HASH: "",
  KREPLICA_OFFLINE: "1",
  CI: "",
  NO_COLOR: "1",
  FORCE_COLOR: "0",
  PATH: `${join(clone, "node_modules/.bin")}:${process.env["PATH"]!}`,
});

/** A word that only what the recipe added can have printed, in the output of the line that contains the first. */
const SEEN: Readonly<Record<string, readonly (readonly [line: string, word: string])[]>> = {
  "Add a subsystem": [
    ["npx vitest run", "2 passed"],
    ["architecture.test", "passed"],
  ],
  "Add a policy": [
    ["policies", "odd-nodes"],
    ["boot", "odd-nodes"],
  ],
  "Add a machine": [["machine lab-2s", "in our lab"]],
  "Add a command": [
    ["sockets --machine", "socket 3: nodes 3"],
    ["--help", "The sockets of a machine"],
  ],
  "Swap an implementation": [["npx vitest run", "1 passed"]],
  "Add operations to `kreplica check`": [
    ["check --runs", "nothing found"],
    ["families.test", "passed"],
  ],
  "Add an invariant": [["npx vitest run", "passed"]],
};

test("every recipe is here, and a subsystem is at most ten files by hand", () => {
  expect(
    recipes(root)
      .map(({ title }) => title)
      .sort(),
  ).toEqual(Object.keys(SEEN).sort());
  expect(recipes(root).find(({ title }) => title === "Add a subsystem")!.byHand).toBeLessThanOrEqual(10);
});

describe.each(recipes(root))("$title", ({ title, steps, byHand }) => {
  test("is done as it stands", () => {
    run("git", ["reset", "--quiet", "--hard"], clone);
    run("git", ["clean", "--quiet", "--force", "-d"], clone);
    const edited = new Set<string>();
    const said: [string, string][] = [];
    for (const step of steps) {
      if (step.do === "run")
        said.push([step.line, run("bash", ["-c", `set -eo pipefail\n${step.line}`], clone, shell())]);
      else {
        edit(clone, step);
        edited.add(step.file);
      }
    }
    for (const [line, word] of SEEN[title]!)
      expect(
        said
          .filter(([ran]) => ran.includes(line))
          .map(([, text]) => text)
          .join(),
        line,
      ).toContain(word);
    expect(edited.size).toBe(byHand);
    for (const file of edited) expect(touched(clone)).toContain(file);
    // That a family takes part is seen where what it does is wrong.
    if (title === "Add operations to `kreplica check`") {
      const broken = {
        file: "packages/check/src/families/spare.ts",
        place: "if (frame !== NONE)",
        text: "if (frame === NONE)",
      };
      edit(clone, { do: "instead of", ...broken });
      expect(() => run("npm", ["start", "--silent", "--", "check", "--runs", "4", "--steps", "40"], clone)).toThrow(
        /Command failed/,
      );
    }
  });
});
