/** `kreplica explain`: what it would take for modelled gains to equal reported ones. */
import { reportedFor } from "@kreplica/replay";
import { type Command, Option } from "commander";
import { reportedOf } from "../inputs/reported-file.js";
import { chosenTraces } from "../inputs/traces.js";
import { explainText, reasonsText } from "../report/explain.js";
import { explainDocument } from "../report/documents/explain.js";
import { jsonText } from "../report/documents/json-text.js";
import { runExplain } from "../run-explain.js";
import { chosenRecordings, refuse } from "./chosen-recordings.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addComparedOptions, type ComparedOptions, readCompared } from "./compared-run.js";
import { jsonOption, type JsonOption } from "./options.js";
import { declareRules } from "./rules.js";
import { fileOption, numberOption, type Range, SEEDS } from "./values.js";

const LAYOUTS: Range = { least: 0, most: 1000 };

type Options = ComparedOptions &
  JsonOption & {
    readonly reported?: string;
    readonly layouts: number;
    readonly reasons?: boolean;
  };

export function registerExplain(program: Command, context: CommandContext): void {
  declareRules(
    addComparedOptions(
      program
        .command("explain")
        .argument("[test...]", "only these tests, by name (fork-1, mount, ...) or file")
        .summary("say what it would take for modelled gains to equal reported ones")
        .description(
          "For each reported gain, which value of each single cause (load on the links, pressure on the last-level cache, its inclusion, far over near latency, L2 size, layout, single-shot noise, a front end that runs ahead) makes the modelled gain equal to it, whether that is plausible, and the smallest change of all; then what the range of each parameter does to the gains, widest first. Nothing is fitted: the model stays as it is.",
        ),
    ),
    [{ option: "--reasons", not: "--json", because: "the document has the reasons in it" }],
  )
    .addOption(
      fileOption(
        "--reported <file>",
        "gains somebody reported of this machine: JSON { source, machine, figures: [{ test, hot, cold }] } in percent, or CSV with the columns test, hot, cold (default: the authors', on their machine)",
      ),
    )
    .addOption(numberOption("--layouts <number>", "layouts to draw; each takes a run of every test", LAYOUTS, 3))
    .addOption(numberOption("--seed <number>", "draws other layouts, and other orders of what is drawn", SEEDS, 1))
    .addOption(new Option("--reasons", "why each value is plausible or not, figure by figure"))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica explain", "the authors' 14 figures"],
        ["kreplica explain mount kill --reasons", "two tests, with the reasons"],
        ["kreplica explain --reported figures.json --machine mine.json", "one's own figures, of one's own machine"],
        ["kreplica explain kill --layouts 16 --json", "more layouts, as one JSON document"],
      ) + exitCodes,
    )
    .action(async (tests: readonly string[], options: Options) => {
      const given = readCompared(options, context);
      const files = chosenTraces(options.traces);
      const chosen = chosenRecordings(files, tests.length > 0 ? tests : undefined, false);
      const { recordings, refused } = chosen;
      if (recordings.length === 0) refuse(refused, context);
      const own =
        options.reported === undefined
          ? undefined
          : reportedOf(options.reported, given.spec.name, chosen.tests, "looked at");
      const explanation = await runExplain(
        given,
        {
          policy: options.policy,
          files: recordings,
          layouts: options.layouts,
          reported: reportedFor(given.spec, own),
        },
        context.progress,
      );
      context.progress.stop();
      if (explanation.sensitivity.length > 0)
        context.print(
          options.json
            ? jsonText(explainDocument(explanation))
            : explainText(explanation, context.screen) +
                (options.reasons === true ? reasonsText(explanation, context.screen) : ""),
        );
      refuse([...refused, ...explanation.refused], context);
    });
}
