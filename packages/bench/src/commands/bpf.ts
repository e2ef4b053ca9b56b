/**
 * `kreplica bpf`: verifies, compiles and runs the programs of a BPF object on every node, and shows what copies of
 * their code buy.
 */
import { readFileSync } from "node:fs";
import { didYouMean, InputError } from "@kreplica/inputs";
import type { KernelPolicy } from "@kreplica/kernel";
import { type BpfRun, runBpf } from "@kreplica/replay";
import { type Command, Option } from "commander";
import { BpfError, type BpfObject, disassembleOne, helpersOf, readObject, verify } from "@kreplica/bpf";
import { kernelFrom } from "../boot.js";
import { inputPath } from "../inputs/input-file.js";
import { bpfText, refusedText } from "../report/bpf.js";
import { bpfCodeDocument, bpfDocument, bpfVerifyDocument } from "../report/documents/bpf.js";
import { jsonText } from "../report/documents/json-text.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addMachineOptions,
  jsonOption,
  type JsonOption,
  type MachineOptions,
  masterNodeOption,
  type PlacementOptions,
  policyOption,
  readMachine,
  readPlacement,
} from "./options.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";
import { choiceOption, fileOption, listOption, numberOption } from "./values.js";

interface Options extends MachineOptions, PlacementOptions, JsonOption {
  readonly run?: string;
  readonly program?: readonly string[];
  readonly verifyOnly?: boolean;
  readonly disassemble?: boolean;
  readonly policy: KernelPolicy;
  readonly bpf: "shared" | "replicate" | "both";
  readonly repeat: number;
}

export function registerBpf(program: Command, context: CommandContext): void {
  const command = program
    .command("bpf")
    .summary("verify, compile and run a BPF object on every node, its code shared or replicated")
    .description(
      "Loads an object built by clang -target bpf as libbpf would, verifies its programs, compiles them to x86-64, runs each on a CPU of every node with cold caches, and shows where the code was fetched from.",
    )
    .argument("<file.o>", "object file", (path: string) => inputPath(path, "<file.o>"))
    .addOption(
      fileOption("--run <file>", "bytes of the context, or the packet for programs that have one (default: zeros)"),
    )
    .addOption(listOption("--program <names>", "programs to take (default: all)"))
    .addOption(new Option("--verify-only", "print the verifier's log and stop"))
    .addOption(new Option("--disassemble", "print the instructions as linked and stop"))
    .addOption(
      choiceOption(
        "--bpf <how>",
        "images shared by all nodes (as in the series), a copy on every node, or both compared",
        ["shared", "replicate", "both"],
        "shared",
      ),
    )
    .addOption(policyOption("who holds copies of the kernel"))
    .addOption(numberOption("--repeat <count>", "runs after the cold one", { least: 0, most: 100_000 }, 0));
  const looks = "the object is only read, nothing runs";
  declareRules(addMachineOptions(command).addOption(masterNodeOption()).addOption(jsonOption()), [
    { beside: "--disassemble", only: ["--program"], because: looks },
    { beside: "--verify-only", only: ["--program"], because: looks },
  ])
    .addHelpText(
      "after",
      examples(
        ["kreplica bpf filter.o", "every program on a CPU of every node"],
        ["kreplica bpf filter.o --run packet.bin --bpf both", "with a packet; shared and replicated images compared"],
        [
          "kreplica bpf filter.o --verify-only --program filter",
          "the verifier's log; a program it refuses is a check that does not hold",
        ],
      ) + exitCodes,
    )
    .action((file: string, options: Options) => {
      try {
        act(file, options, context);
      } catch (error) {
        if (error instanceof BpfError) {
          for (const line of error.log.slice(-20)) context.remark(line);
          throw new InputError({
            file,
            ...(error.place.offset === undefined ? {} : { offset: error.place.offset }),
            reason: error.message,
            remedy: remedyOf(error),
          });
        }
        throw error;
      }
    });
}

function act(file: string, options: Options, context: CommandContext): void {
  const object = readObject(bytesOf(file)),
    names = options.program ?? object.programs.map((each) => each.name);
  if (names.length === 0)
    throw new InputError({
      file: "--program",
      reason: "names no program",
      remedy: `choose from ${object.programs.map((each) => each.name).join(", ")}, or leave it out for all`,
    });
  const chosen = names.map((name) => object.programs.find((each) => each.name === name) ?? unknown(name, object));
  if (options.disassemble) {
    const listings = chosen.map(({ name, section, code, functions, lines }) => ({
      name,
      section,
      helpers: helpersOf(code),
      lines: listing(code, functions, lines),
    }));
    context.print(
      options.json
        ? jsonText(bpfCodeDocument(listings))
        : listings
            .map((each) => `${each.name} (${each.section})\n${each.lines.map((line) => `  ${line}\n`).join("")}`)
            .join("\n"),
    );
    return;
  }
  const verdicts = chosen.map(({ name, code, type, lines }) => ({
    name,
    ...verdict(() =>
      verify({
        code,
        type,
        lines,
        maps: object.maps,
        ...(options.verifyOnly ? { log: true, contextBytes: 65535 } : { log: false }),
      }),
    ),
  }));
  if (options.verifyOnly) {
    context.print(
      options.json
        ? jsonText(bpfVerifyDocument(verdicts))
        : verdicts
            .map(
              (each) => `${each.name}: ${each.refusal ?? "accepted"}\n${each.log.map((line) => `${line}\n`).join("")}`,
            )
            .join("\n"),
    );
    if (verdicts.some((each) => each.refusal !== undefined)) context.checkFailed();
    return;
  }
  const spec = readMachine(options),
    { masterNode } = readPlacement(options, spec);
  remarkOn(context, spec, options.policy);
  const input = options.run === undefined ? new Uint8Array(64) : bytesOf(options.run);
  // What the verifier refuses hides nothing of what it accepts: its answer is part of the report, as with
  // --verify-only.
  const refused = verdicts.flatMap(({ name, refusal }) => (refusal === undefined ? [] : [{ name, reason: refusal }]));
  const accepted = names.filter((name) => !refused.some((each) => each.name === name));
  const designs = accepted.length === 0 ? [] : options.bpf === "both" ? [false, true] : [options.bpf === "replicate"];
  const runs: BpfRun[] = designs.map((replicate) =>
    runBpf(kernelFrom({ spec, policy: options.policy, masterNode }), {
      replicate,
      object,
      programs: accepted,
      input,
      repeat: options.repeat,
    }),
  );
  context.print(
    options.json
      ? jsonText(bpfDocument({ machine: spec.name, file, policy: options.policy.name, runs, refused }))
      : bpfText(runs, `${file} on ${spec.name}, ${options.policy.name}`, options.repeat, context.screen) +
          refusedText(refused, context.screen),
  );
  if (
    refused.length > 0 ||
    runs.some((run) => run.programs.some((each) => each.nodes.some((node) => node.outcome !== "exit")))
  )
    context.checkFailed();
}

function bytesOf(file: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(file));
  } catch (error) {
    throw new InputError({
      file,
      reason: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown"}`,
      remedy: "check the path",
    });
  }
}

function unknown(name: string, object: BpfObject): never {
  throw new InputError({
    file: "--program",
    reason: `the object has no program "${name}"`,
    remedy: didYouMean(
      name,
      object.programs.map((each) => each.name),
    ),
  });
}

function listing(
  code: BpfObject["programs"][number]["code"],
  functions: BpfObject["programs"][number]["functions"],
  lines: BpfObject["programs"][number]["lines"],
): string[] {
  const out: string[] = [];
  for (let slot = 0; slot < code.length; slot++) {
    const begins = functions.find((each) => each.start === slot),
      line = lines.get(slot),
      text = disassembleOne(code, slot);
    if (begins && slot > 0) out.push(`${begins.name}:`);
    if (line) out.push(`; ${line.text}`);
    out.push(`${slot}: (${code.opcode[slot]!.toString(16).padStart(2, "0")}) ${text}`);
    if (code.opcode[slot] === 0x18) slot++;
  }
  return out;
}

function verdict(run: () => { readonly log: readonly string[] }): {
  readonly refusal?: string;
  readonly log: readonly string[];
} {
  try {
    return { log: run().log };
  } catch (error) {
    if (error instanceof BpfError) return { refusal: error.message, log: error.log };
    throw error;
  }
}

const remedyOf = (error: BpfError): string =>
  error.code.startsWith("elf-") || error.code.startsWith("btf-")
    ? "build it again with clang -O2 -g -target bpf -c"
    : "see what is supported in packages/bpf";
