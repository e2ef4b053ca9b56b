/** `kreplica record`: a recording of the user's own kernel and program, under QEMU. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { InputError, whyNot } from "@kreplica/inputs";
import { checkTrace, cutTrace, type CutRequest, traceTests } from "@kreplica/trace";
import type { Command } from "commander";
import { Option } from "commander";
import { cacheFolder } from "../cache-folder.js";
import { NODES_FILE } from "../inputs/guest-nodes.js";
import { shownPath } from "../inputs/input-file.js";
import { readInput } from "../inputs/read-input.js";
import { traceFile } from "../inputs/trace-file.js";
import { type GuestMachine, guestOf, nodesText, plainGuest } from "../record/guest-machine.js";
import { guestRoot, TESTS } from "../record/guest-root.js";
import { rootArchive } from "../record/root-archive.js";
import { type GuestEnd, runGuest } from "../record/run-guest.js";
import { recordTools } from "../record/tools.js";
import { type OutputRecording, outputRecording } from "../report/output-recording.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addMachineOptions, type MachineOptions, readMachine } from "./options.js";
import { declareRules } from "./rules.js";
import { fileOption, numberOption } from "./values.js";
import { countText } from "../report/units.js";

interface Options extends MachineOptions {
  readonly kernel?: string;
  readonly run?: string;
  readonly root?: string;
  readonly initrd?: string;
  readonly modules?: string;
  readonly marked?: boolean;
  readonly rfc?: boolean;
  readonly iterations: number;
  readonly output?: string;
}

/** Lines of a console that are shown. */
const LAST = 6;

/** The cover letter's seven, by their keys. */
const RFC = traceTests.filter(({ reported }) => reported !== undefined);

export function registerRecord(program: Command, context: CommandContext): void {
  const command = program
    .command("record")
    .summary("record a program and its kernel under QEMU, for compare --traces")
    .description(
      "Boots a kernel under QEMU with the nodes of a machine, runs a command on the last node, and writes every instruction, load and store of kernel and program, with physical pages, as a KTRC1 recording; numa.txt beside it says which nodes the guest had. Ctrl-C ends it, and leaves what was recorded up to there.",
    )
    .addOption(fileOption("--kernel <file>", "vmlinuz to boot and record"))
    .addOption(
      new Option(
        "--run <command>",
        'program and its words, recorded from start to end: "./server 80". Linked with -static, or in the folder of --root',
      ),
    )
    .addOption(new Option("--root <dir>", "root file system in which the command runs (default: /bin/true and itself)"))
    .addOption(
      new Option(
        "--marked",
        "record only what the program marks itself (recorder/mark.h), not all from its start to its end",
      ),
    )
    .addOption(fileOption("--initrd <file>", "boot this one in place of --run: what a program in it marks is recorded"))
    .addOption(new Option("--modules <dir>", "load the .ko files of this folder first"))
    .addOption(new Option("--rfc", "record the seven tests of the RFC, a file each in the folder that -o names"))
    .addOption(
      numberOption("--iterations <count>", "--rfc: how often its four loops run", { least: 1, most: 1024 }, 16),
    );
  addMachineOptions(command)
    .addOption(new Option("-o, --output <file>", "the recording to write; packed where it ends in .zst"))
    .addHelpText(
      "after",
      examples(
        ['kreplica record --kernel vmlinuz --run "./webserver 100" -o web.kt.zst', "a program of one's own"],
        ["kreplica compare --traces web.kt.zst --recorded-kernel vmlinuz", "what replication would do for it"],
        ["kreplica record --kernel vmlinuz --rfc -o recordings", "the RFC's seven tests on one's own kernel"],
        ["kreplica record --kernel vmlinuz --run sh --root /srv/root -o sh.kt", "a program with its libraries"],
      ) + exitCodes,
    )
    .action((options: Options) => recorded(options, context));
  declareRules(command, [
    ...["--root", "--marked"].map((option) => ({ option, needs: "--run" })),
    { option: "--iterations", needs: "--rfc" },
    ...["--run", "--rfc", "--modules"].map((option) => ({
      option,
      not: "--initrd",
      because: "what runs is what lies in that one",
    })),
    { option: "--run", not: "--rfc", because: "what runs is the seven tests" },
  ]);
}

async function recorded(options: Options, context: CommandContext): Promise<void> {
  const { kernel, run, root, modules, marked, rfc, iterations, initrd, output, machine, base } = options;
  if (output === undefined)
    throw new InputError({ file: "--output", reason: "not given", remedy: "name the recording to write with -o" });
  if (kernel === undefined)
    throw new InputError({ file: "--kernel", reason: "not given", remedy: "name the vmlinuz to record" });
  if (run === undefined && rfc !== true && initrd === undefined)
    throw new InputError({ file: "--run", reason: "not given", remedy: "name the command to record, or say --rfc" });
  const guest = machine === undefined && base === undefined ? plainGuest : guestOf(readMachine(options));
  if (initrd !== undefined) refuseOtherThanInitrd(initrd);
  refuseOtherThanVmlinuz(kernel);
  const command = rfc === true ? [TESTS, `${iterations}`, ...RFC.map(({ key }) => key)] : wordsOf(run ?? TESTS);
  const tools = recordTools(cacheFolder(process.env));
  const request = {
    init: tools.init,
    command,
    ...(root === undefined ? {} : { root }),
    ...(modules === undefined ? {} : { modules }),
  };
  const files = initrd === undefined ? guestRoot(request) : [];
  const targets: readonly Target[] =
    rfc === true ? testsIn(output) : [{ file: output, request: {}, to: outputRecording(output) }];
  const nodes = nodesBeside(targets[0]!.file, guest);
  const work = mkdtempSync(join(tmpdir(), "kreplica-record-"));
  try {
    const archive = initrd ?? join(work, "initrd");
    if (initrd === undefined) writeFileSync(archive, rootArchive(files));
    const raw = join(work, "recording.kt");
    const append = marked === true ? ["kreplica.marked=1"] : [];
    const end = await ran({ tools, machine: guest, kernel, initrd: archive, append, output: raw }, context);
    refuseNothing(raw, end, marked === true || initrd !== undefined);
    if (nodes.fresh) writeFileSync(nodes.file, nodesText(guest));
    written(raw, targets, context);
    if (end.interrupted) context.remark("interrupted: the end marker stands where the guest was stopped");
    const traces = shownPath(rfc === true ? output : targets[0]!.file);
    context.print(
      `${shownPath(nodes.file)}: the nodes of the guest\nTo compare:\n  kreplica compare --traces ${traces} --recorded-kernel ${shownPath(kernel)}\non this machine with --machine this, on others with the names that \`kreplica machine\` lists\n`,
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Runs it, and says what goes on. */
async function ran(run: Parameters<typeof runGuest>[0], context: CommandContext): Promise<GuestEnd> {
  context.remark(
    `${countText(run.machine.nodes.length, "node")}, ${countText(
      run.machine.nodes.reduce((sum, { cpus }) => sum + cpus.length, 0),
      "CPU",
    )}; recorded is CPU ${run.machine.cpu}. Booting`,
  );
  let failed = 0;
  const end = await runGuest(run, (word, value) => {
    if (word === "start") context.remark("recording");
    else if (word === "exit") failed = value;
    else if (word === "modules-left") context.remark(`${countText(value, "module")} could not be loaded`);
    else if (word.startsWith("no-")) context.remark(`in the guest: ${word} (errno ${value})`);
    else context.remark(`recording ${word}`);
  });
  if (failed !== 0) context.remark(`the command ended with ${failed}. The last the console said:\n  ${lastSaid(end)}`);
  return end;
}

interface Target {
  readonly file: string;
  readonly request: CutRequest;
  readonly to: OutputRecording;
}

const refuse = (reason: string, remedy: string): never => {
  throw new InputError({ file: "the guest", reason, remedy });
};

/** Why a kernel gave up, where it did, and the last lines. */
function lastSaid({ said }: GuestEnd): string {
  const lines = said.trimEnd().split("\n");
  const last = lines.slice(-LAST);
  const why = lines.slice(0, -LAST).filter((line) => line.includes("Kernel panic"));
  return [...why, ...last].join("\n  ");
}

/**
 * @param marks whether the program has to mark what is recorded
 * @throws InputError when QEMU failed, or no test was recorded @throws TraceError for a recording that is not whole
 */
function refuseNothing(raw: string, end: GuestEnd, marks: boolean): void {
  if (end.code !== 0 || statSync(raw, { throwIfNoEntry: false }) === undefined)
    refuse(`QEMU ended with ${end.code}. The last it said:\n  ${lastSaid(end)}`, "see what it says");
  if (checkTrace(traceFile(raw)).whole > 0) return;
  refuse(
    end.interrupted
      ? "ended before anything was recorded"
      : `nothing was recorded: no marker was passed. The last the console said:\n  ${lastSaid(end)}`,
    marks && !end.interrupted && !end.said.includes("Kernel panic")
      ? "put KREPLICA_START and KREPLICA_END of recorder/mark.h around what is to be recorded"
      : "give it time to boot, and see that the kernel has a serial console and unpacks an initrd",
  );
}

/** Writes what was recorded where it is wanted. @throws InputError for a test that is missing */
function written(raw: string, targets: readonly Target[], context: CommandContext): void {
  for (const { file, request, to } of targets) {
    let made = { instructions: 0, loads: 0, stores: 0, windows: 0 };
    to.write((sink) => {
      made = cutTrace(traceFile(raw), request, sink);
      if (made.instructions === 0)
        refuse(`ended before ${file} was recorded`, "let it run to its end; what was recorded before is there");
    });
    context.print(
      `${shownPath(file)}: ${countText(made.instructions, "instruction")}, ${countText(made.loads, "load")}, ${countText(made.stores, "store")}\n`,
    );
  }
}

/** A file for each of the seven tests. @throws InputError for a folder that cannot be made */
function testsIn(folder: string): Target[] {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new InputError({ file: folder, field: "--output", ...whyNot(error, "name a folder to write into") });
  }
  return RFC.map(({ id, key }) => {
    const file = join(folder, `${key}.kt.zst`);
    return { file, request: { test: id }, to: outputRecording(file) };
  });
}

/** @throws InputError where the recordings beside are of another guest */
function nodesBeside(recording: string, machine: GuestMachine): { readonly file: string; readonly fresh: boolean } {
  const file = join(dirname(recording), NODES_FILE);
  if (!existsSync(file)) return { file, fresh: true };
  if (readFileSync(file, "utf8") !== nodesText(machine))
    throw new InputError({
      file,
      reason: "says that the recordings beside it are of a guest with other nodes",
      remedy: "write into another folder",
    });
  return { file, fresh: false };
}

/** @throws InputError for what QEMU cannot boot */
function refuseOtherThanVmlinuz(file: string): void {
  const bytes = readInput(file, "name the vmlinuz to record", "--kernel");
  if (bytes.toString("latin1", 0x202, 0x206) === "HdrS") return;
  throw new InputError({
    file,
    field: "--kernel",
    reason: "is no vmlinuz (no HdrS at byte 514)",
    remedy: "name the packed kernel that a boot loader boots: /boot/vmlinuz-*",
  });
}

/** First bytes of an archive, plain or packed. @source Documentation/driver-api/early-userspace/buffer-format.rst */
const ARCHIVES = [
  "070701",
  "070702",
  "\x1f\x8b",
  "\xfd7zXZ",
  "\x28\xb5\x2f\xfd",
  "BZh",
  "\x02\x21\x4c\x18",
  "\x5d\0\0",
];

/** @throws InputError for what Linux cannot unpack */
function refuseOtherThanInitrd(file: string): void {
  const remedy = "name a cpio archive in newc form, plain or packed";
  const head = readInput(file, remedy, "--initrd").toString("latin1", 0, 6);
  if (ARCHIVES.some((each) => head.startsWith(each))) return;
  throw new InputError({ file, field: "--initrd", reason: "is no archive that Linux unpacks at boot", remedy });
}

/** Words of a command; quotes keep blanks. @throws InputError for none, or an open quote */
function wordsOf(text: string): string[] {
  const words = [...text.matchAll(/"([^"]*)"|'([^']*)'|([^\s"']+)/g)].map((each) => each[1] ?? each[2] ?? each[3]!);
  if (words.length === 0 || /["']/.test(text.replace(/"[^"]*"|'[^']*'/g, "")))
    throw new InputError({
      file: "--run",
      reason: words.length === 0 ? "empty" : "a quote is not closed",
      remedy: "write the program and its words",
    });
  return words;
}
