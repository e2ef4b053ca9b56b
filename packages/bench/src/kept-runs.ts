/**
 * What replayed recordings counted, kept in the user's cache folder: one file a run, named by the digest of the code,
 * of the job (machine, placement, kernels, policies, layouts, ...) and of every file it reads. So a comparison that is
 * asked for again and shown in another way, in part, or with other figures beside, runs nothing again; and one that was
 * interrupted goes on where it was.
 */
import { createHash } from "node:crypto";
import { deserialize, serialize } from "node:v8";
import { inputsDigest } from "./inputs/inputs-digest.js";
import { KeptFiles } from "./kept-files.js";
import { codeVersion } from "./sweep/code-version.js";

/** Of work that a run must have taken: below, computing is as good as looking. */
const LEAST_SECONDS = 0.05;

/** A job as a worker is sent it: plain data, of which all but the machine may name files. */
export interface KeptJob {
  readonly spec: unknown;
}

/** Runs in a folder, as one command line uses them. */
export class KeptRuns {
  private readonly files: KeptFiles;
  /** Of each job that was looked for: it is kept by what its files said then. */
  private readonly keys = new WeakMap<KeptJob, string>();
  /** By the texts of a job: many jobs of a command read the same files. */
  private readonly inputs = new Map<string, string | undefined>();
  private found = 0;
  private looked = 0;

  /**
   * @param folder made with the first run
   * @param fresh finds none, and keeps what is computed
   */
  constructor(
    folder: string,
    private readonly fresh: boolean,
  ) {
    this.files = new KeptFiles(folder, "run");
  }

  /**
   * @returns what `job` came to; undefined where nobody kept it
   * @typeParam Answer of this kind of job, of which a job's own fields leave no doubt
   */
  find<Answer>(job: KeptJob): Answer | undefined {
    this.looked++;
    const key = this.keyOf(job);
    if (key === undefined) return undefined;
    this.keys.set(job, key);
    const body = this.fresh ? undefined : this.files.find(key);
    if (body === undefined) return undefined;
    try {
      const answer = deserialize(body) as Answer;
      this.found++;
      return answer;
    } catch {
      // Of a later Node, whose form this one does not know.
      return undefined;
    }
  }

  /** @param job the one that was looked for @param answer plain data @param seconds that it took */
  keep(job: KeptJob, answer: unknown, seconds: number): void {
    const key = this.keys.get(job);
    if (key !== undefined && seconds >= LEAST_SECONDS) this.files.keep(key, serialize(answer));
  }

  /** How many runs were found, of how many that were looked for. */
  get standing(): { readonly found: number; readonly looked: number } {
    return { found: this.found, looked: this.looked };
  }

  /** @returns undefined where a file it names cannot be read through: such a run is not kept */
  private keyOf(job: KeptJob): string | undefined {
    const { spec, ...rest } = job;
    const texts = textsIn(rest);
    const named = texts.join("\0");
    if (!this.inputs.has(named)) this.inputs.set(named, inputsDigest(texts));
    const inputs = this.inputs.get(named);
    if (inputs === undefined) return undefined;
    const hash = createHash("sha256").update(codeVersion()).update(inputs);
    // Tells apart what JSON does not: maps, typed arrays, large integers.
    return hash.update(serialize([spec, rest])).digest("hex");
  }
}

let current: KeptRuns | undefined;

/** From here on runs are found among these and kept there; undefined: each is computed. */
export const useKeptRuns = (runs: KeptRuns | undefined): void => {
  current = runs;
};

export const keptRuns = (): KeptRuns | undefined => current;

/** Texts at any depth of plain data. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value)
    ? Object.values(value).flatMap(textsIn)
    : [];
}
