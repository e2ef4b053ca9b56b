/** Runs one command line: registers the commands, turns what is thrown into one line and an exit code. */
import { InputError, nearest } from "@kreplica/inputs";
import { Command, CommanderError } from "commander";
import { NO_EXTENSIONS, useExtensions, useTextProfile } from "@kreplica/kernel";
import { beginInputs, withShownPaths } from "../inputs/input-file.js";
import { loadPlugins } from "../plugin-file.js";
import { type CommandContext, examples, exitCodes, helpOn, type RegisterCommand } from "./command.js";
import { keptRuns, useKeptRuns } from "../kept-runs.js";
import { addFreshOption, foundRunsText, type Keeping, keptRunsOf, Telling, ToldAgain } from "./kept.js";
import { isRepeatable, repeatedOption } from "./values.js";
import { shippedTextProfile } from "../text-profile.js";

/** Exit codes of every command. */
export const enum ExitCode {
  Fine = 0,
  CheckFailed = 1,
  BadInput = 2,
  NotSeen = 3,
  Fault = 70,
}

/** What of the process a run needs. */
export interface RunSurroundings {
  readonly version: string;
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  readonly screen: CommandContext["screen"];
  readonly progress: CommandContext["progress"];
  /** Show stacks. */
  readonly debug: boolean;
  /** Absent: every result is computed. */
  readonly keep?: Keeping | undefined;
}

/** @returns the exit code; never throws */
export async function run(
  given: readonly string[],
  commands: readonly RegisterCommand[],
  surroundings: RunSurroundings,
): Promise<number> {
  const { screen, progress, debug, version } = surroundings;
  const { keep } = surroundings;
  const telling = keep && new Telling(keep);
  const tell = (to: "out" | "error", text: string): void => {
    const shown = withShownPaths(text);
    telling?.hear(to, shown);
    surroundings[to](shown);
  };
  const out = (text: string): void => tell("out", text);
  const error = (text: string): void => tell("error", text);
  let outcome: ExitCode = ExitCode.Fine;
  const program = new Command("kreplica")
    .description(
      "An executable model of kernel text and rodata replication on NUMA machines (x86-64, a Linux RFC of 12 patches): boots a kernel on a modelled machine, replays recorded kernel traces, and says what replication gains and costs.",
    )
    .version(version, "-v, --version", "print the version")
    // Behind a command's name, -v is the command's.
    .enablePositionalOptions()
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show a command's help")
    .configureHelp({ helpWidth: screen.columns, minWidthToWrap: 16, showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => out(helpOn(screen.columns, text)),
      writeErr: (text) => error(helpOn(screen.columns, text)),
      outputError: (text, write) =>
        write(
          `kreplica: ${text
            .replace(/^error: /, "")
            .trim()
            .replace(/\n\(Did you mean ([^)]*)\)$/, "; did you mean $1")}\n`,
        ),
    })
    .showSuggestionAfterError(true)
    .exitOverride();
  const words = [...given];
  const last = words.indexOf("--");
  for (const [at, word] of words.entries()) if (word === "--no-pti" && (last < 0 || at < last)) words[at] = "--pti=off";
  const context: CommandContext = {
    print: out,
    remark: (text) => error(`kreplica: ${text}\n`),
    screen,
    progress,
    checkFailed: () => {
      outcome = ExitCode.CheckFailed;
    },
    notSeen: () => {
      outcome = ExitCode.NotSeen;
    },
  };
  beginInputs((text) => context.remark(text));
  useExtensions(NO_EXTENSIONS);
  useTextProfile(shippedTextProfile);
  let pluginFault: unknown;
  try {
    // Before anything else is read: what the other options may say depends on it.
    useExtensions(await loadPlugins(pluginFiles(words)));
  } catch (thrown) {
    pluginFault = thrown;
  }
  for (const register of commands) register(program, context);
  for (const command of program.commands) refuseRepetition(command);
  // May stand several times. Read already.
  for (const command of program.commands)
    command.addOption(
      repeatedOption(
        "--plugin <file>",
        "JavaScript or TypeScript that adds policies, machines, overlays and invariants: see docs/own-plugins.md",
      ),
    );
  for (const command of program.commands) addFreshOption(command);
  useKeptRuns(undefined);
  program.hook("preAction", (_, command) => {
    telling?.begin(command, given, screen, tell);
    useKeptRuns(keep && keptRunsOf(keep, command));
  });
  for (const command of program.commands) command.showHelpAfterError(`Try: kreplica ${command.name()} --help`);
  program.showHelpAfterError("Try: kreplica --help");
  program.addHelpText(
    "after",
    examples(
      ["kreplica machine", "the machines that come with kreplica"],
      ["kreplica machine --help", "a command's options and examples"],
    ) + exitCodes,
  );

  try {
    if (pluginFault !== undefined) throw pluginFault;
    if (words.length === 0) {
      program.outputHelp({ error: true });
      return ExitCode.BadInput;
    }
    const [first, about] = words;
    if (first === "help" && about !== undefined && !about.startsWith("-") && about !== "help")
      unknownUnless(program, about);
    // As older versions had it, and many another program.
    await program.parseAsync(first === "-V" ? ["--version"] : [...words], { from: "user" });
    telling?.end(outcome);
    const runs = keptRuns();
    // Not part of what is told again.
    if (runs && keep?.watched) surroundings.error(foundRunsText(runs));
    return outcome;
  } catch (thrown) {
    progress.stop();
    if (thrown instanceof ToldAgain) return thrown.code;
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? ExitCode.Fine : ExitCode.BadInput;
    const stack = debug && thrown instanceof Error ? `${thrown.stack}\n` : "";
    if (thrown instanceof InputError) {
      error(`kreplica: ${thrown.message.replaceAll("\n", "\nkreplica: ")}\n${stack}`);
      return ExitCode.BadInput;
    }
    const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    error(
      `kreplica: a fault in kreplica itself: ${message.split("\n")[0]!}${debug ? "" : " (KREPLICA_DEBUG=1 shows where)"}\n${stack}`,
    );
    return ExitCode.Fault;
  }
}

/** The files that `--plugin` names, as commander will read them. */
function pluginFiles(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  const before = end < 0 ? words : words.slice(0, end);
  return before.flatMap((word, at) => {
    if (word.startsWith("--plugin=")) return [word.slice("--plugin=".length)];
    return word === "--plugin" && at + 1 < before.length ? [before[at + 1]!] : [];
  });
}

/** An option with one value means what it was given: a second value would silently take the place of the first. */
function refuseRepetition(command: Command): void {
  for (const option of command.options) {
    if (!option.required || option.variadic || isRepeatable(option)) continue;
    let first: string | undefined;
    command.on(`option:${option.name()}`, (value: string) => {
      if (first !== undefined && first !== value)
        throw new InputError({
          file: option.long!,
          reason: `given twice, ${JSON.stringify(first)} and ${JSON.stringify(value)}`,
          remedy: "leave one of them out",
        });
      first = value;
    });
  }
}

/** `help nosuch` names what there is no help for, as `nosuch` alone does. @throws CommanderError */
function unknownUnless(program: Command, name: string): void {
  const names = program.commands.map((command) => command.name());
  if (names.includes(name)) return;
  const meant = nearest(name, names);
  program.error(`error: unknown command '${name}'${meant === undefined ? "" : `\n(Did you mean ${meant}?)`}`);
}
