/** `kreplica bugs`: known bugs of Linux that can be laid over a correct kernel, one line each; or one of them whole. */
import { kernelOfBug, kindOfBug, kindText, policyOfBug, repertoire, sentenceOf, told } from "@kreplica/check";
import { didYouMean, InputError } from "@kreplica/inputs";
import { bugOf, BUGS } from "@kreplica/museum";
import type { Command } from "commander";
import { SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { bugListText, bugText, defectText } from "../report/bugs.js";
import { bugDocument, bugListDocument, defectDocument } from "../report/documents/bugs.js";
import { jsonText } from "../report/documents/json-text.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { linkToLesson } from "./explorer-link.js";
import { jsonOption, type JsonOption } from "./options.js";

export function registerBugs(program: Command, context: CommandContext): void {
  program
    .command("bugs")
    .summary("list known bugs of Linux that can be laid over a correct kernel")
    .description(
      "Bugs that Linux had in page tables, translations, text patching and what is around them, each an overlay of a few lines: what happened, how it was mended, the invariant that catches it, a short way to it, and what copies a node do to it.",
    )
    .argument("[name]", "one of them, whole")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica bugs", "all of them, room by room"],
        ["kreplica bugs mremap-flush", "one of them whole"],
        ["kreplica bugs D4", "a defect of the series, the first room"],
        ["kreplica check --bug mremap-flush", "found again from a seed"],
        ["kreplica check --bug mremap-flush --shortest", "by the recorded way"],
      ) + exitCodes,
    )
    .action((name: string | undefined, options: JsonOption) => {
      if (name === undefined) {
        const list = bugListDocument(SERIES_DEFECTS, BUGS);
        context.print(options.json ? jsonText(list) : bugListText(list.bugs, context.screen));
        return;
      }
      const defect = SERIES_DEFECTS.find(({ id }) => id === name);
      if (defect) {
        const document = defectDocument(defect);
        context.print(
          options.json
            ? jsonText(document)
            : defectText(document, document.breaks.map(sentenceOf), linkToLesson(name), context.screen),
        );
        return;
      }
      const bug = bugOf(name);
      if (!bug)
        throw new InputError({
          file: "bugs",
          reason: `there is no bug ${JSON.stringify(name)}`,
          remedy: didYouMean(
            name,
            [...SERIES_DEFECTS, ...BUGS].map(({ id }) => id),
          ),
        });
      const document = bugDocument(bug);
      if (options.json) {
        context.print(jsonText(document));
        return;
      }
      const words = {
        sentence: sentenceOf(bug.invariant),
        kernel: `${policyOfBug(bug).name}, ${kindText(kindOfBug(bug))}`,
        link: linkToLesson(bug.id),
        steps: told(kernelOfBug(bug, true), bug.path).map((step) => repertoire.describe(step)),
      };
      context.print(bugText(document, words, context.screen));
    });
}
