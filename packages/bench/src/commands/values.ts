/**
 * What an option's value may be: numbers within a documented range, one of several words. Told in the help, refused the
 * same way everywhere.
 */
import { didYouMean, InputError } from "@kreplica/inputs";
import { Option } from "commander";
import { inputPath } from "../inputs/input-file.js";
import { grouped } from "../report/units.js";

/** Whole numbers from `least` to `most`, both included. */
export interface Range {
  readonly least: number;
  readonly most: number;
}

/** Ranges that several commands share. */
export const CPU_IDS: Range = { least: 0, most: 4095 };
export const NODE_IDS: Range = { least: 0, most: 63 };
/** The generator has 32 bits of state: larger seeds would repeat what smaller ones draw. */
export const SEEDS: Range = { least: 0, most: 2 ** 32 - 1 };

/**
 * Of the numbers that stand for themselves (CPUs, nodes, seeds) no digit is grouped: they are typed as they are
 * printed.
 */
export const rangeText = ({ least, most }: Range): string => `${grouped(least)} to ${grouped(most)}`;

/** A parser for a whole number in a range. @throws InputError naming the option, and the range */
export function wholeNumber(
  option: string,
  { least, most }: Range = { least: 0, most: 999_999_999_999_999 },
): (text: string) => number {
  return (text) => {
    if (!/^\d+$/.test(text))
      throw new InputError({
        file: option,
        reason: `${JSON.stringify(text)} is not a whole number`,
        remedy: `write digits only: ${least} to ${most}`,
      });
    // Not by comparing alone: digits beyond the fifteenth would be rounded first.
    if (text.replace(/^0+/, "").length > 15)
      throw new InputError({ file: option, reason: `${text} is too large`, remedy: `write ${least} to ${most}` });
    const value = Number(text);
    if (value < least || value > most)
      throw new InputError({
        file: option,
        reason: `${value} is not between ${least} and ${most}`,
        remedy: "choose a number in between",
      });
    return value;
  };
}

/**
 * An option whose value is a whole number; its range stands in the help.
 *
 * @param fallback the value where it is not given, or in words where that comes from
 */
export function numberOption(flags: string, description: string, range: Range, fallback?: number | string): Option {
  const option = new Option(
    flags,
    `${description} (${rangeText(range)}${typeof fallback === "string" ? `; default: ${fallback}` : ""})`,
  );
  option.argParser(wholeNumber(option.long!, range));
  return typeof fallback === "number" ? option.default(fallback) : option;
}

/** Which range an option has, for the test that goes through all of them: a number is told by its flags. */
export const isNumberOption = (option: Option): boolean => /<(number|count)>/.test(option.flags);

/**
 * An option whose value is a file: `-` is standard input, and a pipe is read to its end first, so that it can be opened
 * like a file.
 */
export function fileOption(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.argParser((path: string) => inputPath(path, option.long!));
}

/** Options that take one value each time and may be given again: `--machine a --machine b`. */
const repeatable = new WeakSet<Option>();
/** Whether a second value joins the first, though the option takes one at a time. */
export const isRepeatable = (option: Option): boolean => repeatable.has(option);

/** An option with one value each time that whoever registers it reads himself, however often it stands. */
export function repeatedOption(flags: string, description: string): Option {
  const option = new Option(flags, description);
  repeatable.add(option);
  return option;
}

/** As {@link fileOption}, and may be given again: its value is a list, in the order given. */
export function filesOption(flags: string, description: string): Option {
  const option = repeatedOption(flags, description);
  return option.argParser((path: string, before: unknown) => [
    ...((before as string[] | undefined) ?? []),
    inputPath(path, option.long!),
  ]);
}

/**
 * An option that names several: separated by commas, or given again. Not by spaces, where a file may follow it.
 *
 * @returns one whose value is a list, in the order given, without empty names
 */
export function listOption(flags: string, description: string): Option {
  const option = repeatedOption(flags, `${description}; separated by commas, or given again`);
  return option.argParser((text: string, before: unknown) => [
    ...((before as string[] | undefined) ?? []),
    ...text.split(",").filter((name) => name !== ""),
  ]);
}

/**
 * An option whose value is one of several words, or with `<names...>` several of them; a word that is none gets a
 * suggestion.
 *
 * @param fallback the value where it is not given
 */
export function choiceOption(
  flags: string,
  description: string,
  values: readonly string[],
  fallback?: string | readonly string[],
): Option {
  const option = new Option(flags, description).choices(values);
  const one = (word: string): string => {
    if (!values.includes(word))
      throw new InputError({
        file: option.long!,
        reason: `${JSON.stringify(word)} is none of its values`,
        remedy: didYouMean(word, values),
      });
    return word;
  };
  option.argParser((word: string, before: unknown) => {
    if (!option.variadic) return one(word);
    return Array.isArray(before) && before !== option.defaultValue ? [...(before as string[]), one(word)] : [one(word)];
  });
  return fallback === undefined ? option : option.default(fallback);
}
