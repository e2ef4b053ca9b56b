/** `kreplica trace`: what is in recordings, whether they are whole, parts of them, several as one. */
import { didYouMean, InputError, parseCpuList } from "@kreplica/inputs";
import {
  type CutRequest,
  type CutResult,
  cutTrace,
  exportChampSim,
  exportDin,
  exportDrmemtrace,
  exportDrmemtraceTemplates,
  type ForeignFormat,
  foreignFormatOf,
  foreignFormats,
  importTrace,
  markedCpu,
  mergeTraces,
  type Recording,
  traceTests,
} from "@kreplica/trace";
import { type Command, Option } from "commander";
import { inputPath, shownPath } from "../inputs/input-file.js";
import { traceFile } from "../inputs/trace-file.js";
import { checkRecordings, takeInventory } from "../inputs/trace-contents.js";
import { jsonText } from "../report/documents/json-text.js";
import { traceCheckDocument, traceDocument } from "../report/documents/trace.js";
import { outputRecording } from "../report/output-recording.js";
import { traceCheckText, traceText } from "../report/trace.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { jsonOption, type JsonOption } from "./options.js";
import { choiceOption, fileOption, numberOption } from "./values.js";
import { countText } from "../report/units.js";

interface Options extends JsonOption {
  readonly test?: string;
  readonly cpus?: string;
  readonly mode?: "kernel" | "user";
  readonly instructions?: string;
  readonly systemMap?: string;
  readonly top: number;
  readonly from?: ForeignFormat["name"];
  readonly to?: (typeof TO)[number];
  readonly calls?: string;
  readonly output?: string;
}

/** What it does, and the options that say more of it. */
const ACTIONS: Readonly<Record<string, readonly (keyof Options)[]>> = {
  info: ["systemMap", "top", "json"],
  check: ["json"],
  cut: ["test", "cpus", "mode", "instructions", "output"],
  merge: ["output"],
  convert: ["from", "to", "cpus", "calls", "output"],
};

const FROM = foreignFormats.map(({ name }) => name);
const TEMPLATES = "drmemtrace-templates";
const TO = ["champsim", "din", "drmemtrace", TEMPLATES] as const;

export function registerTrace(program: Command, context: CommandContext): void {
  const command = program
    .command("trace")
    .summary("look into recordings, check, cut and merge them")
    .description(
      "info: what is in a recording, by test, CPU, mode, region and function. check: whether it is whole, and where not. cut: a part of it, with its pages and markers, as a recording of its own. merge: several, one behind the other. convert: the same packed by zstd or plain, as the name of the output says; traces of other programs (--from) as recordings, and recordings as traces of theirs (--to).",
    )
    .argument("<what>", Object.keys(ACTIONS).join(", "))
    .argument(
      "<files...>",
      "recordings, KTRC1, plain or zstd; - is standard input",
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), inputPath(path, "<files>")],
    )
    .addOption(new Option("--test <name>", "cut: only this test, by name (fork-1, mount, ...) or number in its marker"))
    .addOption(
      new Option(
        "--cpus <list>",
        "cut: only these virtual CPUs, 0,2-3; convert --to: the one to write (default: the test's)",
      ),
    )
    .addOption(choiceOption("--mode <kernel|user>", "cut: only what ran in this mode", ["kernel", "user"]))
    .addOption(
      new Option(
        "--instructions <range>",
        "cut: only these, FROM-TO, counted from 0 in what else was asked for; TO is the first left out",
      ),
    )
    .addOption(
      fileOption(
        "--system-map <file>",
        "info: System.map of the recorded kernel (default: that of the shipped recordings, where it fits)",
      ),
    )
    .addOption(numberOption("--top <count>", "info: functions to list", { least: 1, most: 100_000 }, 10))
    .addOption(
      choiceOption(
        "--from <format>",
        "convert: format of the trace (default: as the end of its name says, else KTRC1)",
        FROM,
      ),
    )
    .addOption(
      choiceOption(
        "--to <format>",
        "convert: format to write (default: as the end of the output's name says, else KTRC1)",
        TO,
      ),
    )
    .addOption(
      new Option(
        "--calls <list>",
        `convert --to ${TEMPLATES}: numbers of the system calls between the markers, in order (default: the test's)`,
      ),
    )
    .addOption(
      new Option("-o, --output <file>", "cut, merge, convert: the recording to write; packed where it ends in .zst"),
    )
    .addOption(jsonOption());
  command
    .addHelpText(
      "after",
      examples(
        ["kreplica trace info fork1.kt.zst", "tests, CPUs, regions, functions"],
        ["kreplica trace check recordings/*.kt.zst", "exit code 2 where one is damaged, and at which byte"],
        ["kreplica trace cut all.kt.zst --test mount -o mount.kt.zst", "one test of several"],
        ["kreplica trace cut long.kt.zst --cpus 2 --instructions 0-1000000 -o short.kt", "its beginning on one CPU"],
        ["kreplica trace merge a.kt b.kt -o both.kt.zst", "one behind the other"],
        ["kreplica trace convert a.kt.zst -o a.kt", "unpacked"],
        ["kreplica trace convert x.gz --from din -o x.kt", "of Dinero; `compare --traces` takes it"],
        ["kreplica trace convert app.trace.zip -o app.kt.zst", "of DynamoRIO's drmemtrace"],
        [
          "kreplica trace convert kill.kt.zst --to drmemtrace -o kill.trace",
          "for it: the kernel's loads and stores, too",
        ],
        [`kreplica trace convert fork1.kt.zst --to ${TEMPLATES} -o fork.memtrace`, "for its -syscall_template_file"],
        [
          "kreplica trace convert mount.kt.zst -o mount.din",
          "for Dinero: kernel addresses of instructions, loads, stores",
        ],
      ) + exitCodes,
    )
    .action((what: string, files: readonly string[], options: Options) => {
      if (!(what in ACTIONS))
        throw new InputError({
          file: "<what>",
          reason: `${JSON.stringify(what)} is nothing that trace does`,
          remedy: didYouMean(what, Object.keys(ACTIONS)),
        });
      refuseOthers(command, what);
      act(what, files, options, context);
    });
}

/** @throws InputError for an option that says nothing of what is done */
function refuseOthers(command: Command, what: string): void {
  for (const option of command.options) {
    const name = option.attributeName() as keyof Options;
    if (command.getOptionValueSource(name) !== "cli" || !Object.values(ACTIONS).flat().includes(name)) continue;
    if (ACTIONS[what]!.includes(name)) continue;
    const others = Object.entries(ACTIONS).flatMap(([other, names]) => (names.includes(name) ? [other] : []));
    throw new InputError({
      file: option.long!,
      reason: `means nothing to trace ${what}: it is for ${others.join(", ")}`,
      remedy: "leave it out",
    });
  }
}

const nameOf = (test: number): string => traceTests.find((each) => each.id === test)?.name ?? "";

function act(what: string, files: readonly string[], options: Options, context: CommandContext): void {
  switch (what) {
    case "info": {
      const taken = takeInventory(files, options.systemMap);
      if (options.json) return context.print(jsonText(traceDocument(taken, nameOf, options.top)));
      return context.print(
        taken
          .map(({ file, inventory }) => traceText(shownPath(file), inventory, nameOf, options.top, context.screen))
          .join("\n"),
      );
    }
    case "check": {
      const { checked, fault } = checkRecordings(files);
      context.print(options.json ? jsonText(traceCheckDocument(checked)) : traceCheckText(checked, context.screen));
      if (fault) throw fault;
      return;
    }
    case "merge":
      return written(options, context, (sink) => mergeTraces(files.map(traceFile), sink));
    case "cut": {
      const request = requestOf(options);
      return written(options, context, (sink) => cutTrace(single(files, what), request, sink));
    }
    default:
      return written(options, context, conversion(single(files, what), options, context));
  }
}

/** What writes the output of `convert`. @throws InputError for formats that do not go together */
function conversion(
  recording: Recording,
  { from, to, output = "", cpus, calls }: Options,
  context: CommandContext,
): (sink: (piece: Uint8Array) => void) => CutResult {
  const source = from ?? foreignFormatOf(recording.name)?.name;
  const target = to ?? TO.find((each) => each === foreignFormatOf(output)?.name);
  if (target === undefined && cpus !== undefined)
    throw new InputError({
      file: "--cpus",
      reason: "a recording is converted with all of its CPUs",
      remedy: "cut it, or name the format of another program with --to",
    });
  if (target !== TEMPLATES && calls !== undefined)
    throw new InputError({
      file: "--calls",
      reason: "only templates of system calls have their numbers",
      remedy: `add --to ${TEMPLATES}, or leave it out`,
    });
  if (source !== undefined && target !== undefined)
    throw new InputError({
      file: "--to",
      reason: `from ${source} to ${target} leads through a recording`,
      remedy: "convert to a .kt file first, and that one then",
    });
  if (source !== undefined) {
    const { description } = foreignFormats.find(({ name }) => name === source)!;
    return (sink) => {
      const imported = importTrace(recording, source, sink);
      context.remark(
        `${description}. Filled: physical pages in order of first touch on the data's node (${countText(imported.pages, "page")}), lengths and sizes that it does not tell, by the next instruction and as 1 byte; all on one CPU`,
      );
      return { ...imported, windows: 1 };
    };
  }
  if (target === undefined) return (sink) => cutTrace(recording, {}, sink);
  const cpu = cpus === undefined ? markedCpu(recording) : [...cpusIn(cpus)];
  if (typeof cpu !== "number" && cpu.length > 1)
    throw new InputError({
      file: "--cpus",
      reason: `${cpu.length} CPUs, and a trace for ${target} is of one`,
      remedy: "write one file for each",
    });
  const one = typeof cpu === "number" ? cpu : cpu[0]!;
  if (target === TEMPLATES) {
    const numbers = calls === undefined ? undefined : callNumbers(calls);
    return (sink) => {
      const { calls: found, ...counted } = exportDrmemtraceTemplates(recording, one, sink, numbers);
      context.remark(`templates of the system calls ${found.join(", ")}, in this order; without encodings`);
      return { ...counted, windows: 0 };
    };
  }
  const write = { din: exportDin, champsim: exportChampSim, drmemtrace: exportDrmemtrace }[target];
  return (sink) => ({ ...write(recording, one, sink), windows: 0 });
}

/** Numbers of system calls. @throws InputError for what is no list of them */
function callNumbers(list: string): number[] {
  if (/^\d{1,3}(,\d{1,3})*$/.test(list)) return list.split(",").map(Number);
  throw new InputError({
    file: "--calls",
    reason: `${JSON.stringify(list)} is no list of system calls`,
    remedy: "write their numbers on x86-64, in order: 56,61",
  });
}

/** @throws InputError for more than one file */
function single(files: readonly string[], what: string): Recording {
  if (files.length > 1)
    throw new InputError({
      file: "<files>",
      reason: `${files.length} recordings, and ${what} takes one`,
      remedy: "give one, or merge them first",
    });
  return traceFile(files[0]!);
}

/** Writes what comes out, and says how much. @throws InputError when nothing would be in it */
function written(
  { output }: Options,
  context: CommandContext,
  work: (sink: (piece: Uint8Array) => void) => CutResult,
): void {
  if (output === undefined)
    throw new InputError({ file: "--output", reason: "not given", remedy: "name the recording to write with -o" });
  const to = outputRecording(output);
  let result: CutResult | undefined;
  to.write((sink) => {
    result = work(sink);
    if (result.instructions === 0)
      throw new InputError({
        file: output,
        reason: "nothing that was asked for is in the recording, and nothing is written",
        remedy: "see what is in it with `kreplica trace info`",
      });
  });
  const { instructions, loads, stores, windows } = result!;
  context.print(
    `${output}: ${countText(instructions, "instruction")}, ${countText(loads, "load")}, ${countText(stores, "store")}, ${countText(windows, "test")}\n`,
  );
}

/** @throws InputError for a value that is none */
function requestOf({ test, cpus, mode, instructions }: Options): CutRequest {
  return {
    ...(test === undefined ? {} : { test: testNumber(test) }),
    ...(cpus === undefined ? {} : { cpus: cpusIn(cpus) }),
    ...(mode === undefined ? {} : { mode }),
    ...(instructions === undefined ? {} : rangeOf(instructions)),
  };
}

function testNumber(test: string): number {
  const known = traceTests.find(({ name, key }) => name === test || key === test);
  if (known) return known.id;
  if (/^\d{1,3}$/.test(test) && Number(test) < 256) return Number(test);
  throw new InputError({
    file: "--test",
    reason: `there is no test ${JSON.stringify(test)}`,
    remedy: didYouMean(
      test,
      traceTests.map(({ name }) => name),
      "name a test, or give the number in its marker, 0 to 255",
    ),
  });
}

function cpusIn(list: string): ReadonlySet<number> {
  const found = parseCpuList(list);
  if (!found || found.length === 0)
    throw new InputError({
      file: "--cpus",
      reason: `${JSON.stringify(list)} is no list of CPUs`,
      remedy: "write numbers and ranges: 0,2-3",
    });
  return new Set(found);
}

function rangeOf(text: string): { readonly from: number; readonly to: number } {
  const [, from, to] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? [];
  if (from === undefined || Number(from) >= Number(to))
    throw new InputError({
      file: "--instructions",
      reason: `${JSON.stringify(text)} is no range with anything in it`,
      remedy: "write FROM-TO, 0-1000000; TO is the first left out",
    });
  return { from: Number(from), to: Number(to) };
}
