/// <reference types="node" />
/**
 * Man pages: one a command, with every option, argument and example of its help, listed in the manifest; set by man
 * without a warning, where there is one.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import manifest from "../package.json";
import { manPages } from "../src/man-pages.js";
import { registered } from "./invoke.js";

const pages = await manPages();
const commands = await registered();
const textOf = (name: string): string => pages.find(({ file }) => file === `${name}.1`)!.text;
/** As it is read: requests and escapes gone. */
const read = (text: string): string =>
  text.replaceAll("\\-", "-").replaceAll("\\(dq", '"').replaceAll("\\&", "").replaceAll("\\e", "\\");
const sections = (text: string): string[] => [...text.matchAll(/^\.SH "(.*)"$/gm)].map(([, title]) => title!);

test("one of the command and one of each, as the manifest lists them", () => {
  const files = ["kreplica.1", ...commands.map((command) => `kreplica-${command.name()}.1`)];
  expect(pages.map(({ file }) => file)).toEqual(files);
  expect(manifest.man).toEqual(files.map((file) => `./dist/man/${file}`));
});

describe.each(commands.map((command) => [command.name(), command] as const))("%s", (name, command) => {
  const text = textOf(`kreplica-${name}`);

  test("has its sections, in the order of other man pages", () => {
    const wanted = [
      "NAME",
      "SYNOPSIS",
      "DESCRIPTION",
      "ARGUMENTS",
      "OPTIONS",
      "EXIT STATUS",
      "ENVIRONMENT",
      "EXAMPLES",
      "SEE ALSO",
    ];
    const found = sections(text);
    expect(found.filter((title) => wanted.includes(title))).toEqual(
      wanted.filter((title) => title !== "ARGUMENTS" || command.registeredArguments.length > 0),
    );
    expect(text).toContain(`.SH "NAME"\nkreplica\\-${name} \\- `);
    // No section is empty.
    expect(text).not.toMatch(/^\.SH .*\n(\.SH|$(?![^]))/m);
  });

  test("has every option and argument, with what it does", () => {
    for (const { flags, description } of command.options)
      expect(read(text)).toContain(`.TP\n.B "${flags}"\n${description}`);
    expect(read(text)).toContain('.TP\n.B "-h, --help"\n');
    for (const argument of command.registeredArguments)
      expect(read(text)).toContain(`.TP\n.B "${argument.name()}"\n${argument.description}`);
  });

  test("has the exit codes", () => {
    for (const code of [0, 1, 2, 3, 70]) expect(text).toMatch(new RegExp(`\\.TP\\n\\.B "${code}"\\n\\S`));
  });

  test("has all examples of its help", () => {
    let help = "";
    command.configureOutput({ writeOut: (part) => (help += part) });
    command.outputHelp();
    const examples = help
      .split("\nExamples:\n")[1]!
      .split("\n\n")[0]!
      .split("\n")
      .filter((line) => /^ {2}\S/.test(line));
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      const [line, does = ""] = example.trim().split(/ {2,}/);
      expect(read(text)).toContain(`.TP\n.B "${line!}"\n${does}`);
    }
  });

  test("no line but a request begins like one", () => {
    for (const line of text.split("\n")) if (/^[.']/.test(line)) expect(line).toMatch(/^\.(TH|SH|TP|PP|B|nf|fi)( |$)/);
  });
});

test("kreplica.1 lists every command with what it is for", () => {
  for (const command of commands)
    expect(read(textOf("kreplica"))).toContain(
      `.B "${command.name()}"\n${command.summary()}; see kreplica-${command.name()}(1)`,
    );
});

test("what is written like a request, with backslashes or quotes, is set as it is", async () => {
  const { term, verbatim } = await import("../src/report/roff.js");
  expect(term('--a "b\\c"', ".dot")).toBe('.TP\n.B "\\-\\-a \\(dqb\\ec\\(dq"\n\\&.dot\n');
  expect(verbatim("  a\n'b\n")).toBe(".PP\n.nf\n  a\n\\&'b\n.fi\n");
});

const hasMan = spawnSync("man", ["--version"]).status === 0 && spawnSync("groff", ["--version"]).status === 0;
test.skipIf(!hasMan)(
  "man sets each without a warning, and shows an option as it is typed (needs man and groff)",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "kreplica-man-"));
    try {
      for (const { file, text } of pages) {
        writeFileSync(join(folder, file), text);
        expect(
          spawnSync("groff", ["-man", "-ww", "-z", "-Tutf8", join(folder, file)], { encoding: "utf8" }).stderr,
          file,
        ).toBe("");
      }
      const shown = execFileSync("man", ["-P", "cat", "-l", join(folder, "kreplica-check.1")], {
        encoding: "utf8",
        env: { ...process.env, MANWIDTH: "80", LC_ALL: "C.UTF-8", MANPAGER: "cat" },
      });
      // eslint-disable-next-line no-control-regex -- overstruck letters are bold
      expect(shown.replaceAll(/.\u0008/g, "")).toMatch(/\n +--late-memory\n +memory of the last node/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
