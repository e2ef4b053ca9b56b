/**
 * Every option of every command: numbers have a range that the help tells and the parser keeps, words that are none get
 * a suggestion.
 */
import { didYouMean, nearest } from "@kreplica/inputs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isNumberOption } from "../src/commands/values.js";
import { invoke, registered } from "./invoke.js";

const commands = await registered();
const options = commands.flatMap((command) =>
  command.options.map((option) => [`${command.name()} ${option.long}`, command, option] as const),
);
const numbers = options.filter(([, , option]) => isNumberOption(option));
const choices = options.filter(([, , option]) => option.argChoices !== undefined);
/** As typed by somebody who wants that value. */
const needed: Readonly<Record<string, string[]>> = { modules: ["--kernel", "x"], bpf: ["x.o"] };
const refusal = async (words: readonly string[]): Promise<string> => {
  const { code, out, error } = await invoke(words);
  expect([words, code, out]).toEqual([words, 2, ""]);
  return error;
};

test("there are commands, numbers and choices to go through", () => {
  expect([commands.length >= 9, numbers.length >= 15, choices.length >= 20]).toEqual([true, true, true]);
});

describe.each(numbers)("%s", (_name, command, option) => {
  const given = (value: string): string[] => [command.name(), ...(needed[command.name()] ?? []), option.long!, value];
  const [, low, high] = /\(([\d,]+) to ([\d,]+)[);]/.exec(option.description) ?? [];
  const [least, most] = [low, high].map((text) => Number(text?.replaceAll(",", "")));

  test("the help tells the range, which holds the default", () => {
    expect(low, option.description).toBeDefined();
    expect(least).toBeLessThan(most!);
    if (typeof option.defaultValue === "number")
      expect([option.defaultValue >= least!, option.defaultValue <= most!]).toEqual([true, true]);
  });

  test("what is outside is refused with the range, what is no number as such", async () => {
    for (const value of [most! + 1, ...(least! > 0 ? [least! - 1] : [])])
      expect(await refusal(given(String(value)))).toContain(
        `${option.long}: ${value} is not between ${least} and ${most}`,
      );
    for (const value of ["1.5", "x", "", "1e3", "0x10", "-1"])
      expect(await refusal(given(value))).toMatch(new RegExp(`^kreplica: ${option.long}: .* is not a whole number`));
    expect(await refusal(given("9".repeat(22)))).toContain("is too large");
    expect([option.parseArg!(String(least), undefined), option.parseArg!(String(most), undefined)]).toEqual([
      least,
      most,
    ]);
  });
});

describe.each(choices)("%s", (_name, command, option) => {
  test("a word that is none is refused; one that is nearly one gets it suggested", async () => {
    const given = (value: string): string[] => [command.name(), ...(needed[command.name()] ?? []), option.long!, value];
    const first = option.argChoices!.slice(0, 3).join(", ");
    // What there is of policies, plugin files add to.
    expect(await refusal(given("qqqqqqqq"))).toContain(
      option.long === "--policy"
        ? `--policy: there is no policy qqqqqqqq. Choose one of ${first}`
        : `${option.long}: "qqqqqqqq" is none of its values. Choose from ${first}`,
    );
    const long = option.argChoices!.find((each) => each.length > 3);
    if (long !== undefined) expect(await refusal(given(`${long}x`))).toContain(`Did you mean ${long}?`);
  });
});

test("a command that is none is named, whoever asks", async () => {
  expect(await invoke(["help", "nosuch"])).toEqual({
    code: 2,
    out: "",
    error: "kreplica: unknown command 'nosuch'\nTry: kreplica --help\n",
  });
  expect((await invoke(["help", "tabels"])).error).toBe(
    "kreplica: unknown command 'tabels'; did you mean tables?\nTry: kreplica --help\n",
  );
  for (const words of [["help"], ["help", "boot"], ["boot", "--help"]]) expect((await invoke(words)).code).toBe(0);
  for (const words of [["-v"], ["-V"], ["--version"]])
    expect(await invoke(words)).toEqual({ code: 0, out: "0\n", error: "" });
});

test("suggestions: what was swapped, left out, capitalised, or begun; nothing where nothing is near", () => {
  const known = ["xfs", "ext4", "nf_tables", "xeon-8280-4s", "xeon-8260-8s", "fork-1", "fork-1024", "mmap/munmap"];
  expect(
    ["xsf", "Ext4", "nftables", "xeon8280", "fork1", "forc-1024", "mmapmunmap", "kvm", "", "x".repeat(500)].map(
      (word) => nearest(word, known),
    ),
  ).toEqual([
    "xfs",
    "ext4",
    "nf_tables",
    "xeon-8280-4s",
    "fork-1",
    "fork-1024",
    "mmap/munmap",
    undefined,
    undefined,
    undefined,
  ]);
  expect([didYouMean("xsf", known), didYouMean("kvm", ["a", "b"]), didYouMean("kvm", [], "see the list")]).toEqual([
    "did you mean xfs?",
    "choose from a, b",
    "see the list",
  ]);
  expect(
    didYouMean(
      "zzzzzz",
      Array.from({ length: 40 }, (_, i) => `m${i}`),
    ),
  ).toMatch(/m23 and 16 more$/);
});

test("a known word with one letter changed, lost, doubled or swapped is found again among words that are far from each other", () => {
  const known = ["single-copy", "per-node", "text-only", "lazy-pgd", "home-node", "every-nth", "per-socket"];
  fc.assert(
    fc.property(
      fc.constantFrom(...known),
      fc.nat(),
      fc.constantFrom("change", "lose", "double", "swap"),
      (word, where, how) => {
        const at = where % (word.length - 1);
        const typed =
          word.slice(0, at) +
          { change: "q", lose: "", double: word[at]! + word[at]!, swap: word[at + 1]! + word[at]! }[how] +
          word.slice(at + (how === "swap" ? 2 : 1));
        expect(nearest(typed, known)).toBe(word);
      },
    ),
  );
});
