/** `kreplica export`: cycles of a comparison by function and cause, in a form that a viewer of profiles reads. */
import { InputError } from "@kreplica/inputs";
import type { Booted } from "@kreplica/kernel";
import { type Command, Option } from "commander";
import { shownPath } from "../inputs/input-file.js";
import { outputFile } from "../report/output-file.js";
import { kernelsOf, samplesOf } from "../report/export/samples.js";
import { timesOf } from "../report/export/times.js";
import { addCompareOptions, comparison, type CompareOptions, finish } from "./compare.js";
import { addWeightOptions, WEIGHT_RULES } from "./mix-options.js";
import { declareRules } from "./rules.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { type ExportForm, type Format, FORMATS } from "./export-forms.js";
import { choiceOption } from "./values.js";

export function registerExport(program: Command, context: CommandContext): void {
  const command = program
    .command("export")
    .summary("write where the cycles went for a viewer of profiles")
    .description(
      "Does what compare does on one CPU, and writes where the cycles went, by test, function and cause, with one copy and with the policy, cold and hot: for speedscope, KCachegrind (callgrind), flame graphs (collapsed stacks), pprof and what reads its files, as lines of time for Perfetto, or as a table (csv, parquet). With --mix it is the profile of a program's system calls.",
    );
  declareRules(addWeightOptions(addCompareOptions(command)), WEIGHT_RULES)
    .addOption(choiceOption("--format <name>", "form", Object.keys(FORMATS) as [string, ...string[]], "speedscope"))
    .addOption(new Option("-o, --output <file>", "the file; - is standard output").default("-"))
    .addHelpText(
      "after",
      examples(
        ["kreplica export -o fork.speedscope.json --test fork", "then open it in speedscope"],
        ["kreplica export --format callgrind -o callgrind.out.kreplica", "then kcachegrind callgrind.out.kreplica"],
        ["kreplica export --format collapsed --test kill > kill.txt", "then flamegraph.pl kill.txt > kill.svg"],
        ["kreplica export --format pprof -o kill.pb.gz --test kill", "then pprof -http : kill.pb.gz"],
        ["kreplica export --format perfetto -o kill.pftrace --test kill", "then open it in ui.perfetto.dev"],
        ["kreplica export --format csv --test mount", "a row a function and cause"],
        ["kreplica export --mix strace.txt -o mine.speedscope.json", "of one's own program's calls"],
      ) + exitCodes,
    )
    .action(async (options: CompareOptions & { readonly format: Format; readonly output: string }) => {
      for (const [option, given] of [
        ["--reported", options.reported],
        ["--alignment", options.alignment],
        ["--load", options.load],
      ] as const)
        if (given !== undefined)
          throw new InputError({
            file: option,
            reason: "means nothing to an export, which has an idle machine's cycles and no gains",
            remedy: "leave it out, or use compare",
          });
      const { text, timed, write }: ExportForm = FORMATS[options.format];
      if (timed && options.mix !== undefined)
        throw new InputError({
          file: "--mix",
          reason: `means nothing to ${options.format}, which has runs as they were, one behind the other`,
          remedy: "leave it out, or choose another --format",
        });
      if (!text && options.output === "-")
        throw new InputError({
          file: "--output",
          reason: `${options.format} is no text, and standard output is for text`,
          remedy: "name a file with -o",
        });
      // Before the work: what cannot be written is known at once.
      const file = options.output === "-" ? undefined : outputFile(options.output, "--output");
      let boots: readonly Booted[] = [];
      const result = await comparison(
        { ...options, functions: 1 },
        context,
        false,
        (...both) => {
          boots = both;
        },
        timed,
      );
      if (result.tests.length > 0) {
        const { job, policy, kernel, mix } = result;
        if (mix?.tests.length === 0)
          throw new InputError({
            file: mix.file,
            reason: "has no system call that one of the tests that were run is of",
            remedy: "name more tests, or leave --test out",
          });
        const written = await write({
          title: `${kernel} on ${job.spec.name}, CPU ${job.where.cpu}: one copy against ${policy.name}${mix ? `, ${mix.covered} of the ${mix.total} calls of ${shownPath(mix.file)}` : ""}`,
          kernels: kernelsOf(result),
          samples: samplesOf(result),
          ...(timed ? { times: timesOf(result, boots) } : {}),
        });
        if (file) {
          file.write(written);
          context.remark(`${file.path} is written`);
        } else context.print(String(written));
      }
      finish(result, context);
    });
}
