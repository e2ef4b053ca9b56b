/** What a command is: a function that registers itself, and the few things it may touch of the process it runs in. */
import type { Command } from "commander";
import { type Progress, type Screen, wrap } from "../report/terminal.js";

/** The process, as commands see it: text goes here, nowhere else. */
export interface CommandContext {
  /** Text of a report, or a JSON document, to standard output. */
  print(text: string): void;
  /** A remark that is no part of the result, to standard error, on a line of its own. */
  remark(text: string): void;
  /** What standard output is shown on. */
  readonly screen: Screen;
  /** A progress line; silent unless standard error is a terminal. */
  readonly progress: Progress;
  /** The command ran to its end, but a check does not hold: exit code 1. */
  checkFailed(): void;
  /** The command ran to its end, and what it was to find it did not: exit code 3. */
  notSeen(): void;
}

/**
 * Adds one command, or a few, to the program. Its action may be asynchronous; bad input is thrown as InputError (exit
 * code 2), a check that does not hold is told through {@link CommandContext.checkFailed} (exit code 1), a defect that
 * was looked for in vain through {@link CommandContext.notSeen} (exit code 3).
 */
export type RegisterCommand = (program: Command, context: CommandContext) => void;

/** Text below a command's help: examples, one a line, and what they do. */
export const examples = (...lines: readonly (readonly [command: string, does: string])[]): string => {
  const width = Math.max(...lines.map(([command]) => command.length)) + 2;
  // What would stand beyond the hundredth column stands below its command.
  const line = ([command, does]: readonly [string, string]): string =>
    2 + width + does.length <= 100 ? `  ${command.padEnd(width)}${does}` : `  ${command}\n      ${does}`;
  return `\nExamples:\n${lines.map(line).join("\n")}\n`;
};

/**
 * Help as it is shown on a screen of so many columns: what an example does stands below it where both do not fit on a
 * line.
 */
export const helpOn = (columns: number, text: string): string =>
  text
    .split("\n")
    .flatMap((line) => {
      if (line.length <= columns) return [line];
      const [, command, does] =
        /^( {2}(?:kreplica|numactl|mlc) .*?) {2,}(\S.*)$/.exec(line) ??
        /^()() {6}(\S.*)$/.exec(line)?.filter((_, i) => i !== 2) ??
        [];
      return does === undefined
        ? [line]
        : [...(command === "" ? [] : [command!]), ...wrap(does, columns - 6).map((part) => `      ${part}`)];
    })
    .join("\n");

/** Text below every help. */
export const exitCodes =
  "\nExit codes:\n  0  fine\n  1  a check does not hold\n  2  bad input or usage\n  3  a defect that was looked for was not seen\n 70  a fault in kreplica itself: please report it\n";
