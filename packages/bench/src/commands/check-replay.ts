/** `kreplica check --replay`: reads what `--save` wrote, and runs it again. */
import {
  type Configuration,
  CONFIGURATIONS,
  kernelOf,
  type Kind,
  outcome,
  repertoire,
  sentenceOf,
  SERIES_IDS,
  withDefect,
  withSeries,
} from "@kreplica/check";
import { didYouMean } from "@kreplica/inputs";
import { findPolicy, INVARIANTS, kasanFault, type Kernel, perNode, policyOf } from "@kreplica/kernel";
import { z } from "zod";
import type { KernelImage } from "@kreplica/mm-core";
import { bugOf, BUGS } from "@kreplica/museum";
import { defectOf, DEFECTS } from "@kreplica/series-as-posted";
import { shapedJson, type ShapeFault } from "../inputs/json-shape.js";
import { readInput } from "../inputs/read-input.js";
import { extensions } from "@kreplica/kernel";
import { replayDocument } from "../report/documents/check.js";
import { jsonText } from "../report/documents/json-text.js";
import { type CommandContext } from "./command.js";

const Saved = z.strictObject({
  schema: z.literal("kreplica.counterexample/1"),
  policy: z.string(),
  nodes: z.number().int().min(1).max(64),
  /** As files had it before there were configurations: a further node, whose memory comes later. */
  memoryless: z.number().int().min(0).max(1).optional(),
  levels: z.literal([4, 5]),
  pti: z.boolean(),
  kasan: z.boolean().optional(),
  encryption: z.boolean().optional(),
  configuration: z.enum(Object.keys(CONFIGURATIONS) as [Configuration, ...Configuration[]]).optional(),
  defect: z.string().optional(),
  /** Defects of the series, or one bug of the museum. */
  laid: z.array(z.enum([...SERIES_IDS, ...BUGS.map(({ id }) => id)] as [string, ...string[]])).optional(),
  /** Files older than the letter P have patching's invariants as D-1 to D-14. */
  invariant: z.string().transform((id) => id.replace(/^D-(\d+)$/, "P$1")),
  operations: z.array(z.looseObject({ op: z.string() })),
});
type Saved = z.infer<typeof Saved>;

/** @throws InputError for a file that is none of ours */
export function replaySaved(file: string, context: CommandContext, json: boolean, image?: KernelImage): void {
  const saved = read(file);
  const failure = failureOf(saved, image);
  if (failure) context.checkFailed();
  context.print(
    json
      ? jsonText(replayDocument(saved.policy, saved.operations, failure))
      : failure
        ? `${context.screen.bad(failure.invariant)} ${sentenceOf(failure.invariant)}\n  ${failure.detail}\n`
        : `${context.screen.good("nothing found")}: the counterexample for ${saved.invariant} no longer fails\n`,
  );
}

/**
 * The rule that the file is about, where it is among those that break, else the first that does. A difference to the
 * single copy ends a run before what is looked at last: without the comparison that is reached, too.
 */
function failureOf(saved: Saved, image: KernelImage | undefined): ReturnType<typeof outcome>[number] | undefined {
  const seen = (saved.invariant === "F8" ? (["end"] as const) : (["off", "end"] as const)).map((comparison) =>
    outcome(kernelFor(saved, image), saved.operations, comparison),
  );
  return seen.flat().find((each) => each.invariant === saved.invariant) ?? seen.at(-1)![0];
}

function read(file: string): Saved {
  const remedy = "give a file that `kreplica check --save` wrote";
  return shapedJson(readInput(file, remedy, "--replay").toString("utf8"), file, Saved, remedy, faultsIn);
}

/** What fits the shape and yet says nothing that can be run. */
function faultsIn({
  policy,
  defect,
  laid,
  configuration,
  nodes,
  memoryless,
  levels,
  kasan,
  invariant,
  operations,
}: Saved): ShapeFault[] {
  const faults: ShapeFault[] = [];
  const fault = (field: string, reason: string, remedy: string): void => {
    faults.push({ path: [field], reason, remedy });
  };
  const known = (field: string, what: string, word: string | undefined, words: readonly string[]): void => {
    if (word !== undefined && !words.includes(word))
      fault(field, `there is no ${what} ${word}`, didYouMean(word, words));
  };
  const found = findPolicy(policy);
  if ("reason" in found) fault("policy", found.reason, found.remedy);
  const chosen = "reason" in found ? undefined : found;
  known(
    "defect",
    "defect",
    defect,
    DEFECTS.map(({ id }) => id),
  );
  known(
    "invariant",
    "invariant",
    invariant,
    [...INVARIANTS, ...extensions().invariants].map(({ id }) => id),
  );
  const bugs = laid?.filter((id) => bugOf(id)) ?? [];
  if (bugs.length > 0 && laid!.length > 1)
    fault("laid", `${bugs[0]!} is laid over a kernel by itself`, "remove the others");
  if (bugs.length > 0 && chosen?.surveyed)
    fault("laid", `${bugs[0]!} is laid over a correct kernel, not over ${policy}`, `name another policy`);
  if (laid && bugs.length === 0 && chosen && !chosen.surveyed)
    fault("laid", `defects are not laid so over ${policy}`, "remove it, or name one as defect");
  if (defect !== undefined && chosen !== perNode)
    fault("defect", `one is laid over ${perNode.name} alone, not over ${policy}`, "remove it");
  if (configuration !== undefined && nodes < CONFIGURATIONS[configuration].fewest)
    fault(
      "nodes",
      `${nodes} are too few for ${configuration}`,
      `write ${CONFIGURATIONS[configuration].fewest} or more`,
    );
  if (configuration !== undefined && memoryless === 1)
    fault("memoryless", "configuration says what is not as usual", "remove it");
  const contradiction = chosen && kasanFault(chosen, levels, kasan ?? false);
  if (contradiction) fault("kasan", contradiction.reason, "write false, or 4 levels");
  for (const [index, operation] of operations.entries())
    for (const { path, ...rest } of repertoire.faults(operation, didYouMean))
      faults.push({ path: ["operations", index, ...path], ...rest });
  return faults;
}

function kernelFor(saved: Saved, image: KernelImage | undefined): Kernel {
  const late = saved.memoryless === 1;
  const kind: Kind = {
    nodes: saved.nodes + (late ? 1 : 0),
    levels: saved.levels,
    pti: saved.pti,
    kasan: saved.kasan,
    encryption: saved.encryption,
    configuration: late ? "late memory" : saved.configuration,
  };
  const policy = policyOf(saved.policy);
  const bug = saved.laid?.map(bugOf).find((each) => each !== undefined);
  if (bug) return kernelOf(policy, kind, image).with({ defects: [bug] });
  if (saved.laid) return withSeries(kernelOf(policy.surveyed?.over ?? policy, kind, image), kind, saved.laid);
  const sound = kernelOf(policy, kind, image);
  return saved.defect === undefined ? sound : withDefect(sound, defectOf(saved.defect)!);
}
