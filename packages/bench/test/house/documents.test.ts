/**
 * Every link, path and command in the documents leads somewhere: files are there, scripts exist, commands have the
 * options they are shown with.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, type TestedCommand } from "../cli.js";
import { commands, documents, links, paths, root, type Said, textOf, words } from "./documents.js";

/** An anchor as renderers make it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
const headings = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!.replaceAll("`", "")));
const packages = readdirSync(join(root, "packages"))
  .map((name) => `packages/${name}`)
  .filter((folder) => existsSync(join(root, folder, "package.json")));
const told = (wrong: readonly Said[]): string[] => wrong.map(({ place, text }) => `${place}: ${text}`);

test("there are documents, with links, paths and commands in them", () => {
  expect(documents.length).toBeGreaterThan(20);
  for (const found of [links(), paths(), commands()]) expect(found.length).toBeGreaterThan(10);
});

test("every link leads to a file that is there, and to a heading that it has", () => {
  expect(
    told(
      links().filter(({ text, folder, place }) => {
        const [file = "", anchor] = text.split("#");
        const target = file === "" ? place.split(":")[0]! : join(folder, file);
        if (!existsSync(resolve(root, target))) return true;
        return anchor !== undefined && target.endsWith(".md") && !headings(textOf(target)).includes(anchor);
      }),
    ),
  ).toEqual([]);
});

test("every path in back ticks is there: from the root, or from its package in a package's README", () => {
  // NAME and its like stand for what a reader chooses.
  expect(
    told(
      paths()
        .filter(({ text }) => !/\/[A-Z]+(\/|$)/.test(text))
        .filter(({ text, folder }) => {
          const path = text.replace(/\/?\*+.*$/, "");
          return ![root, join(root, folder), join(root, folder, "src")].some((from) => existsSync(join(from, path)));
        }),
    ),
  ).toEqual([]);
});

test("npm scripts, test files and programs of ours that a command names are there", () => {
  const wrong = commands().filter(({ text, folder }) => {
    const home = folder.startsWith("packages/") ? folder : "packages/bench";
    const scripts = (where: string): Record<string, string> =>
      (JSON.parse(readFileSync(join(root, where, "package.json"), "utf8")) as { scripts: Record<string, string> })
        .scripts;
    const script = /^npm run ([\w:-]+)/.exec(text)?.[1] ?? /^npm (start|test)\b/.exec(text)?.[1];
    if (script !== undefined) return !["", ...packages].some((where) => script in scripts(where));
    const file =
      /^npx vitest run (\S+)/.exec(text)?.[1] ?? /^(?:node|bash) (\S+)/.exec(text)?.[1] ?? /^cd (\S+)/.exec(text)?.[1];
    if (file === undefined || /^[A-Z]/.test(file) || /^-/.test(file)) return false;
    // A root document's commands for a package begin with a change to it, on the line before.
    const where = [root, join(root, home), join(root, "packages/hw-x86")].find((from) => existsSync(join(from, file)));
    const title = /-t "([^"]+)"/.exec(text)?.[1];
    return where === undefined || (title !== undefined && !readFileSync(join(where, file), "utf8").includes(title));
  });
  expect(told(wrong)).toEqual([]);
});

describe("kreplica commands", () => {
  let kreplica: TestedCommand;
  beforeAll(async () => {
    kreplica = await buildCommand();
  });
  afterAll(() => {
    kreplica.remove();
  });

  test("every command shown is one, and has the options it is shown with", async () => {
    const helps = new Map<string, string>();
    const wrong: string[] = [];
    for (const { text, place } of commands()) {
      const [name, ...rest] = words(text) ?? [];
      if (name === undefined || /^[A-Z]+$/.test(name) || name.startsWith("-")) continue;
      if (!helps.has(name)) {
        const { code, out } = await kreplica.run(["help", name]);
        helps.set(name, code === 0 ? out : "");
      }
      const options = rest.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0]!);
      const unknown = options.filter((option) => !new RegExp(`(^|[ ,])${option}\\b`, "m").test(helps.get(name)!));
      if (helps.get(name) === "" || unknown.length > 0)
        wrong.push(`${place}: ${text}: ${unknown.join(" ") || "no such command"}`);
    }
    expect(helps.size).toBeGreaterThan(4);
    expect(wrong).toEqual([]);
  });
});
