/**
 * `kreplica tables`: page tables as the kernel dumps them, what differs between nodes, and pictures of the way to a
 * page.
 */
import { existsSync } from "node:fs";
import { didYouMean, InputError } from "@kreplica/inputs";
import type { Booted } from "@kreplica/kernel";
import { missingTables } from "@kreplica/kernel-files";
import { dataFile } from "@kreplica/recordings";
import { type Command, Option } from "commander";
import { addressOfFrame, leaves } from "@kreplica/hw-x86";
import { imageAddress } from "@kreplica/mm-core";
import { readRecordedTables } from "../inputs/recorded-tables.js";
import { wrap } from "../report/terminal.js";
import { ptdump } from "../report/ptdump.js";
import { qemuTlbLine } from "../report/qemu-tlb.js";
import { differences, picture, type PicturedRoot } from "../report/tables-picture.js";
import { jsonText } from "../report/documents/json-text.js";
import {
  nodeTableDocument,
  recordedTablesDocument,
  type TableDifference,
  type TablePictures,
  tablePicturesDocument,
} from "../report/documents/tables.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import {
  addKernelChoices,
  bootChoices,
  KERNEL_CHOICE_RULES,
  type KernelChoices,
  readKernelChoices,
} from "./kernel-choices.js";
import { jsonOption, type JsonOption } from "./options.js";
import { remarkOn } from "./remarks.js";
import { declareRules } from "./rules.js";
import { CPU_IDS, NODE_IDS, numberOption } from "./values.js";

type Options = KernelChoices & JsonOption & { readonly from?: string; readonly cpu?: number; readonly node?: number };

export function registerTables(program: Command, context: CommandContext): void {
  declareRules(
    addKernelChoices(
      program
        .command("tables")
        .summary("page tables of a booted kernel by node, or recorded ones")
        .description(
          "Without --node: the way to text, rodata, data and a user page on every node (cells marked = are shared), and which entries differ. With --node: that node's table in the format of /sys/kernel/debug/page_tables/kernel. With --from: recorded table pages, every leaf as QEMU's `info tlb` lists it.",
        ),
    ),
    [
      ...KERNEL_CHOICE_RULES,
      { beside: "--from", only: ["--cpu"], because: "recorded tables are listed as they are, no kernel is booted" },
      { option: "--cpu", needs: "--from" },
    ],
  )
    .addOption(numberOption("--node <number>", "dump this node's kernel table", NODE_IDS))
    .addOption(new Option("--from <dir>", "directory with ptpages.bin.zst and registers.txt; or p4 or hsw, which ship"))
    .addOption(numberOption("--cpu <number>", "with --from: CPU whose table is listed", CPU_IDS, "the first"))
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["kreplica tables", "the cover letter's picture, from live tables"],
        ["kreplica tables --node 1", "node 1 as ptdump prints it"],
        ["kreplica tables --kernel /boot/vmlinuz --node 1", "the same of a kernel of one's own"],
        ["kreplica tables --from p4 --cpu 2", "a recorded guest"],
      ) + exitCodes,
    )
    .action(async (options: Options) => {
      if (options.from !== undefined) return recorded(options.from, options, context);
      const { chosen } = await readKernelChoices(options);
      remarkOn(context, chosen.machine, options.policy);
      const kernel = bootChoices(chosen);
      if (options.node !== undefined && !kernel.machine.nodes.includes(options.node))
        throw new InputError({
          file: "--node",
          reason: `there is no node ${options.node}`,
          remedy: `choose one of ${kernel.machine.nodes.join(", ")}`,
        });
      if (options.node !== undefined) {
        const lines = ptdump(kernel.machine.memory, kernel.view.kernelRoot(options.node), kernel.layout);
        return context.print(options.json ? jsonText(nodeTableDocument(options.node, lines)) : `${lines.join("\n")}\n`);
      }
      const shown = tablesReport(kernel, options.json ? Infinity : context.screen.columns);
      return context.print(
        options.json
          ? jsonText(tablePicturesDocument(shown))
          : `${shown.pictures.join("\n")}\n${shown.differences.map((each) => differenceText(each, context)).join("")}`,
      );
    });
}

const differenceText = ({ nodes, entries }: TableDifference, { screen }: CommandContext): string =>
  wrap(
    `Entries of nodes ${nodes.join(" and ")} that differ: ${entries.length === 0 ? "none" : entries.join(", ")}`,
    screen.columns - 2,
  ).join("\n  ") + "\n";

/** Pictures and differences of a booted kernel and one process of it, before and after its second top-level slot. */
export function tablesReport(kernel: Booted, columns = Infinity): TablePictures {
  const { view, layout, image, machine } = kernel;
  const { memory } = machine;
  const roots: PicturedRoot[] = view.holders.map((node) => ({ node, root: view.kernelRoot(node) }));
  const live = (linked: bigint): bigint => imageAddress(layout, linked);
  const space = kernel.spaces.create();
  const pgds = space ? view.holders.map((node) => ({ node, root: space.pgd(node) })) : [];
  const user = (before: string): string =>
    picture(memory, pgds, layout.levels, 0x40_0000n, `A user page, ${before}`, columns);
  const pictures = [
    picture(memory, roots, layout.levels, live(image.stext), "Kernel text", columns),
    picture(memory, roots, layout.levels, live(image.startRodata), "Kernel rodata", columns),
    picture(memory, roots, layout.levels, live(image.initEnd), "Kernel data", columns),
  ];
  if (space) {
    pictures.push(user("before its PUD is allocated"));
    space.set(
      0x40_0000n,
      { frame: 0, level: 1, present: true, writable: true, executable: false, global: false, user: true, cache: "wb" },
      view.master,
    );
    pictures.push(user("after"));
  }
  return {
    pictures,
    differences: roots.slice(1).map((root) => ({
      nodes: [roots[0]!.node, root.node],
      entries: differences(memory, roots[0]!, root, layout.levels),
    })),
  };
}

/** Recorded tables that ship, by name. */
const SHIPPED = ["p4", "hsw"];

function recorded(directory: string, options: Options, context: CommandContext): void {
  const shipped = !existsSync(directory);
  if (shipped && !SHIPPED.includes(directory))
    throw new InputError({
      file: directory,
      field: "--from",
      reason: "neither a directory nor tables that ship",
      remedy: didYouMean(
        directory,
        SHIPPED,
        `name a directory with ptpages.bin.zst and registers.txt, or ${SHIPPED.join(" or ")}`,
      ),
    });
  const tables = readRecordedTables(shipped ? dataFile(`tables/${directory}`) : directory);
  const { memory, roots } = tables;
  const chosen = options.cpu === undefined ? roots[0] : roots.find((root) => root.cpu === options.cpu);
  if (!chosen)
    throw new InputError({
      file: "--cpu",
      reason: `the recording has no CPU ${options.cpu ?? 0}`,
      remedy: `choose one of ${roots.map((root) => root.cpu).join(", ")}`,
    });
  const physical = (frame: number): string => `0x${addressOfFrame(frame).toString(16)}`;
  const missing = missingTables(tables, chosen);
  const again = "record it again with the guest stopped, every page of its tables";
  if (missing[0]?.frame === chosen.root)
    throw new InputError({
      file: directory,
      field: `CR3 of CPU ${chosen.cpu}`,
      reason: `the page it names, ${physical(chosen.root)}, is not among the ${tables.pages} recorded: nothing can be listed`,
      remedy: again,
    });
  const lines = Array.from(leaves(memory, chosen.root, chosen.levels), qemuTlbLine);
  context.print(
    options.json
      ? jsonText(
          recordedTablesDocument({
            from: directory,
            cpu: chosen.cpu,
            missing: missing.map(({ frame }) => physical(frame)),
            lines,
          }),
        )
      : lines.map((line) => `${line}\n`).join(""),
  );
  if (missing.length > 0) {
    const shown = missing
      .slice(0, 4)
      .map(({ frame }) => physical(frame))
      .join(", ");
    throw new InputError({
      file: directory,
      field: `tables of CPU ${chosen.cpu}`,
      reason: `${missing.length} of their pages ${missing.length === 1 ? "is" : "are"} not among the ${tables.pages} recorded (${shown}${missing.length > 4 ? ", ..." : ""}); what they map is not in the list`,
      remedy: again,
    });
  }
}
