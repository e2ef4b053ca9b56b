/**
 * `kreplica check`: random interleavings against the invariants; what fails is shrunk, named, printed and can be
 * replayed.
 */
import {
  canShow,
  type Comparison,
  configuredKinds,
  CORE_FAMILIES,
  familiesOf,
  kernelOf,
  kernelOfBug,
  type Kind,
  kindOfBug,
  kindsOf,
  kindText,
  laidOn,
  outOfReach,
  policyOfBug,
  repertoire,
  sentenceOf,
  told,
  toward,
  withDefect,
  withSeries,
} from "@kreplica/check";
import { InputError } from "@kreplica/inputs";
import { kasanFault, type KernelPolicy, perNode } from "@kreplica/kernel";
import { type Command, Option } from "commander";
import type { KernelImage } from "@kreplica/mm-core";
import { type Bug, bugOf, BUGS } from "@kreplica/museum";
import { defectOf, DEFECTS } from "@kreplica/series-as-posted";
import { checkDocument, counterexampleDocument, nameOf } from "../report/documents/check.js";
import { jsonText } from "../report/documents/json-text.js";
import { findingsText, type Unseen } from "../report/check.js";
import { outputFile } from "../report/output-file.js";
import { type Screen, wrap } from "../report/terminal.js";
import { countText } from "../report/units.js";
import { replaySaved } from "./check-replay.js";
import { type Result, schedules, search, shortest, type Task } from "./check-search.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import { linkTo } from "./explorer-link.js";
import { jsonOption, type JsonOption, levelsOption, policyOption, ptiOn, ptiOption } from "./options.js";
import { declareRules } from "./rules.js";
import { choiceOption, fileOption, numberOption, SEEDS } from "./values.js";

interface Options extends JsonOption, KernelOption {
  readonly policy: KernelPolicy;
  readonly nodes?: number;
  readonly levels?: "4" | "5";
  readonly pti?: "on" | "off";
  readonly kasan?: boolean;
  readonly encryption?: boolean;
  readonly lateMemory?: boolean;
  readonly farMemory?: boolean;
  readonly steps: number;
  readonly runs: number;
  readonly seed: number;
  readonly replay?: string;
  readonly save?: string;
  readonly defect?: string;
  readonly bug?: string;
  readonly shortest?: boolean;
  readonly only: "all" | "core";
  readonly compare: Comparison;
  readonly schedules?: boolean;
}

export function registerCheck(program: Command, context: CommandContext): void {
  declareRules(
    addKernelOption(
      program
        .command("check")
        .summary("look for the shortest way a policy goes wrong")
        .description(
          "Random interleavings of fork, exec, exit, mmap, munmap, mprotect, mremap, touches, shared files that are cut short, migrations, CPUs off and on line, hotplug, kernel mappings, areas, modules, text patching, firmware calls, memory protection and refused allocations, on small kernels: after each operation the rules it may have broken, at the end all of them, against the machine's own bytes, a model of what a user may see, and the same run with a single copy. What fails is shrunk to the shortest list of operations. Of the series as posted (rfc-v1) every defect that shows is reported once, with its name. A defect asked for by name that is not seen is exit code 3.",
        ),
    ),
    [
      ...["--runs", "--steps", "--seed", "--only", "--compare"].map((option) => ({
        option,
        not: "--schedules",
        because: "every schedule is gone through once, nothing is drawn",
      })),
      ...["--runs", "--steps", "--seed", "--compare"].map((option) => ({
        option,
        not: "--shortest",
        because: "the recorded path is gone through once, nothing is drawn",
      })),
      { option: "--shortest", needs: "--bug" },
      {
        option: "--far-memory",
        not: "--late-memory",
        because: "memory that comes late lies there with 5 levels anyway",
      },
      {
        beside: "--bug",
        only: ["--shortest", "--runs", "--steps", "--seed", "--compare", "--save"],
        because: "a bug has its own kernel, policy and operations",
      },
      {
        beside: "--replay",
        only: ["--kernel", "--system-map"],
        because: "the file says what is run, and on which kernel",
      },
    ],
  )
    .addOption(policyOption("who holds copies"))
    .addOption(
      numberOption(
        "--nodes <number>",
        "nodes, all of them",
        { least: 1, most: 64 },
        "1, 2, 3 and 8 in turn, and 3 of which one's memory comes later",
      ),
    )
    .addOption(new Option("--late-memory", "memory of the last node comes, and goes again, while the kernel runs"))
    .addOption(
      new Option("--far-memory", "memory of all nodes but the first lies from 16 TiB on, with 5 levels up to 1 PiB"),
    )
    .addOption(levelsOption())
    .addOption(ptiOption())
    .addOption(new Option("--kasan", "kernels with KASAN's shadow"))
    .addOption(
      new Option("--encryption", "machines whose memory is encrypted (SME, SEV); pages are shared and taken back"),
    )
    .addOption(numberOption("--steps <number>", "operations of a run", { least: 1, most: 100_000 }, 200))
    .addOption(numberOption("--runs <number>", "runs", { least: 1, most: 10_000_000 }, 400))
    .addOption(numberOption("--seed <number>", "seeds the runs", SEEDS, 1))
    .addOption(
      choiceOption(
        "--defect <id>",
        "lay a defect of the series over the corrected kernel",
        DEFECTS.map(({ id }) => id),
      ),
    )
    .addOption(
      choiceOption(
        "--bug <name>",
        "lay a known bug of Linux over a correct kernel (kreplica bugs lists them)",
        BUGS.map(({ id }) => id),
      ),
    )
    .addOption(new Option("--shortest", "of a bug go the recorded short path in place of a search"))
    .addOption(
      choiceOption(
        "--only <what>",
        "operations of the core alone (processes, pages, CPUs), many times faster; or all",
        ["all", "core"],
        "all",
      ),
    )
    .addOption(
      choiceOption(
        "--compare <when>",
        "with the same run on a single-copy kernel: not, at its end, or after each operation",
        ["off", "end", "step"],
        "end",
      ),
    )
    .addOption(
      new Option(
        "--schedules",
        "in place of random runs, small scenes with a second operation at every single point of the first: table stores, flushes, frames given back",
      ),
    )
    .addOption(new Option("--save <file>", "write the first counterexample there"))
    .addOption(fileOption("--replay <file>", "run a saved counterexample again"))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica check", "the corrected series: nothing is found"],
        ["kreplica check --policy rfc-v1 --nodes 2", "the series as posted: every way it goes wrong, by name"],
        ["kreplica check --only core --runs 10000", "two million operations on twenty kinds of kernel"],
        [
          "kreplica check --schedules --nodes 2 --levels 4 --pti off",
          "every schedule of small scenes, in a minute or two",
        ],
        ["kreplica check --kernel /boot/vmlinuz --runs 16", "a kernel of one's own in place of the small one"],
        ["kreplica check --defect D4", "one of its defects alone, over the corrected series"],
        ["kreplica check --bug mremap-flush", "a bug that Linux had, found again"],
        ["kreplica check --policy rfc-v1 --save bad.json; kreplica check --replay bad.json", "and again"],
      ) +
        defectList(context.screen) +
        exitCodes,
    )
    .action(async (options: Options) => {
      const file = options.save === undefined ? undefined : outputFile(options.save, "--save");
      const image = (await readKernelOption(options))?.("recorded");
      if (options.replay !== undefined) return replaySaved(options.replay, context, options.json === true, image);
      const task = taskOf(options, image);
      const result = options.schedules
        ? await schedules(task, context)
        : task.bug && options.shortest
          ? shortest(task, task.bug)
          : await search(task, options, context);
      if (result.findings.length > 0) context.checkFailed();
      else if (result.unseen.length > 0) context.notSeen();
      context.print(options.json ? document(task, result, image) : text(task, result, image, context));
      const first = result.findings[0];
      if (!first) return;
      const saved = counterexampleDocument(task.policy.name, task.kinds[first.kind]!, first, options.defect);
      // What was found is out by now, whatever becomes of the file.
      file?.write(jsonText(saved));
      const link = options.json && !file ? undefined : linkTo(saved, options);
      if (link !== undefined) context.remark(`to look at it, start kreplica explore, ${link}`);
    });
}

/** @throws InputError for options that cannot be together */
function taskOf(options: Options, image: KernelImage | undefined): Task {
  const { policy, defect, nodes, kasan, lateMemory, farMemory } = options;
  const bug = options.bug === undefined ? undefined : bugOf(options.bug);
  if (bug) return taskOfBug(bug);
  const { surveyed } = policy;
  if (defect !== undefined && policy !== perNode)
    throw new InputError({
      file: "--defect",
      reason: `laid over ${policy.name}, it could not be told from that policy's own ways`,
      remedy: "leave --policy out",
    });
  const asked = options.levels === undefined ? undefined : options.levels === "5" ? 5 : 4;
  const contradiction = asked && kasanFault(policy, asked, kasan ?? false);
  if (contradiction) throw new InputError({ file: "--kasan", ...contradiction });
  if (lateMemory && nodes === 1)
    throw new InputError({
      file: "--late-memory",
      reason: "the one node holds the kernel's image, and cannot be without memory",
      remedy: "choose 2 nodes or more",
    });
  if (farMemory && nodes === 1)
    throw new InputError({
      file: "--far-memory",
      reason: "the one node holds the kernel's image, and stays where it is",
      remedy: "choose 2 nodes or more",
    });
  const levels = asked ?? (kasan && policy.kasanLevels?.length === 1 ? policy.kasanLevels[0] : undefined);
  const base = kindsOf({
    nodes,
    levels,
    pti: ptiOn(options.pti),
    kasan,
    encryption: options.encryption,
    lateMemory,
    farMemory,
    fullSize: image !== undefined,
  });
  if (surveyed) {
    const ids = surveyed.defects.map(({ id }) => id);
    const kinds = [...base.slice(0, 1), ...configuredKinds(base), ...base.slice(1)];
    return {
      policy,
      defect,
      kinds,
      defects: ids,
      kernel: (kind, laid) => withSeries(kernelOf(surveyed.over, kinds[kind]!, image), kinds[kind]!, laid),
      laidOn: (kind, some) => laidOn(kinds[kind]!, some),
    };
  }
  const kinds =
    defect === undefined
      ? base
      : kindsFor(defect, defectOf(defect)?.configuration === undefined ? base : [...configuredKinds(base), ...base]);
  if (defect !== undefined && options.only === "core" && toward([defect], kinds[0]!, CORE_FAMILIES).length === 0) {
    throw new InputError({
      file: "--only",
      reason: `${defect} shows by operations on ${familiesOf(defect)
        .filter((family) => !CORE_FAMILIES.includes(family))
        .map(({ name }) => name)
        .join(", ")}, which are not of the core`,
      remedy: "leave it out",
    });
  }
  return {
    policy,
    defect,
    kinds,
    defects: defect === undefined ? [] : [defect],
    kernel(kind, laid) {
      const sound = kernelOf(policy, kinds[kind]!, image);
      return laid.length === 0 ? sound : withDefect(sound, defectOf(defect!)!);
    },
    laidOn: (_kind, ids) => ids,
  };
}

/** A bug on its own kernel. */
const taskOfBug = (bug: Bug): Task => ({
  policy: policyOfBug(bug),
  bug,
  defect: bug.id,
  kinds: [kindOfBug(bug)],
  defects: [bug.id],
  kernel: (_kind, laid) => kernelOfBug(bug, laid.length > 0, policyOfBug(bug)),
  laidOn: (_kind, ids) => ids,
});

/** The kinds a defect can show on. @throws InputError when there are none: nothing would be looked for */
function kindsFor(defect: string, kinds: readonly Kind[]): readonly Kind[] {
  const reason = outOfReach(defect, kinds);
  if (reason !== undefined)
    throw new InputError({
      file: "--defect",
      reason: `${defect} ${reason}`,
      remedy: "leave out the options that exclude it",
    });
  return kinds.filter((kind) => canShow(defect, kind));
}

/** What a defect or a bug is. */
const sentenceOfFault = (id: string): string => (defectOf(id) ?? bugOf(id))?.sentence ?? "";

/** Why defects that were laid did not show. */
const unseenOf = ({ kinds }: Task, { unseen, runs }: Result): Unseen[] =>
  unseen.map((name) => ({
    name,
    what: sentenceOfFault(name),
    why: outOfReach(name, kinds) ?? `not in ${countText(runs, "run")}`,
  }));

const document = (task: Task, result: Result, image: KernelImage | undefined): string =>
  jsonText(
    checkDocument(
      { ...task, policy: task.policy.name, kernel: image?.name },
      { ...result, unseen: unseenOf(task, result) },
    ),
  );

/** What `--defect` takes, each with its sentence, for the help: at most 80 columns wide on any screen. */
function defectList({ columns }: Screen): string {
  const lines = DEFECTS.flatMap(({ id, sentence }) =>
    wrap(sentence, Math.min(columns, 78) - 16).map((part, at) => `  ${(at === 0 ? id : "").padEnd(14)}${part}`),
  );
  return `\nDefects (--defect); more in docs/series-as-posted.md:\n${lines.join("\n")}\n`;
}

/** What a defect that was asked for is. */
const aboutDefect = (id: string, screen: Screen): string => {
  const bug = bugOf(id);
  if (bug) return `\n${wrap(`${bug.happened} kreplica bugs ${id} says more.`, screen.columns).join("\n")}\n`;
  const { sentence, patch, effect, confirmed } = defectOf(id)!;
  const about = `${id}, ${patch}: ${sentence}. What comes of it: ${effect}. How it is known: ${confirmed}.`;
  return `\n${wrap(about, screen.columns).join("\n")}\n`;
};

function text(task: Task, result: Result, image: KernelImage | undefined, { screen }: CommandContext): string {
  const { findings, runs, steps, coverage } = result;
  const found = findings.map((each) => ({
    name: nameOf(each),
    what: each.names.map(sentenceOfFault).join("; "),
    invariant: each.invariant,
    sentence: sentenceOf(each.invariant),
    detail: each.detail,
    kernel: kindText(task.kinds[each.kind]!),
    operations: told(task.kernel(each.kind, each.laid), each.operations).map((operation) =>
      repertoire.describe(operation),
    ),
    alone: each.names.length === each.laid.length,
  }));
  const checked = `${task.policy.name}${task.defect === undefined ? "" : ` with ${task.defect}`}${image ? ` on ${image.name}` : ""}`;
  const named = findings.filter(({ names }) => names.length > 0).length;
  const words = [
    ...(named > 0 ? [`${countText(named, "defect")} found`] : []),
    ...(findings.length > named ? [`${countText(findings.length - named, "rule")} broken`] : []),
  ];
  const unseen = unseenOf(task, result);
  const verdict =
    words.length > 0
      ? screen.bad(words.join(", "))
      : unseen.length > 0
        ? screen.bad(`${task.defect ?? countText(unseen.length, "defect")} not seen`)
        : screen.good("nothing found");
  // One run boots one kind: fewer runs than kinds leave the rest unlooked at.
  const kinds = Math.min(runs, task.kinds.length);
  const more = findingsText(found, unseen, kinds, screen);
  const said = `${checked}: ${countText(runs, "run")}, ${countText(steps, "operation")} on ${countText(kinds, "kind")} of kernel: ${verdict}`;
  const trodden =
    coverage && coverage.transitions > 0
      ? `${more === "" ? "" : "\n"}${wrap(
          `CPUs' loaded tables were seen in ${countText(coverage.states, "state")} (lazy, temporary, another node's, flushes missed or owed), with ${countText(coverage.transitions, "way")} from one to another.`,
          screen.columns,
        ).join("\n")}\n`
      : "";
  return `${wrap(said, screen.columns).join("\n")}\n${more === "" ? "" : `\n${more}`}${task.defect === undefined ? "" : aboutDefect(task.defect, screen)}${trodden}`;
}
