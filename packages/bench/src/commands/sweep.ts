/** `kreplica sweep`: a plan of many runs, done cell by cell; `kreplica sweep merge` joins what was done in parts. */
import { basename } from "node:path";
import { InputError } from "@kreplica/inputs";
import { PLAN_SCHEMA, planFromText, planFromValue, type PlanText } from "@kreplica/sweep";
import { type Command, Option } from "commander";
import { isCode, loadCode } from "../code-file.js";
import { inputPath, shownPath, STANDARD_INPUT } from "../inputs/input-file.js";
import { readInput } from "../inputs/read-input.js";
import { Gatherer } from "../queue/gather.js";
import { watch } from "../queue/watch.js";
import { jsonText } from "../report/documents/json-text.js";
import type { SweepDocument, SweepShard } from "../report/documents/sweep.js";
import { schemaFile } from "../schema-file.js";
import { cellsOf } from "../sweep/cells.js";
import { codeVersion } from "../sweep/code-version.js";
import { merge, outlook, sweep, sweepName, type SweepRequest } from "../sweep/sweep.js";
import { groupedCount } from "../report/units.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { jsonOption, type JsonOption } from "./options.js";
import { declareRules } from "./rules.js";
import { numberOption } from "./values.js";
import { queueOption } from "./worker.js";

const MERGE = "merge";
/** From a line of --watch to the next. */
const WATCH_SECONDS = 2;
const MOST_WORKERS = 1024;
const MOST_SHARDS = 1_000_000;

type SweepOptions = JsonOption & {
  readonly output?: string;
  readonly dryRun?: boolean;
  readonly workers?: number;
  readonly shard?: string;
  readonly queue?: URL;
  readonly watch?: boolean;
};

/** @throws InputError for what is no part of a whole */
function shardNamed(text: string): SweepShard {
  const [, nth, of] = /^(\d{1,7})\/(\d{1,7})$/.exec(text) ?? [];
  const shard = { nth: Number(nth), of: Number(of) };
  if (nth === undefined || shard.of < 1 || shard.of > MOST_SHARDS || shard.nth < 1 || shard.nth > shard.of)
    throw new InputError({
      file: "--shard",
      reason: `${JSON.stringify(text)} is no part of a plan`,
      remedy: "write I/N, 1/8 to 8/8: the first to the last of eight",
    });
  return shard;
}

export function registerSweep(program: Command, context: CommandContext): void {
  declareRules(program.command("sweep"), [
    { option: "--shard", not: "--queue", because: "a queue deals its replays out itself" },
    { option: "--workers", not: "--queue", because: "`kreplica worker` measures, as many as there are" },
    { option: "--dry-run", not: "--queue", because: "it measures here" },
    { option: "--watch", needs: "--queue" },
    { option: "--json", not: "--watch", because: "what is watched is printed line by line" },
    { option: "--output", not: "--watch", because: "whoever looks on keeps nothing" },
  ])
    .summary("run a plan of many machines, kernels, recordings and policies")
    .description(
      "Takes a plan, YAML, JSON or TypeScript (its schema: `kreplica schema sweep`), and measures each of its cells: a policy against a single copy, on a machine, for a recording. Cells that differ in policy, latencies or costs alone share a replay. What is done is kept in the output folder cell by cell: the same command goes on where it was stopped. `kreplica sweep merge` joins folders of shards.",
    )
    .argument("<plan...>", "the plan, - is standard input; or the word merge and the folders of all shards")
    .addOption(
      new Option("-o, --output <dir>", "folder of the results (default: the plan's name with .results behind it)"),
    )
    .addOption(
      new Option("--dry-run", "count the cells, and measure a replay of each recording to tell what all may take"),
    )
    .addOption(new Option("--shard <i/n>", "only the I-th of N parts, each with whole replays"))
    .addOption(
      numberOption("--workers <number>", "replays at a time", { least: 1, most: MOST_WORKERS }, "as many as CPUs"),
    )
    .addOption(queueOption("give the replays to a queue, for `kreplica worker` on any machine"))
    .addOption(
      new Option("--watch", "look on at a sweep that was given to a queue: progress, rates, what was set aside"),
    )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica sweep plan.yaml", "all of it, into plan.results"],
        ["kreplica sweep plan.yaml --dry-run", "how many cells, about how long"],
        ["kreplica sweep plan.yaml --shard 3/8 -o part3", "a part, on a machine of its own"],
        ["kreplica sweep merge part* -o whole", "what one run would have written"],
        ["kreplica sweep plan.yaml --queue redis://queue.example", "by workers on other machines"],
      ) + exitCodes,
    )
    .action(async (words: readonly string[], options: SweepOptions) => {
      if (words[0] === MERGE) {
        joined(words.slice(1), options, context);
        return;
      }
      if (words.length > 1)
        throw new InputError({
          file: words[1]!,
          reason: "a second plan",
          remedy: "give one plan; `kreplica sweep merge` takes folders",
        });
      const file = inputPath(words[0]!, "[plan]");
      const text = await planOf(file);
      const version = codeVersion();
      const request = {
        plan: text.plan,
        cells: cellsOf(text, file, version),
        version,
        folder: options.output ?? folderFor(shownPath(file)),
        shard: options.shard === undefined ? null : shardNamed(options.shard),
        ...(options.workers === undefined ? {} : { workers: options.workers }),
      };
      if (options.watch) {
        await watch({
          address: options.queue!,
          name: sweepName(request),
          version,
          every: WATCH_SECONDS,
          remark: context.remark,
          print: context.print,
        });
        return;
      }
      const found = options.dryRun
        ? await outlook(request)
        : options.queue
          ? await queued(request, options.queue, context)
          : await sweep(request, context.progress);
      const document: SweepDocument = { schema: "kreplica.sweep-run/1", folder: request.folder, ...found };
      context.print(options.json ? jsonText(document) : sweepText(document));
    });
}

/** The sweep, measured by workers. */
async function queued(request: SweepRequest, address: URL, context: CommandContext): ReturnType<typeof sweep> {
  const gatherer = await Gatherer.open({
    address,
    name: sweepName(request),
    version: request.version,
    title: request.plan.title ?? null,
    cells: request.cells.length,
    remark: context.remark,
  });
  let isDone = false;
  try {
    const found = await sweep(request, context.progress, gatherer.run);
    isDone = true;
    return found;
  } finally {
    await gatherer.close(isDone);
  }
}

/** A plan that is code is run once, here; what it exports is data. */
async function planOf(file: string): Promise<PlanText> {
  const schema = schemaFile(PLAN_SCHEMA);
  if (!isCode(file)) {
    const remedy = "name a plan, YAML, JSON or TypeScript; `kreplica schema sweep` says what is in one";
    return planFromText(readInput(file, remedy).toString("utf8"), shownPath(file), schema);
  }
  const { exported } = await loadCode(file, "export default { schema, axes, ... } satisfies SweepPlan");
  return planFromValue(exported, file, schema);
}

function joined(folders: readonly string[], options: SweepOptions, context: CommandContext): void {
  const useless = (["dryRun", "shard", "workers", "queue", "watch"] as const).find(
    (name) => options[name] !== undefined,
  );
  if (useless !== undefined)
    throw new InputError({
      file: useless === "dryRun" ? "--dry-run" : `--${useless}`,
      reason: "means nothing beside merge: nothing is measured",
      remedy: "leave it out",
    });
  if (folders.length === 0)
    throw new InputError({ file: "merge", reason: "no folder is named", remedy: "name the folders of all shards" });
  if (options.output === undefined)
    throw new InputError({ file: "--output", reason: "merge needs it", remedy: "name the folder of the whole" });
  const merged = merge(folders, options.output);
  const document: SweepDocument = {
    schema: "kreplica.sweep-run/1",
    folder: options.output,
    replays: 0,
    doneBefore: merged.cells,
    ...merged,
  };
  context.print(options.json ? jsonText(document) : sweepText(document));
}

const folderFor = (plan: string): string =>
  `${plan === STANDARD_INPUT ? "sweep" : basename(plan).replace(/\.(ya?ml|json|[cm]?[jt]s)$/, "")}.results`;

/** What was done, a few lines. */
function sweepText({ folder, cells, replays, doneBefore, leftOut, estimatedSeconds, results }: SweepDocument): string {
  const left = leftOut === undefined ? "" : `, ${leftOut} of them left out: enough was known without them`;
  const lines = [
    `${groupedCount(cells, "cell")}${doneBefore > 0 ? `, ${doneBefore} of them done before` : ""}${left}; ${groupedCount(replays, "replay")}`,
    ...(estimatedSeconds === undefined
      ? []
      : [`about ${durationText(estimatedSeconds)} here, to within a factor of two; results would be in ${folder}`]),
    ...(results === undefined
      ? []
      : [`${folder}/${results.file}: ${groupedCount(results.rows, "row")}, sha256 ${results.sha256.slice(0, 16)}`]),
  ];
  return `${lines.join("\n")}\n`;
}

const durationText = (seconds: number): string =>
  seconds < 120
    ? groupedCount(seconds, "second")
    : seconds < 7200
      ? groupedCount(Math.round(seconds / 60), "minute")
      : groupedCount(Math.round(seconds / 3600), "hour");
