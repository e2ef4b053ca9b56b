/** `kreplica report`: the comparison as one page to look at, with the machine, the tables, the boot and the designs. */
import type { AddressRange } from "@kreplica/hw-x86/api";
import { type Booted, POLICIES } from "@kreplica/kernel";
import { policyCosts } from "@kreplica/replay";
import { reportPage } from "@kreplica/report";
import { imageAddress } from "@kreplica/mm-core";
import { type Command, Option } from "commander";
import { kernelFrom } from "../boot.js";
import { comparedPoliciesDocument } from "../report/documents/compared-policies.js";
import { explainDocument } from "../report/documents/explain.js";
import { machineCompareDocument } from "../report/documents/compare-nodes.js";
import { chosenTraces } from "../inputs/traces.js";
import { jsonText } from "../report/documents/json-text.js";
import { pageDocument, type PageParts } from "../report/documents/report.js";
import { pageFile } from "../report/output-file.js";
import { runExplain } from "../run-explain.js";
import { mapDocumentOf, runMap } from "../run-map.js";
import { runPolicies } from "../run-policies.js";
import { type Part, tableTree } from "../report/table-trees.js";
import { addCompareOptions, comparison, type CompareOptions, finish } from "./compare.js";
import { addBusyOptions, BUSY_RULES } from "./busy-option.js";
import { chosenRecordings } from "./chosen-recordings.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addLayoutsOptions, LAYOUTS_RULES } from "./layouts-option.js";
import { addMixOptions, MIX_RULES } from "./mix-options.js";
import { jsonOption, type JsonOption } from "./options.js";
import { declareRules } from "./rules.js";

const DEFAULT_FILE = "report.html";
/** Functions of a test that are told one by one. */
const FUNCTIONS = 12;

type ReportOptions = CompareOptions &
  JsonOption & {
    readonly output: string;
    readonly explain?: boolean;
    readonly map?: string;
    readonly policies?: boolean;
  };

export function registerReport(program: Command, context: CommandContext): void {
  declareRules(
    addBusyOptions(
      addLayoutsOptions(
        addMixOptions(
          addCompareOptions(
            program
              .command("report")
              .summary("write the comparison as a page to look at")
              .description(
                "Does what compare does, and writes one self-contained HTML file: gains with intervals, why, the machine and what crosses its links, memory, page tables of every node before and after, the boot, all designs beside each other, what was assumed. It needs no network, and reads well without script, in the dark and on paper.",
              ),
          ),
        ),
      ),
    ),
    [
      ...LAYOUTS_RULES,
      ...MIX_RULES,
      ...BUSY_RULES,
      ...["--load", "--pressure"].map((option) => ({
        option,
        not: "--explain",
        because: "it looks at each cause alone, load and pressure among them, on an otherwise idle machine",
      })),
      ...["--load", "--pressure"].map((option) => ({
        option,
        not: "--policies",
        because: "designs are compared on an otherwise idle machine",
      })),
      { option: "--load", not: "--map", because: "a map's distances are those of an idle machine" },
    ],
  )
    .addOption(new Option("--explain", "and what it would take for each gain to equal a reported one, cause by cause"))
    .addOption(
      new Option("--map <test>", "and where this test gains, over L2 size, far over near latency and inclusion"),
    )
    .addOption(new Option("--policies", "and what each design gains, beside what it costs"))
    .addOption(new Option("-o, --output <file>", "the page; - is standard output").default(DEFAULT_FILE))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica report", `the main job, as ${DEFAULT_FILE}`],
        ["kreplica report --machine epyc-7713-2s -o epyc.html", "another machine"],
        ["kreplica report --layouts 3 --mix strace.txt", "other layouts' spread, and weighted by one's own calls"],
        ["kreplica report --test kill --explain --map kill", "what it would take, and a map"],
        ["kreplica report --test kill --policies", "and all designs, gain beside cost"],
        ["kreplica report --json > report.json", "the page, and every number in it as one JSON document"],
      ) + exitCodes,
    )
    .action(async (options: ReportOptions) => {
      // Before the work: what cannot be written is known at once.
      const file = pageFile(options.output, options.json);
      const recording = mapped(options);
      let seen: Pick<PageParts, "timeline" | "tables"> | undefined;
      // Cycles are told by function of an idle machine alone.
      const idle = options.load === undefined && options.pressure === undefined;
      const asked = idle ? { ...options, functions: FUNCTIONS } : options;
      const result = await comparison(asked, context, options.cpu === undefined, (one, copies) => {
        seen = {
          timeline: copies.timeline,
          tables: [
            { kernel: "one copy", node: one.view.master, root: rootTree(one, one.view.master) },
            ...copies.view.holders.map((node) => ({ kernel: "copies" as const, node, root: rootTree(copies, node) })),
          ],
        };
      });
      if (seen && result.tests.length > 0) {
        const { job, tests, reported } = result;
        const files = [...new Set(tests.map(({ file }) => file))];
        const explanation = options.explain
          ? await runExplain(
              job,
              { policy: options.policy, files, layouts: options.layouts ?? 0, reported },
              context.progress,
            )
          : undefined;
        const map =
          recording === undefined ? undefined : await runMap(job, options.policy, recording, context.progress);
        const designs = options.policies
          ? await runPolicies(job, Object.values(POLICIES), files, context.progress)
          : undefined;
        context.progress.stop();
        const costs =
          designs?.policies.map(({ cost }) => cost) ??
          policyCosts(kernelFrom({ spec: job.spec, levels: job.levels, pti: job.pti }), Object.keys(POLICIES));
        const shown = pageDocument({
          command: `kreplica report${told(options)}`,
          comparison: machineCompareDocument(result),
          spec: job.spec,
          ...seen,
          ...(explanation ? { explain: explainDocument(explanation) } : {}),
          ...(map ? { map: mapDocumentOf(map) } : {}),
          ...(designs ? { comparedPolicies: comparedPoliciesDocument(designs) } : {}),
          policies: Object.entries(POLICIES).map(([name, { summary }], i) => ({ name, summary, cost: costs[i]! })),
        });
        if (options.json) context.print(jsonText(shown));
        const page = reportPage(shown);
        if (file) {
          file.write(page);
          context.remark(`${file.path} is written: open it in a browser`);
        } else context.print(page);
      }
      finish(result, context);
    });
}

/**
 * The recording that a map is asked of.
 * @throws InputError where there is none
 */
function mapped({ map, traces, recordedKernel }: ReportOptions): string | undefined {
  if (map === undefined) return undefined;
  const files = chosenTraces(traces);
  return chosenRecordings(files, [map], recordedKernel !== undefined, "--map").recordings[0];
}

/** The options that say what was compared, as they were given. */
function told(options: CompareOptions): string {
  const words = Object.entries<unknown>({ ...options }).flatMap(([name, value]) => {
    // As the recorded kernel had it.
    if (["output", "json"].includes(name) || value === undefined || (name === "pti" && value === "on")) return [];
    const option = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return name === "work" ? [] : [option];
    if (value === false) return [`--no-${option.slice(2)}`];
    return [`${option} ${Array.isArray(value) ? value.join(" ") : isNamed(value) ? value.name : String(value)}`];
  });
  return words.length === 0 ? "" : ` ${words.join(" ")}`;
}

/** The tree of a node's kernel root, down to the image. */
function rootTree(kernel: Booted, node: number): ReturnType<typeof tableTree> {
  const { image, layout, machine, view } = kernel;
  const part = (what: string, { start, end }: AddressRange): Part => ({
    what,
    start: imageAddress(layout, start),
    end: imageAddress(layout, end),
  });
  return tableTree(
    {
      memory: machine.memory,
      nodeOf: (frame) => machine.memory.nodeOf(frame),
      levels: layout.levels,
      parts: [
        part("text", { start: image.stext, end: image.etext }),
        part("rodata", { start: image.startRodata, end: image.endRodata }),
        part("data", { start: image.endRodata, end: image.end }),
      ],
    },
    view.kernelRoot(node),
  );
}

/** A policy goes by its name. */
const isNamed = (value: unknown): value is { readonly name: string } =>
  typeof value === "object" && value !== null && "name" in value;
