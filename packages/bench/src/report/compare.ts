/**
 * The comparison as text, all of it: gains, why, what it costs, whether the replicas are right. Values in, text out, at
 * most 100 columns. The short form is in compare-short.ts.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { wordsOf } from "@kreplica/kernel";
import {
  type CacheState,
  type Carried,
  type CarriedOver,
  type CompareResult,
  type KernelFigures,
  total,
} from "@kreplica/replay";
import { gainsText, labelOf, percentText, standingText } from "./compare-gains.js";
import { layoutsText } from "./compare-layouts.js";
import { busyText } from "./compare-busy.js";
import { idleText, loadText } from "./compare-load.js";
import { pressureSentence, pressureText } from "./compare-pressure.js";
import { recordedText } from "./compare-recorded.js";
import { mixText } from "./compare-mix.js";
import { placesText } from "./compare-places.js";
import { workText } from "./compare-work.js";
import { nodesText, verdictText } from "./compare-verdict.js";
import { memoryCostText } from "./memory-cost.js";
import { bytesText } from "./units.js";
import { heading, paragraph, renderTable, right, type Screen, wrap } from "./terminal.js";

/** Thousands of cycles, or lines, per iteration: three figures where there are any. */
const short = (value: number): string =>
  value === 0 ? "-" : value < 0.05 ? "0.0" : value < 100 ? value.toFixed(1) : value.toFixed(0);
const states: readonly CacheState[] = ["cold", "hot"];

/** The whole report: verdict first and last. */
export function compareText(result: CompareResult, screen: Screen): string {
  const {
    job: { spec, where, pti, levels },
    policy,
  } = result;
  const verdict = verdictText(result, screen);
  const head =
    `${wrap(`${screen.bold("kreplica compare")}: kernel text and rodata once, against ${wordsOf(policy).design}`, screen.columns).join("\n")}\n` +
    (verdict === "" ? "" : `${verdict}\n`) +
    paragraph(
      `${spec.description}. ${result.kernel}, ${levels} levels, KPTI ${pti ? "on" : "off"}. CPU ${where.cpu} on node ${nodeOf(spec, where.cpu)}, ` +
        `image on node ${where.masterNode}, the test's data on node ${where.dataNode}.${idleText(result)}${pressureSentence(result)}`,
      screen,
    ) +
    paragraph(standingText(result), screen) +
    carriedOver(result, screen);
  return [
    head,
    ...[recordedText(result, screen)].filter((text) => text !== ""),
    gainsText(result, screen),
    ...[
      layoutsText(result, screen),
      nodesText(result, screen),
      mixText(result, screen),
      loadText(result, screen),
      pressureText(result, screen),
      busyText(result, screen),
    ].filter((text) => text !== ""),
    whyText(result, screen),
    ...[placesText(result, screen)].filter((text) => text !== ""),
    workText(result, (each) => labelOf(each, result.tests), screen),
    memoryText(result, screen),
    invariantsText(result, screen),
    ...(verdict === "" ? [] : [verdict]),
  ].join("\n");
}

/** Where the cycles of each test went, cold and hot. */
export const whyText = (result: CompareResult, screen: Screen): string =>
  states.map((cache) => why(result, cache, screen)).join("\n");

/** On another kernel than the traced one: how much of what was recorded could be found in it. */
export function carriedOver({ tests, kernel, recordedOn }: CompareResult, screen: Screen): string {
  const all = tests.flatMap(({ cache, carried }) => (cache === "cold" && carried ? [carried] : []));
  if (all.length === 0) return "";
  const shares = (which: keyof Carried): string => {
    const sum = (what: keyof CarriedOver): number => all.reduce((count, each) => count + each[which][what], 0);
    const share = (what: keyof CarriedOver): string =>
      `${percentText((100 * sum(what)) / Math.max(1, sum("exact") + sum("pastEnd") + sum("standIn")))} %`;
    return `${share("exact")} keep ${which === "instructions" ? "function" : "object"} and offset, ${share("pastEnd")} are in one that is shorter here, ${share("standIn")} in none that this kernel has`;
  };
  return paragraph(
    `${screen.warn("The recordings are of")} ${recordedOn}, not of ${kernel}: what ran there is replayed at the places the same functions and objects have here, not what this kernel would have run. ` +
      `Of the kernel's recorded instructions ${shares("instructions")}; of accesses to its image ${shares("accesses")}.`,
    screen,
  );
}

const nodeOf = (spec: MachineSpec, cpu: number): number => spec.cpus.find((each) => each.id === cpu)!.node;
const title = heading;

function why({ tests, policy }: CompareResult, cache: CacheState, screen: Screen): string {
  const shown = tests.filter((each) => each.cache === cache);
  // Of all tests, cold and hot: one report has the same columns throughout.
  const far = tests.some(
    ({ singleCopy, perNode }) =>
      Math.max(singleCopy.account.text.otherL3, perNode.account.text.otherL3) > 0.005 * singleCopy.cycles,
  );
  const worked = tests.some(({ perNode }) => perNode.account.replication > 0);
  const rest = (of: KernelFigures): number =>
    of.account.user + of.account.modules + of.account.secondTlb + of.account.interrupts;
  const columns = [
    { head: "" },
    { head: "" },
    right("all"),
    right("instr"),
    right("text\nL2"),
    right("text\nL3"),
    ...(far ? [right("text\nL3'")] : []),
    right("text\nlocal"),
    right("text\nremote"),
    right("rodata"),
    right("data"),
    right("walks"),
    ...(worked ? [right("repl")] : []),
    right("rest"),
    ...(far ? [] : [right("lines")]),
  ];
  const rows = shown.flatMap((each) =>
    [each.singleCopy, each.perNode].map((of, side) => {
      const unit = 1000 * each.iterations;
      const { text, rodata, data, walks, instructions } = of.account;
      const cells = [
        of.cycles,
        instructions,
        text.l2,
        text.ownL3,
        ...(far ? [text.otherL3] : []),
        text.local,
        text.remote,
        total(rodata),
        total(data),
        total(walks),
        ...(worked ? [of.account.replication] : []),
        rest(of),
      ];
      return [
        side === 0 ? labelOf(each, tests) : "",
        side === 0 ? "one" : wordsOf(policy).row,
        ...cells.map((cycles) => short(cycles / unit)),
        ...(far ? [] : [short(of.lines.textFromMemory / each.iterations)]),
      ];
    }),
  );
  const evicted = shown.filter((each) => each.singleCopy.lines.textFromMemory / each.iterations >= 0.05);
  return (
    title(`Why, ${cache}:`, `thousands of cycles per iteration; one copy, and ${wordsOf(policy).design}`, screen) +
    renderTable(columns, rows, screen) +
    "\n" +
    (cache === "cold"
      ? paragraph(
          `text, rodata, data, walks: what missing L1 cost, local and remote memory${far ? ", L3' another L3" : "; lines: lines of text fetched from memory per iteration"}; ${worked ? "repl: replication's own work, below; " : ""}rest: user mode, modules, second-level TLB, interrupts.`,
          screen,
        )
      : paragraph(
          evicted.length === 0
            ? "Warm, no text comes from memory: no test fills the last-level cache so far that data pushes text out, and what text costs then does not depend on its node."
            : `Warm, data pushes text out of the last-level cache; lines fetched again per iteration: ${evicted.map((each) => `${each.test.name} ${short(each.singleCopy.lines.textFromMemory / each.iterations)}`).join(", ")}.`,
          screen,
        ))
  );
}

/** What the copies take, node by node and cause by cause. */
export function memoryText({ policy, memory, memoryCost }: CompareResult, screen: Screen): string {
  const columns = [{ head: "node" }, right("text"), right("rodata"), right("tables")];
  return (
    title("Memory", `of the kernel with ${wordsOf(policy).design}`, screen) +
    renderTable(
      columns,
      memory.perNode.map(({ node, textBytes, rodataBytes, tableBytes }) => [
        String(node),
        bytesText(textBytes),
        bytesText(rodataBytes),
        bytesText(tableBytes),
      ]),
      screen,
    ) +
    "\n" +
    memoryCostText(memory, memoryCost, screen)
  );
}

/** Which rules were checked after boot, and each that does not hold. */
export function invariantsText(
  { invariants: { checked, violated, notReached } }: CompareResult,
  screen: Screen,
): string {
  const hold = checked.length - violated.length;
  return (
    title("Invariants", "after boot", screen) +
    paragraph(
      `${checked.length} checked, ${violated.length === 0 ? screen.good(`${hold} hold`) : screen.bad(`${hold} hold, ${violated.length} do not`)}; ${notReached.length} are about what this boot does not do.`,
      screen,
    ) +
    violated
      .map((each) =>
        paragraph(`${screen.bad(each.id)}: ${each.sentence.replace(/^…/, "")}. Not so: ${each.detail}`, screen),
      )
      .join("")
  );
}
