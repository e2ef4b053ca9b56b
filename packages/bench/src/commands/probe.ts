/**
 * `kreplica probe`: measures this machine's latencies of loads and of instruction fetches, or checks the model by them.
 */
import { InputError } from "@kreplica/inputs";
import {
  isMeasurement,
  machineDocument,
  machineFromAccounts,
  measuredAccount,
  type Measurement,
  measurementFrom,
} from "@kreplica/machines";
import { dataFile } from "@kreplica/recordings";
import { type Command, Option } from "commander";
import { loadMachine } from "../inputs/machine/load.js";
import { thisMachine } from "../inputs/machine/this-machine.js";
import { readText } from "../inputs/read-input.js";
import { type Computer, measureHere, thisComputer } from "../probe/measure-here.js";
import { jsonText } from "../report/documents/json-text.js";
import { probeCheckDocument } from "../report/documents/probe.js";
import { outputFile } from "../report/output-file.js";
import { measurementText, probeCheckText } from "../report/probe.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { addMachineOptions, jsonOption, type JsonOption, type MachineOptions } from "./options.js";
import { declareRules } from "./rules.js";
import { fileOption, numberOption, SEEDS } from "./values.js";

interface ProbeOptions extends JsonOption, MachineOptions {
  readonly output?: string;
  readonly budget: number;
  readonly seed: number;
  readonly check?: string;
}

/** A measurement that comes with kreplica. */
const SHIPPED = "emerald-rapids";
const LARGEST_MIB = 16;
const MACHINE_NAME = "probed";

export const registerProbe = (program: Command, context: CommandContext): void =>
  probeCommand(program, context, thisComputer());

/** @param computer to measure */
export function probeCommand(program: Command, context: CommandContext, computer: Computer): void {
  const command = program
    .command("probe")
    .summary("measure this machine's latencies of loads and instruction fetches, or check the model by them")
    .description(
      "Builds a small program with this machine's C compiler and measures, from every node with CPUs to every node with memory, a chain of loads and a chain of jumps through text made for it: hot, cold, idle, and while the node's other CPUs read from the same memory. Needs no root. With --check nothing is measured: the chains of a measurement are walked on the model.",
    )
    .addOption(
      new Option(
        "-o, --output <file>",
        "write a machine file: this machine refined by what was measured, the rest marked assumed",
      ),
    )
    .addOption(numberOption("--budget <number>", "seconds that measuring may take", { least: 5, most: 600 }, 90))
    .addOption(numberOption("--seed <number>", "seed of the chains' order", SEEDS, 1))
    .addOption(
      fileOption(
        "--check <file>",
        `a measurement, as --json prints it, to walk on the model; or ${SHIPPED}, one that comes with kreplica`,
      ),
    );
  addMachineOptions(command)
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica probe -o machine.json", "measure, and write a file for --machine"],
        ["kreplica probe --json > cells.json", "every cell; --machine this --machine cells.json takes it"],
        ["kreplica probe --check cells.json", "modelled against measured, cell by cell"],
        [`kreplica probe --check ${SHIPPED}`, "the same for a processor of 2023"],
      ) + exitCodes,
    )
    .action(async (options: ProbeOptions) => {
      if (options.check !== undefined) return check(context, options, options.check);
      const { output, budget, seed } = options;
      const file = output === undefined ? undefined : outputFile(output, "--output");
      context.progress.start(budget, "building the measuring program");
      let measurement: Measurement;
      try {
        measurement = await measureHere(computer, {
          seconds: budget,
          seed,
          heard: () => context.progress.step(1, "measuring"),
        });
      } finally {
        context.progress.stop();
      }
      const account = measuredAccount(measurement, `seed ${seed}`);
      context.print(
        options.json ? jsonText(measurement) : measurementText(measurement, account.remarks, context.screen),
      );
      if (!file) return;
      file.write(jsonText(machineDocument(machineFromAccounts([...thisMachine(), account], MACHINE_NAME))));
      context.remark(`${file.path} is written: a machine file for --machine`);
    });
  declareRules(command, [
    { beside: "--check", only: ["--machine", "--base"], because: "nothing is measured" },
    { option: "--machine", needs: "--check" },
    { option: "--base", needs: "--check" },
  ]);
}

/** On the machine that was measured, as far as the measurement tells it, or on the one that is named. */
function check(context: CommandContext, options: ProbeOptions, named: string): void {
  const file = named === SHIPPED ? dataFile(`probe/${SHIPPED}.json`) : named;
  const remedy = "give what `kreplica probe --json` printed";
  const text = readText(file, "--check", LARGEST_MIB, remedy);
  if (!isMeasurement(text))
    throw new InputError({ file: named, field: "--check", reason: "is no measurement (kreplica.probe/1)", remedy });
  const { measurement } = measurementFrom(text, named);
  const { machine, base } = options;
  const described = named === SHIPPED && base === undefined ? dataFile(`probe/${SHIPPED}.machine.json`) : file;
  const spec = loadMachine(machine ?? described, base);
  context.progress.start(measurement.cells.length, "walking chains");
  let document;
  try {
    document = probeCheckDocument(spec, measurement, () => context.progress.step(1, "walking chains"));
  } finally {
    context.progress.stop();
  }
  context.print(options.json ? jsonText(document) : probeCheckText(document, context.screen));
}
