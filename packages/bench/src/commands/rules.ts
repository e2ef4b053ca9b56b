/**
 * Which options go together. Declared with a command, refused before it begins: an option is obeyed or refused, never
 * taken and ignored. Only what the user gave counts; defaults never clash.
 */
import { InputError } from "@kreplica/inputs";
import type { Command } from "commander";

/** Options are named by their long flags, `--from`. */
export type Rule =
  /**
   * Beside `beside`, no options but these (and `--json`, `--fresh`): all others are about something else that the
   * command does.
   */
  | { readonly beside: string; readonly only: readonly string[]; readonly because: string }
  /** `option` means nothing without `needs` (or the other one named), or with these values of it. */
  | {
      readonly option: string;
      readonly needs: string;
      readonly or?: string;
      readonly otherThan?: readonly string[];
    }
  /** The two exclude each other. */
  | { readonly option: string; readonly not: string; readonly because: string };

/** How a result is shown, and whether it may be a kept one, can be said beside anything. */
const EVERYWHERE = ["--json", "--fresh"];

/** Declares the rules of a command. @returns the command */
export function declareRules(command: Command, rules: readonly Rule[]): Command {
  return command.hook("preAction", (_, action) => {
    for (const rule of rules) apply(rule, action);
  });
}

/** Long flags of the options that stand on the command line. Of `--work` and `--no-work`, which share a value, one. */
const givenTo = (command: Command): string[] =>
  command.options
    .filter(
      (option) =>
        command.getOptionValueSource(option.attributeName()) === "cli" &&
        (command.getOptionValue(option.attributeName()) === false) === option.negate,
    )
    .map((option) => option.long!);

function apply(rule: Rule, command: Command): void {
  const given = givenTo(command);
  const refuse = (option: string, reason: string, remedy: string): never => {
    throw new InputError({ file: option, reason, remedy });
  };
  if ("beside" in rule) {
    if (!given.includes(rule.beside)) return;
    const other = given.find((each) => each !== rule.beside && !EVERYWHERE.includes(each) && !rule.only.includes(each));
    if (other !== undefined)
      refuse(other, `means nothing beside ${rule.beside}: ${rule.because}`, "leave one of them out");
    return;
  }
  if (!given.includes(rule.option)) return;
  if ("not" in rule) {
    if (given.includes(rule.not))
      refuse(rule.option, `means nothing beside ${rule.not}: ${rule.because}`, "leave one of them out");
    return;
  }
  const attribute = command.options.find((option) => option.long === rule.needs)!.attributeName();
  if (rule.or !== undefined && given.includes(rule.or)) return;
  if (!given.includes(rule.needs)) {
    const needed = rule.or === undefined ? rule.needs : `${rule.needs} or ${rule.or}`;
    refuse(rule.option, `given without ${needed}`, `add ${needed}, or leave it out`);
  }
  const value = String(command.getOptionValue(attribute));
  if (rule.otherThan?.includes(value))
    refuse(rule.option, `given with ${rule.needs} ${value}`, `choose another value of ${rule.needs}, or leave it out`);
}
