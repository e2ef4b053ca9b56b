/** Counterexample files of `kreplica check`: what `--save` writes, and `--replay` runs again. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { KernelImage } from "@kreplica/mm-core";
import { POLICIES } from "../assemble.js";
import type { BootOptions } from "../boot.js";
import { sentenceOf } from "../check/check-failure.js";
import { DEFECTS, withDefect } from "../check/defects.js";
import { repertoire } from "../check/families.js";
import { CONFIGURATIONS, type Configuration, kernelOf, type Kind } from "../check/kinds.js";
import { SERIES_IDS, type SeriesId, withSeries } from "../check/series.js";
import { type Finding, outcome } from "../check/survey.js";
import { InputError, whyNot } from "../inputs/input-error.js";
import { shapedJson } from "../inputs/json-shape.js";
import { type CommandContext, jsonText } from "./command.js";

const Saved = z.object({
  schema: z.literal("kreplica.counterexample/1"), policy: z.string(), nodes: z.number().int().min(1).max(64),
  /** As files had it before there were configurations: a further node, whose memory comes later. */
  memoryless: z.number().int().min(0).max(1).optional(),
  levels: z.union([z.literal(4), z.literal(5)]), pti: z.boolean(), kasan: z.boolean().optional(), configuration: z.enum(Object.keys(CONFIGURATIONS) as [Configuration, ...Configuration[]]).optional(),
  defect: z.string().optional(), laid: z.array(z.enum(SERIES_IDS as [SeriesId, ...SeriesId[]])).optional(),
  invariant: z.string(), operations: z.array(z.looseObject({ op: z.string() })),
});
type Saved = z.infer<typeof Saved>;

/** @param defect that was laid over the corrected series by itself */
export const savedText = (policy: string, kind: Kind, { invariant, operations, laid }: Finding<string>, defect?: string): string => jsonText({
  schema: "kreplica.counterexample/1", policy, ...kind, ...(defect === undefined ? laid.length > 0 ? { laid } : {} : { defect }), invariant, operations,
});

/** @throws InputError for a file that is none of ours */
export function replaySaved(file: string, context: CommandContext, json: boolean, image?: KernelImage): void {
  const saved = read(file);
  const seen = outcome(kernelFor(saved, image), saved.operations);
  // The rule the file is about, where it is among those that broke.
  const failure = seen.find((each) => each.invariant === saved.invariant) ?? seen[0];
  if (failure) context.checkFailed();
  const violations = failure ? [{ invariant: failure.invariant, sentence: sentenceOf(failure.invariant), detail: failure.detail, operations: saved.operations }] : [];
  context.print(json
    ? jsonText({ schema: "kreplica.check/1", policy: saved.policy, runs: 1, steps: saved.operations.length, violations })
    : failure ? `${context.screen.bad(failure.invariant)} ${sentenceOf(failure.invariant)}\n  ${failure.detail}\n` : `${context.screen.good("nothing found")}: the counterexample for ${saved.invariant} no longer fails\n`);
}

function read(file: string): Saved {
  let text: string;
  const remedy = "give a file that `kreplica check --save` wrote";
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new InputError({ file, field: "--replay", ...whyNot(error, remedy) });
  }
  const saved: Saved = shapedJson(text, file, Saved, remedy);
  if (POLICIES[saved.policy] === undefined) throw new InputError({ file, field: "policy", reason: `there is no policy ${saved.policy}`, remedy: `choose one of ${Object.keys(POLICIES).join(", ")}` });
  if (saved.defect !== undefined && DEFECTS[saved.defect] === undefined) throw new InputError({ file, field: "defect", reason: `there is no defect ${saved.defect}`, remedy: `choose one of ${Object.keys(DEFECTS).join(", ")}` });
  const { configuration } = saved;
  if (configuration !== undefined && saved.nodes < CONFIGURATIONS[configuration].fewest) throw new InputError({ file, field: "nodes", reason: `${saved.nodes} are too few for ${configuration}`, remedy: `write ${CONFIGURATIONS[configuration].fewest} or more` });
  saved.operations.forEach((operation, index) => {
    const fault = repertoire.fault(operation);
    if (fault) throw new InputError({ file, ...fault, field: `operations[${index}].${fault.field}` });
  });
  return saved;
}

function kernelFor(saved: Saved, image: KernelImage | undefined): BootOptions {
  const late = saved.memoryless === 1;
  const kind: Kind = { nodes: saved.nodes + (late ? 1 : 0), levels: saved.levels, pti: saved.pti, kasan: saved.kasan, configuration: late ? "late memory" : saved.configuration };
  if (saved.laid) return withSeries(kernelOf("per-node", kind, image), kind, saved.laid);
  const sound = kernelOf(saved.policy, kind, image);
  return saved.defect === undefined ? sound : withDefect(sound, DEFECTS[saved.defect]!);
}
