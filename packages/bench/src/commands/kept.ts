/**
 * Results told again: which commands' results are kept, what a result depends on, and how a command line is answered
 * from a kept one. Only a command that is a function of its words, of the code and of the files it reads, and that
 * writes no file, is answered so. What its runs counted is kept by kept-runs.ts, for other command lines too.
 */
import { canonicalText } from "@kreplica/sweep";
import { type Command, Option } from "commander";
import { type KeptResult, KeptResults } from "../kept-results.js";
import { KeptRuns } from "../kept-runs.js";
import { inputsDigest } from "../inputs/inputs-digest.js";
import { THIS } from "../inputs/machine/this-machine.js";
import type { Screen } from "../report/terminal.js";
import { sha256 } from "../sweep/cells.js";
import { codeVersion } from "../sweep/code-version.js";

/** Commands whose results are kept, with the options beside which they are not: those that write a file. */
const KEPT: Readonly<Record<string, readonly string[]>> = {
  compare: [],
  explain: [],
  policies: [],
  boot: [],
  check: ["save"],
};
/** Commands of which only what recordings counted is kept: each time they write their file. */
const RUNS_KEPT: readonly string[] = ["map", "report", "export"];
const FRESH = "--fresh";

const isKept = (command: Command): boolean => command.name() in KEPT;
const isFresh = (command: Command): boolean => command.opts<Record<string, unknown>>()["fresh"] === true;

/** Adds `--fresh` to a command whose results are kept, or the runs they come from. */
export function addFreshOption(command: Command): void {
  if (isKept(command) || RUNS_KEPT.includes(command.name()))
    command.addOption(
      new Option(FRESH, "compute it, though it was computed before: results are kept in the user's cache folder"),
    );
}

/** Runs that a command about to begin may find and keep. */
export const keptRunsOf = ({ folder }: Keeping, command: Command): KeptRuns => new KeptRuns(folder, isFresh(command));

/** What is said of them to somebody who watches; nothing where none was found. */
export function foundRunsText(runs: KeptRuns): string {
  const { found, looked } = runs.standing;
  if (found === 0) return "";
  return `kreplica: ${found === looked ? "all" : `${found} of ${looked}`} runs of recordings were kept; ${FRESH} computes them anew\n`;
}

/** How this process keeps what it tells. */
export interface Keeping {
  readonly folder: string;
  /** Whether somebody sees standard error, who is told that a result was kept. */
  readonly watched: boolean;
  /** Of work that a result must have taken: below, computing is as good as looking. */
  readonly leastSeconds: number;
}

/** Thrown in place of an action: its result has been told. */
export class ToldAgain {
  constructor(readonly code: KeptResult["code"]) {}
}

/** One command line that may be answered from what is kept, or whose result may be. */
export class Telling {
  private readonly results: KeptResults;
  private key: string | undefined;
  private began = 0;
  private readonly said: KeptResult["said"] = [];

  constructor(private readonly keeping: Keeping) {
    this.results = new KeptResults(keeping.folder);
  }

  /**
   * Called when options are read and the action is to begin.
   *
   * @param words as given @param tell what was kept
   * @throws ToldAgain when the result was kept, once it is told
   */
  begin(
    command: Command,
    words: readonly string[],
    screen: Screen,
    tell: (to: "out" | "error", text: string) => void,
  ): void {
    const options = command.opts<Record<string, unknown>>();
    if (!isKept(command) || KEPT[command.name()]!.some((name) => options[name] !== undefined)) return;
    if ([options["machine"]].flat().includes(THIS)) return;
    const end = words.indexOf("--");
    const given = words.filter((word, at) => word !== FRESH || (end >= 0 && at > end));
    const inputs = inputsDigest([given, command.processedArgs, Object.values(options)]);
    if (inputs === undefined) return;
    this.key = sha256(
      canonicalText({
        code: codeVersion(),
        words: given,
        inputs,
        screen: { columns: screen.columns, blocks: screen.blocks, colours: screen.bold("x") !== "x" },
      }),
    );
    const kept = isFresh(command) ? undefined : this.results.find(this.key);
    if (kept === undefined) {
      this.began = performance.now();
      return;
    }
    this.key = undefined;
    for (const { to, text } of kept.said) tell(to, text);
    if (this.keeping.watched) tell("error", `kreplica: a kept result; ${FRESH} computes it anew\n`);
    throw new ToldAgain(kept.code);
  }

  /** Text that the command told. */
  hear(to: "out" | "error", text: string): void {
    if (this.key !== undefined) this.said.push({ to, text });
  }

  /** Called when it ran to its end. */
  end(code: number): void {
    const seconds = (performance.now() - this.began) / 1000;
    if (this.key !== undefined && seconds >= this.keeping.leastSeconds && (code === 0 || code === 1 || code === 3))
      this.results.keep(this.key, { code, said: this.said });
  }
}
