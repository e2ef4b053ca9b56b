/** Page sizes and the way addresses are written stand once, in hw-x86. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const packages = resolve(import.meta.dirname, "../../..");
const HOME = "hw-x86/src/addr.ts";
/** Where such a number is something else, or what says it may not know hw-x86. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "trace/src/guest.ts": "the package reads recordings and needs no machine",
  "trace/src/statistics.ts": "entries of a table",
  "hw-x86/src/isa/block.ts": "the interpreter's hot path works with halves and short numbers",
  "hw-x86/src/isa/string.ts": "the interpreter's hot path works with halves and short numbers",
  "hw-x86/src/isa/system.ts": "bits of CR4",
  "kernel-files/src/testing/small-kernel.ts": "a header that a file is made of, field by field",
  "trace/src/survey.ts": "the package reads recordings and needs no machine",
};

/** Sizes as numbers and as bigints, and the masks made of them. */
const SIZE = String.raw`(?:4096n?|0x1000n?|0x20_0000n?|2097152n?|0x4000_0000n|1n? << 12n?|1n? << 21n?|2 \*\* 12|2 \*\* 21)`;
const RULES: readonly [rule: string, pattern: RegExp][] = [
  ["names a page size", new RegExp(String.raw`\b\w*(?:PAGE|LARGE(?!ST)|HUGE|LEAF)\w*(?:: \w+)? = ${SIZE}\s*[,;]`)],
  ["counts a large page's pages", /\b\w*(?:LARGE|HUGE)\w*(?:: \w+)? = (?:512|262144|0x200|0x4_0000)n?\s*[,;]/],
  ["writes a page size out", /(?<![\w$])(?:4096n|4095n|0x20_0000n|2097152n|0x1f_ffffn)(?!\w)/],
  ["works with the number of a page's bytes", /[*/%] 4096(?!\w)|(?<![\w$])4096 [-*]|Array\(4096\)/],
  ["has its own hex", /\b(?:const|function) hex\b/],
  ["has its own hex by another name", /=> ?`0x\$\{(?:BigInt\.asUintN\(64, )?\w+\)?\.toString\(16\)\}`/],
];

/** What a source does that only {@link HOME} may. */
function faults(text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  return RULES.filter(([, pattern]) => pattern.test(code)).map(([rule]) => rule);
}

const sources = readdirSync(packages).flatMap((name) =>
  readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => relative(packages, join(packages, name, "src", file))),
);

test("no source but hw-x86's addr.ts has a page size or a hex of its own", () => {
  const found = sources
    .filter((file) => file !== HOME && !(file in ELSEWHERE))
    .flatMap((file) => faults(readFileSync(join(packages, file), "utf8")).map((rule) => `${file} ${rule}`));
  expect(found).toEqual([]);
});

test("each exception is one, and is there", () => {
  for (const file of Object.keys(ELSEWHERE))
    expect([file, faults(readFileSync(join(packages, file), "utf8")).length > 0]).toEqual([file, true]);
});

test.each([
  ["const PAGE = 4096;", "names a page size"],
  ["const STACK = 1,\n  PAGE_BYTES = 0x1000n;", "names a page size"],
  ["const LARGE_PAGE = 2 ** 21;", "names a page size"],
  ["export const HUGE_PAGES = 512;", "counts a large page's pages"],
  ["const end = start + BigInt(pages) * 4096n;", "writes a page size out"],
  ["const down = address & ~4095n;", "writes a page size out"],
  ["const bytes = pages * 4096;", "works with the number of a page's bytes"],
  ["const page = new Uint8Array(4096);", "works with the number of a page's bytes"],
  ["const hex = (bytes: Uint8Array) => join(bytes);", "has its own hex"],
  ["const name = (at: bigint): string => `0x${at.toString(16)}`;", "has its own hex by another name"],
])("%s is seen", (text, rule) => {
  expect(faults(text)).toContain(rule);
});

test("what only looks like one is not: a comment, a count, a mask of control bits", () => {
  expect(faults("/** 4096 bytes, 4096n of them */ const VCPUS = 4096; const CR4_SMAP = 0x20_0000; // * 4096")).toEqual(
    [],
  );
});
