/**
 * Man pages, made from what the commands say of themselves: one of kreplica and one of each command. The build writes
 * them to dist/man.
 */
import manifest from "../package.json";
import { programOf } from "./commands/program.js";
import type { Command, Help } from "commander";
import { bold, head, paragraph, prose, section, term, verbatim } from "./report/roff.js";

/** A page by its file's name, `kreplica-compare.1`. */
export interface ManPage {
  readonly file: string;
  readonly text: string;
}

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["COLUMNS", "columns of the screen, 60 to 250, in place of the terminal's own"],
  ["NO_COLOR", "no colours, when set to anything"],
  ["KREPLICA_KEEP", "when 0, no result is kept, and none told again"],
  ["KREPLICA_DEBUG", "when set, an unexpected error says where it came from"],
  ["XDG_CACHE_HOME", "folder below which results and built recorders are kept, in kreplica"],
];

/** @returns the command's own first, the others in the order of the help */
export async function manPages(): Promise<readonly ManPage[]> {
  const program = await programOf();
  const commands = program.commands;
  const about = program.createHelp();
  const names = commands.map((command) => nameOf(command));
  const own = {
    file: "kreplica.1",
    text:
      head("kreplica", manifest.version) +
      section("Name", prose(`kreplica - ${SUMMARY}`)) +
      section("Synopsis", bold("kreplica COMMAND [OPTIONS]")) +
      section("Description", prose(program.description())) +
      section(
        "Commands",
        commands.map((command) => term(command.name(), `${command.summary()}; see ${nameOf(command)}(1)`)).join(""),
      ) +
      parts(program, about) +
      seeAlso(names),
  };
  const others = commands.map((command) => ({
    file: `${nameOf(command)}.1`,
    text:
      head(nameOf(command), manifest.version) +
      section("Name", prose(`${nameOf(command)} - ${command.summary()}`)) +
      section(
        "Synopsis",
        bold(`kreplica ${command.name()} ${about.commandUsage(command).split(" ").slice(2).join(" ")}`.trim()),
      ) +
      section("Description", prose(command.description())) +
      parts(command, about) +
      seeAlso(["kreplica"]),
  }));
  return [own, ...others];
}

const SUMMARY = "an executable model of kernel text and rodata replication on NUMA machines";

const nameOf = (command: Command): string => `kreplica-${command.name()}`;

const seeAlso = (names: readonly string[]): string =>
  section(
    "See also",
    prose(names.map((name) => `${name}(1)`).join(", ")) + paragraph("https://github.com/kreplica/kreplica"),
  );

/** What a command and the program both have. */
function parts(command: Command, about: Help): string {
  const operands = about.visibleArguments(command);
  const below = belowHelp(command);
  const { Examples: examples = "", "Exit codes": codes = "", ...others } = below;
  return (
    (operands.length === 0
      ? ""
      : section(
          "Arguments",
          operands.map((each) => term(about.argumentTerm(each), about.argumentDescription(each))).join(""),
        )) +
    section(
      "Options",
      about
        .visibleOptions(command)
        .map((each) => term(about.optionTerm(each), about.optionDescription(each)))
        .join(""),
    ) +
    Object.entries(others)
      .map(([title, text]) => section(title, verbatim(text)))
      .join("") +
    section("Exit status", rows(codes, /^ *(\d+) {2}(.*)$/)) +
    section("Environment", ENVIRONMENT.map(([name, what]) => term(name, what)).join("")) +
    section("Examples", rows(examples, /^ {2}(\S.*?)(?: {2,}(\S.*))?$/))
  );
}

/** Lines of a list as terms; what is set in further belongs to the one before. */
function rows(text: string, form: RegExp): string {
  const found: [string, string][] = [];
  for (const each of text.split("\n").filter((one) => one.trim() !== "")) {
    const [, name, what = ""] = form.exec(each) ?? [];
    if (name !== undefined) found.push([name, what]);
    else found.at(-1)![1] += ` ${each.trim()}`;
  }
  return found.map(([name, what]) => term(name, what)).join("");
}

/** What stands below a command's help, by its headings. */
function belowHelp(command: Command): Readonly<Record<string, string>> {
  let whole = "";
  command.configureOutput({
    writeOut: (text) => {
      whole += text;
    },
  });
  command.outputHelp();
  const text = whole.slice(command.helpInformation().length);
  return Object.fromEntries(
    text
      .split(/\n(?=\S.*:\n)/)
      .map((part) => /^(\S.*):\n([^]*)$/.exec(part.trimStart()))
      .filter((part) => part !== null)
      .map(([, title, body]) => [title!, body!]),
  );
}
