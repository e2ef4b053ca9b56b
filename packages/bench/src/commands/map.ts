/** `kreplica map`: a test's gain over what machines differ by: size of L2, distance, inclusion. */
import { gainMapPage, gainMapPicture } from "@kreplica/report";
import { type Command, Option } from "commander";
import { chosenTraces } from "../inputs/traces.js";
import { jsonText } from "../report/documents/json-text.js";
import { mapText } from "../report/map.js";
import { pageFile } from "../report/output-file.js";
import { mapDocumentOf, runMap } from "../run-map.js";
import { chosenRecordings, refuse } from "./chosen-recordings.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addComparedOptions, type ComparedOptions, readCompared } from "./compared-run.js";
import { jsonOption, type JsonOption } from "./options.js";
import { type PressureOption, pressureOption, readPressure } from "./pressure-option.js";
import { choiceOption, numberOption, SEEDS } from "./values.js";

const DEFAULT_TEST = "fork-1";

type Options = ComparedOptions &
  PressureOption &
  JsonOption & {
    readonly cache: "cold" | "hot" | "both";
    readonly output?: string;
  };

export function registerMap(program: Command, context: CommandContext): void {
  addComparedOptions(
    program
      .command("map")
      .argument("[test]", `by name (fork-1, mount, ...) or file (default: ${DEFAULT_TEST}; of --traces the first)`)
      .summary("draw a test's gain over L2 size, far over near latency and inclusion")
      .description(
        "Draws the gain of one test over three things by which machines differ: the size of L2 a core, the latency of the image's node over the copy's, and whether the last-level cache is inclusive. The processors of the presets stand on it, and where the sign changes is marked. All else stays as the machine has it; other axes are `kreplica sweep`'s.",
      ),
  )
    .addOption(choiceOption("--cache <state>", "with caches in this state", ["cold", "hot", "both"], "both"))
    .addOption(pressureOption())
    .addOption(numberOption("--seed <number>", "other orders of what is drawn", SEEDS, 1))
    .addOption(new Option("-o, --output <file>", "write a picture, too: .svg, or a page; - is standard output"))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica map", `${DEFAULT_TEST}, cold and hot`],
        ["kreplica map kill --cache cold -o kill.svg", "another test, and as a picture"],
        ["kreplica map mount --pressure 2000", "beside other cores' data"],
        ["kreplica map kill --machine epyc-7713-2s --json", "around another machine, as one JSON document"],
      ) + exitCodes,
    )
    .action(async (name: string | undefined, options: Options) => {
      const { output, cache } = options;
      // Before the work: what cannot be written is known at once.
      const file = pageFile(output, options.json);
      const given = readCompared(options, context);
      const pressure = readPressure(options, given.spec, given.where.cpu);
      const files = chosenTraces(options.traces);
      const wanted = name ?? (options.traces === undefined ? DEFAULT_TEST : undefined);
      const { recordings, refused } = chosenRecordings(files, wanted === undefined ? undefined : [wanted], false);
      const [recording] = recordings;
      refuse(recording === undefined ? refused : [], context);
      const whole = await runMap(
        { ...given, ...(pressure ? { pressure } : {}) },
        options.policy,
        recording!,
        context.progress,
      );
      context.progress.stop();
      const map = cache === "both" ? whole : { ...whole, panels: whole.panels.filter((each) => each.cache === cache) };
      const document = mapDocumentOf(map);
      if (output !== "-")
        context.print(options.json ? jsonText(document) : mapText(map, document.processors, context.screen));
      if (output === undefined) return;
      const drawn = output.endsWith(".svg") ? gainMapPicture(document) : gainMapPage(document);
      if (file) {
        file.write(drawn);
        context.remark(`${file.path} is written: open it in a browser`);
      } else context.print(drawn);
    });
}
