/// <reference types="node" />
/** House rule one-place: an error code means one thing, and what is said with it names the one place that said it. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const PACKAGES = new URL("../../", import.meta.url);

interface Place {
  readonly error: string;
  readonly code: string;
  readonly detail: string;
  readonly file: string;
}

/**
 * Every `new SomethingError("code", ...)` of a text, with the last string it is given: its detail, or the remedy where
 * that follows.
 */
function places(text: string, file: string): Place[] {
  return [...text.matchAll(/new (\w+Error)\("([a-z-]+)",/g)].map((match) => {
    let depth = 1;
    let end = match.index + match[0].length;
    for (; depth > 0 && end < text.length; end++) {
      if (text[end] === "(") depth++;
      if (text[end] === ")") depth--;
    }
    return {
      error: match[1]!,
      code: match[2]!,
      detail: text.slice(match.index + match[0].length, end - 1).trim(),
      file,
    };
  });
}

/** What an error is told beside its code, as written: two places that are told the same cannot be told apart. */
function repeated(all: readonly Place[]): string[] {
  const first = new Map<string, string>();
  return all.flatMap(({ error, code, detail, file }) => {
    const name = `${error} ${code}: ${(/["`].*/s.exec(detail) ?? [detail])[0]}`;
    const other = first.get(name);
    first.set(name, other ?? file);
    return other === undefined ? [] : [`${name} (${other} and ${file})`];
  });
}

const sources = readdirSync(PACKAGES).flatMap((name) =>
  readdirSync(new URL(`${name}/`, PACKAGES)).includes("src")
    ? readdirSync(new URL(`${name}/src/`, PACKAGES), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts") && !file.startsWith("testing"))
        .map((file) => `${name}/src/${file}`)
    : [],
);
const all = sources.flatMap((file) => places(readFileSync(new URL(file, PACKAGES), "utf8"), file));

test("no two places throw a code with the same detail", () => {
  expect(all.length).toBeGreaterThan(80);
  expect(repeated(all)).toEqual([]);
});

test("two that do are told, whatever the address", () => {
  const twice =
    'if (a) throw new MmError("misaligned", address, "not on a page");\nthrow new MmError("misaligned", at(start), "not on a page");';
  expect(repeated(places(twice, "here"))).toEqual(['MmError misaligned: "not on a page" (here and here)']);
  expect(repeated(places(twice.replace("not on a page", "odd"), "here"))).toEqual([]);
});
