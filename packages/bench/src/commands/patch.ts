/** `kreplica patch`: what one change of kernel text costs, against copies and CPUs. */
import { type Command, Option } from "commander";
import { InputError } from "../inputs/input-error.js";
import { PATCH_SITES, patchCosts, type PatchSite } from "../measure/patch-cost.js";
import { patchText } from "../report/patch.js";
import { type CommandContext, examples, exitCodes, jsonText } from "./command.js";
import { addKernelOption, type KernelOption, readKernelOption } from "./kernel-option.js";
import { addMachineOptions, jsonOption, type JsonOption, type MachineOptions, readMachine, wholeNumber } from "./options.js";

type Options = MachineOptions & KernelOption & JsonOption & { readonly site: PatchSite; readonly policy: readonly string[]; readonly changes: number; readonly seed: number };

export function registerPatch(program: Command, context: CommandContext): void {
  const command = program.command("patch")
    .summary("what one change of kernel text costs, against copies and CPUs")
    .description(`Boots a kernel, changes a site in its text as Linux does, in every copy, and counts what it took. Sites:\n${Object.entries(PATCH_SITES).map(([site, what]) => `  ${site.padEnd(13)}${what}`).join("\n")}`);
  addKernelOption(addMachineOptions(command))
    .addOption(new Option("--site <kind>", "what is changed").choices(Object.keys(PATCH_SITES)).default("jump_label"))
    .addOption(new Option("--policy <names...>", "who holds copies").default(["single-copy", "per-node"]))
    .addOption(new Option("--changes <number>", "changes to measure, after as many to warm up").argParser(wholeNumber("--changes")).default(16))
    .addOption(new Option("--seed <number>", "seeds whatever the boot draws").argParser(wholeNumber("--seed")).default(1))
    .addOption(jsonOption())
    .addHelpText("after", examples(
      ["kreplica patch", "a static key on two E5-2690 v3"],
      ["kreplica patch --site kprobe --machine xeon-8280-4s", "a probe on four sockets"],
      ["kreplica patch --kernel /boot/vmlinuz --json", "in a real kernel's text, as a JSON document"],
    ) + exitCodes)
    .action(async (options: Options) => {
      const spec = readMachine(options);
      if (options.changes < 1 || options.changes > 10_000) throw new InputError({ file: "--changes", reason: `${options.changes} is not between 1 and 10000`, remedy: "choose a number in between" });
      const image = (await readKernelOption(options))?.("patch-06");
      const firstNode = spec.cpus.reduce((low, cpu) => (cpu.id < low.id ? cpu : low)).node;
      const cpus = [...new Set([1, spec.cpus.filter((cpu) => cpu.node === firstNode).length, spec.cpus.length])].sort((a, b) => a - b);
      const costs = patchCosts({ spec, site: options.site, policies: options.policy, cpus, changes: options.changes, seed: options.seed, ...(image ? { image } : {}) });
      context.print(options.json
        ? jsonText({ schema: "kreplica.patch/1", machine: spec.name, site: options.site, changes: options.changes, modelled: true, costs })
        : patchText(spec.name, PATCH_SITES[options.site], costs, spec.hertz.value, context.screen));
    });
}
