/**
 * Ranges are given in one spelling, as one value: PageRange where whole pages are meant, AddressRange for bytes.
 * Neither a door (the API reports list them) nor a function behind one takes the two ends, or a start and a length, one
 * by one.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const packages = join(import.meta.dirname, "../../..");
/** Two parameters beside each other: where something starts, and where it ends or how long it is. */
const PAIR =
  /\b(start|from|first|low|base|address|virtual|va): bigint,\s*(?:(?:private|readonly) )*(end|to|last|high|limit|pages|bytes|length|size|count): (bigint|number)\b/g;
/** What makes ranges of ends, what looks at branches (a jump's place and its target), an access that a CPU makes. */
const ALLOWED = [
  /trace(\.api\.md|\/src\/encoder\.ts): access\(/,
  /hw-x86\.api\.md: (pagesBetween|bytesAt)\(/,
  /hw-x86\/src\/page-range\.ts: (pagesBetween|bytesAt)/,
  /text-patch(\.api\.md|\/src\/(encode|users\/move-code)\.ts): (branch32|jump8|moveInstruction|moveRun)/,
];

/** The pairs in a text, each with the function whose parameters they are. */
function pairs(text: string, file: string): string[] {
  return [...text.matchAll(PAIR)].map((found) => {
    const before = text.slice(0, found.index);
    const name = /([\w$]+)\s*[=:]?\s*(?:<[^<>()]*>)?\s*\((?:[^()]|\([^()]*\))*$/.exec(before)?.[1] ?? "";
    return `${file}: ${name}(${found[0].replace(/\s+/g, " ")})`;
  });
}

test("no function takes a range as two parameters", () => {
  const found = readdirSync(packages).flatMap((name) => {
    const report = join(packages, name, "etc", `${name}.api.md`);
    const sources = readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.tsx?$/.test(file))
      .flatMap((file) => pairs(readFileSync(join(packages, name, "src", file), "utf8"), `${name}/src/${file}`));
    return existsSync(report) ? [...pairs(readFileSync(report, "utf8"), `${name}.api.md`), ...sources] : sources;
  });
  for (const allowed of ALLOWED) expect(found.some((each) => allowed.test(each))).toBe(true);
  expect(found.filter((each) => !ALLOWED.some((allowed) => allowed.test(each)))).toEqual([]);
});

test("a pair is found however it is written", () => {
  const written =
    "interface A { read(root: Frame, start: bigint, pages: number): void }\nconst f = (\n  low: bigint,\n  high: bigint,\n) => 0;";
  expect(pairs(written, "a")).toEqual(["a: read(start: bigint, pages: number)", "a: f(low: bigint, high: bigint)"]);
  expect(pairs("f(start: bigint, align: bigint, pages: number)", "a")).toEqual([]);
});
