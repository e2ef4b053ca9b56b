/// <reference types="node" />
/** CONTRIBUTING's recipes as steps: files to write, places to put something, lines for a shell. */
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a block of a recipe says to do. */
export type Step =
  | { readonly do: "run"; readonly line: string }
  | { readonly do: "write"; readonly file: string; readonly text: string }
  | {
      readonly do: "before" | "after" | "instead of";
      readonly file: string;
      readonly place: string;
      readonly text: string;
    };

export interface Recipe {
  readonly title: string;
  readonly steps: readonly Step[];
  /** Files that a person edits, as the text says. */
  readonly byHand: number;
}

const FIRST_LINE = /^\/\/ (\S+?)(?:, (before|after|instead of): (.+))?\n/;

function stepsOf(language: string, block: string): Step[] {
  const lines = (): string[] =>
    block
      .split("\n")
      .map((line) => line.replace(/\s+#.*$/, "").trim())
      .filter((line) => line !== "");
  if (language === "sh") return lines().map((line) => ({ do: "run", line }));
  const first = FIRST_LINE.exec(block);
  if (!first) throw new Error(`a recipe's block does not say which file it is: ${block.slice(0, 80)}`);
  const [all, file, how, place] = first;
  const text = block.slice(all.length);
  return [
    how === undefined ? { do: "write", file: file!, text } : { do: how as "before", file: file!, place: place!, text },
  ];
}

/** Every section of CONTRIBUTING that says how many files are edited by hand. @param root of the repository */
export function recipes(root: string): readonly Recipe[] {
  const page = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  return page
    .split(/^## /m)
    .slice(1)
    .flatMap((section): Recipe[] => {
      const byHand = /[Bb]y hand (\d+) files?\b/.exec(section)?.[1];
      if (byHand === undefined) return [];
      const steps = [...section.matchAll(/^```(ts|sh)\n([\s\S]*?)^```/gm)].flatMap(([, language, block]) =>
        stepsOf(language!, block!),
      );
      return [{ title: section.split("\n", 1)[0]!, steps, byHand: Number(byHand) }];
    });
}

/** Does what a step says to do with a file. @throws Error where the place is not there, or not once */
export function edit(root: string, step: Exclude<Step, { readonly do: "run" }>): void {
  const file = join(root, step.file);
  if (step.do === "write") {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, step.text);
    return;
  }
  const before = readFileSync(file, "utf8");
  const times = before.split(step.place).length - 1;
  if (times !== 1) throw new Error(`${step.file} has "${step.place}" ${times} times`);
  const at = before.indexOf(step.place);
  if (step.do === "instead of") {
    writeFileSync(file, before.slice(0, at) + step.text.trimEnd() + before.slice(at + step.place.length));
    return;
  }
  const line = step.do === "before" ? before.lastIndexOf("\n", at) + 1 : before.indexOf("\n", at) + 1;
  writeFileSync(file, before.slice(0, line) + step.text + before.slice(line));
}
