/**
 * Which mutants are looked at: a part of Stryker that scripts/mutate.mjs hands it where not all of them are wanted.
 *
 * Stryker chooses by lines, which says nothing of how many mutants those have: most of a sample would come from long
 * statements. Here every mutant of the files has the same chance. It is a "checker" to Stryker, whose business is to
 * set mutants aside before any test is run; it gets all of them at once, which is what a draw needs.
 */
import { createHash } from "node:crypto";
import { relative } from "node:path";

/** What the report says of a mutant that was set aside. */
export const NOT_DRAWN = "not drawn";

/** A mutant's place and kind, the same in Stryker's report and before it. @param line and column from 1 */
export const identity = (file, mutatorName, { line, column }, replacement) =>
  JSON.stringify([file, mutatorName, line, column, replacement ?? ""]);

class Drawn {
  static inject = ["options"];
  #drawn;

  constructor({ drawn: { folder, sample, seed, only } }) {
    this.wanted = { folder, sample, seed, only: only && new Set(only) };
  }

  async init() {}

  /**
   * Draws.
   * @returns those drawn, and those set aside
   * @throws Error where it is asked twice: each would be a part only
   */
  async group(mutants) {
    if (this.#drawn !== undefined) throw new Error("Stryker hands its mutants over in parts: none can be drawn evenly");
    const { folder, sample, seed, only } = this.wanted;
    const identityOf = ({ fileName, mutatorName, location: { start }, replacement }) =>
      identity(
        relative(folder, fileName),
        mutatorName,
        { line: start.line + 1, column: start.column + 1 },
        replacement,
      );
    let drawn = mutants.map((mutant) => ({ id: mutant.id, identity: identityOf(mutant) }));
    if (only !== undefined) drawn = drawn.filter(({ identity }) => only.has(identity));
    // By what a mutant is, not by its number: what is added elsewhere leaves most of the sample as it was.
    const lot = ({ identity }) => createHash("sha256").update(`${seed} ${identity}`).digest("hex");
    if (sample !== undefined)
      drawn = drawn
        .map((each) => ({ ...each, lot: lot(each) }))
        .sort((a, b) => (a.lot < b.lot ? -1 : a.lot > b.lot ? 1 : 0))
        .slice(0, sample);
    const taken = drawn.map(({ id }) => id);
    this.#drawn = new Set(taken);
    const left = mutants.map(({ id }) => id).filter((id) => !this.#drawn.has(id));
    return [taken, left].filter(({ length }) => length > 0);
  }

  async check(mutants) {
    return Object.fromEntries(
      mutants.map(({ id }) => [
        id,
        this.#drawn.has(id) ? { status: "passed" } : { status: "compileError", reason: NOT_DRAWN },
      ]),
    );
  }
}

/** Says what survives as soon as it has: a run takes long, and may be ended before its end. */
class Told {
  onMutantTested({ fileName, mutatorName, location: { start }, replacement, status }) {
    if (status !== "Survived" && status !== "NoCoverage") return;
    const [place, to] = [`${start.line}:${start.column}`, (replacement ?? "").split("\n")[0]];
    process.stderr.write(`${status} ${fileName}:${place} ${mutatorName} -> ${to}\n`);
  }
}

export const strykerPlugins = [
  { kind: "Checker", name: "drawn", injectableClass: Drawn },
  { kind: "Reporter", name: "told", injectableClass: Told },
];
