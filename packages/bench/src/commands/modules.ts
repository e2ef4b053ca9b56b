/** `kreplica modules`: loads real modules of a real kernel, replicated as told, and shows what each costs. */
import { allFaults, didYouMean, InputError } from "@kreplica/inputs";
import { bootWithModules, type KernelPolicy } from "@kreplica/kernel";
import { ITS_FEATURES, moduleHost, readInOrder } from "@kreplica/kernel-files";
import { loadModules, placesOf } from "@kreplica/replay";
import { type Command, Option } from "commander";
import { modulePolicy, placements, replications, type ModulePolicy } from "@kreplica/modules";
import { AREA_DEFECTS, type SeriesDefect } from "@kreplica/series-as-posted";
import { readKernelFile } from "../inputs/kernel-file.js";
import { wantedModules } from "../inputs/kernel-modules/wanted.js";
import { modulesText, type ModuleRun } from "../report/modules.js";
import { otherNodesText, placeText } from "../report/node-places.js";
import { jsonText } from "../report/documents/json-text.js";
import { modulesDocument } from "../report/documents/modules.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addMachineOptions,
  addPlacementOptions,
  jsonOption,
  policyOption,
  readMachine,
  readPlacement,
  type JsonOption,
  type MachineOptions,
  type PlacementOptions,
} from "./options.js";
import { systemMapOption } from "./kernel-option.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";
import { fileOption, listOption, numberOption } from "./values.js";

/** Modules loaded, and forgotten, before times are compared. */
const WARM_UP = 100;

interface Options extends MachineOptions, PlacementOptions, JsonOption {
  readonly kernel: string;
  readonly systemMap?: string;
  readonly modules?: string;
  readonly load?: readonly string[];
  readonly all?: boolean;
  readonly policy: KernelPolicy;
  readonly place?: string;
  readonly replicate: string;
  readonly its?: boolean;
  readonly rfcV1?: boolean;
  readonly top: number;
}

export function registerModules(program: Command, context: CommandContext): void {
  const command = program
    .command("modules")
    .summary("load a real kernel's modules, copies on every node, and show what each costs")
    .description(
      "Boots a real kernel file on a machine, loads its modules as the kernel does (layout, symbols, relocations, patch sites, permissions), gives every node copies of their text and rodata, and prints bytes, table stores, flushes and time. A module the kernel refuses means exit code 1, one whose file cannot be used 2; the others are loaded all the same.",
    )
    .addOption(fileOption("--kernel <file>", "vmlinux or vmlinuz the modules were built for").makeOptionMandatory())
    .addOption(systemMapOption())
    .addOption(new Option("--modules <folder>", "lib/modules/<release> (default: the one beside the kernel's package)"))
    .addOption(listOption("--load <names>", "modules to load, by name or .ko file; what they need is loaded first"))
    .addOption(new Option("--all", "every module of the folder"))
    .addOption(policyOption("who holds copies of the kernel"))
    .addOption(
      new Option(
        "--place <where>",
        "node of the base copy: local, first, interleaved, or a number (default: local; first with rfc-v1, which knows no other)",
      ),
    )
    .addOption(
      new Option(
        "--replicate <which>",
        "all, none, from:BYTES, upto:BYTES, distance:SLIT, or module names separated by commas",
      ).default("all"),
    )
    .addOption(
      new Option(
        "--its",
        "a CPU whose indirect branches need thunks of their own (Indirect Target Selection) in place of retpolines",
      ),
    )
    .addOption(
      new Option(
        "--rfc-v1",
        "the same loads with the series' own way of replicating areas beside, base copies on node 0",
      ),
    )
    .addOption(numberOption("--top <count>", "modules to list, the largest first", { least: 1, most: 100_000 }, 20));
  declareRules(addPlacementOptions(addMachineOptions(command)).addOption(jsonOption()), [
    { option: "--load", not: "--all", because: "all are loaded" },
    { option: "--top", not: "--json", because: "the document lists every module" },
  ])
    .addHelpText(
      "after",
      examples(
        ["kreplica modules --kernel boot/vmlinuz-6.1.0-56-cloud-amd64 --load xfs", "xfs and what it needs"],
        ["kreplica modules --kernel vmlinuz --modules lib/modules/6.1.0-56-cloud-amd64 --all", "all of them"],
        ["kreplica modules --kernel vmlinuz --load ./a.ko,./b.ko --rfc-v1", "files, the series' way beside ours"],
        ["kreplica modules --kernel vmlinuz --all --replicate from:65536", "copies of the large ones only"],
      ) + exitCodes,
    )
    .action(async (options: Options) => {
      await act(options, context);
    });
}

async function act(options: Options, context: CommandContext): Promise<void> {
  const { top } = options;
  const spec = readMachine(options);
  const { cpu, masterNode } = readPlacement(options, spec);
  remarkOn(context, spec, options.policy);
  const fixed = options.policy.modules;
  if (fixed && (options.place ?? "first") !== "first") {
    throw new InputError({
      file: "--place",
      reason: `${options.policy.name} takes the base copy of every module from node 0`,
      remedy: "leave it out, or choose another policy",
    });
  }
  const nodes = spec.nodes.filter((node) => node.memoryBytes > 0).map((node) => node.id);
  const place = options.place ?? (fixed ? "first" : "local");
  const policy = policyOf(place, options.replicate, nodes);
  const postedPolicy = policyOf("first", options.replicate, nodes);
  const named = namesIn(options.replicate);
  const kernel = await readKernelFile(options.kernel, options.systemMap);
  const { directory, wanted } = wantedModules({ ...options, release: kernel.release });
  context.progress.start(wanted.length, "reading");
  const { files, needed, unusable } = await readInOrder(directory, wanted, (name) =>
    context.progress.step(1, name),
  ).finally(() => context.progress.stop());
  if (files.length === 0) throw allFaults(unusable.map(({ fault }) => fault));
  const known = [...files, ...unusable].map(({ name }) => name);
  for (const name of named) {
    if (!known.includes(name))
      throw new InputError({
        file: "--replicate",
        reason: `no module ${JSON.stringify(name)} is loaded`,
        remedy: didYouMean(
          name,
          known,
          `choose from ${known.slice(0, 20).join(", ")}${known.length > 20 ? ", ..." : ""}, or write all or none`,
        ),
      });
  }
  const run = (
    design: string,
    areas: readonly SeriesDefect[],
    modulePolicy: ModulePolicy,
    most = Infinity,
  ): ModuleRun => {
    const host = options.its ? moduleHost(kernel, ITS_FEATURES, true) : moduleHost(kernel);
    try {
      context.progress.start(Math.min(files.length, most), "loading");
      const booted = bootWithModules({
        spec,
        policy: options.policy,
        masterNode,
        kernel,
        host,
        modulePolicy,
        defects: [...(options.policy.defects ?? []).filter((each) => !AREA_DEFECTS.includes(each)), ...areas],
      });
      const costs = loadModules(booted, files.slice(0, most), cpu, cpuMilliseconds, (name) =>
        context.progress.step(1, name),
      );
      return { design, keepsBootTable: design === "ours", costs };
    } finally {
      context.progress.stop();
    }
  };
  // Two designs are compared warm: the first loads of a process compile the model's own code.
  if (options.rfcV1) run("warm-up", [], policy, WARM_UP);
  // Under the series' own policy its way is the one asked for; beside ours only where both were asked for.
  const alone = fixed !== undefined && !options.rfcV1;
  const runs = [run(alone ? "rfc-v1" : "ours", alone ? AREA_DEFECTS : [], policy)];
  if (options.rfcV1) runs.push(run("rfc-v1", AREA_DEFECTS, postedPolicy));
  const places = placesOf(spec, masterNode);
  const loader = places.find(({ node }) => node === spec.cpus.find((each) => each.id === cpu)!.node)!;
  if (options.json) {
    context.print(
      jsonText(
        modulesDocument({
          machine: spec.name,
          kernel: options.kernel,
          policy: options.policy.name,
          place,
          replicate: options.replicate,
          cpu,
          node: loader.node,
          masterNode,
          unusable,
          runs,
        }),
      ),
    );
  } else {
    const heading = `${wanted.length === 1 ? wanted[0]! : `${wanted.length} modules`}${needed > 0 ? ` and ${needed} needed` : ""} on ${spec.name}, ${options.policy.name}`;
    context.print(
      modulesText(
        {
          heading,
          unusable,
          runs,
          top,
          hertz: spec.hertz.value,
          standing: `Modelled time is of CPU ${cpu}, which loads, on node ${loader.node}, ${placeText(loader)}; on all other CPUs, of all of them together. ${otherNodesText(spec.name, loader, places, "It says")}`,
        },
        context.screen,
      ),
    );
  }
  if (unusable.length > 0) {
    const [first] = unusable;
    throw new InputError({
      file: options.all ? "--all" : "--load",
      reason:
        unusable.length === 1
          ? `${first!.name} could not be loaded: its file, or what it needs, cannot be used`
          : `${unusable.length} modules could not be loaded: their files, or what they need, cannot be used`,
      remedy: "the report says why",
    });
  }
  if (runs.some(({ costs }) => costs.refused.length > 0)) context.checkFailed();
}

/** CPU time of this process: what else runs on the computer does not change it. */
function cpuMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Modules that `--replicate` names; none where it says all, none, or which sizes. */
const namesIn = (replicate: string): string[] =>
  replicate === "all" || replicate === "none" || !/^[\w,-]+$/.test(replicate)
    ? []
    : replicate
        .split(",")
        .filter((name) => name !== "")
        .map((name) => name.replaceAll("-", "_"));

/** @throws InputError for a word that is none */
function policyOf(place: string, replicate: string, nodes: readonly number[]): ModulePolicy {
  const fault = (file: string, value: string, remedy: string): never => {
    throw new InputError({ file, reason: `${JSON.stringify(value)} is none of its values`, remedy });
  };
  const given = /^\d+$/.test(place) ? Number(place) : undefined;
  if (given !== undefined && !nodes.includes(given))
    throw new InputError({
      file: "--place",
      reason: `node ${given} has no memory`,
      remedy: `choose from ${nodes.join(", ")}`,
    });
  const where =
    given !== undefined
      ? placements.given(given)
      : place === "local" || place === "first" || place === "interleaved"
        ? placements[place]
        : fault("--place", place, "write local, first, interleaved, or a node's number");
  const amount = /^(from|upto|distance):(\d{1,12})$/.exec(replicate);
  const which = amount
    ? { from: replications.fromBytes, upto: replications.upToBytes, distance: replications.fromDistance }[
        amount[1] as "from" | "upto" | "distance"
      ](Number(amount[2]))
    : replicate === "all" || replicate === "none"
      ? replications[replicate]
      : namesIn(replicate).length > 0
        ? replications.named(new Set(namesIn(replicate)))
        : fault("--replicate", replicate, "write all, none, from:BYTES, upto:BYTES, distance:SLIT, or names");
  return modulePolicy(`${place}, ${replicate}`, where, which);
}
