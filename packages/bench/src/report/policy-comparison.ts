/** All policies side by side, gain and cost, as a table. Values in, text out. */
import type { ColdHot, ComparedPolicy, DemandCopy, Gain, PolicyComparison, WholeMachine } from "@kreplica/replay";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { countText, grouped } from "./units.js";

const percent = (value: number): string => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1);
const orNone = (value: number, text: (value: number) => string): string =>
  Math.round(value) === 0 ? "-" : text(value);
const gainCells = ({ gain }: WholeMachine): string[] =>
  [gain.cold, gain.hot].flatMap(({ percent: middle, low, high }: Gain) => [
    percent(middle),
    `${percent(low)}..${percent(high)}`,
  ]);
const cycleCells = (cycles: ColdHot | undefined): string[] => [
  orNone(cycles?.cold ?? 0, grouped),
  orNone(cycles?.hot ?? 0, grouped),
];

/** Of a copy that comes while the kernel runs: how large, what its coming and going take, what a run has of it. */
const COPY_COLUMNS = [
  right("copy\nMiB"),
  right("comes\ncold"),
  right("\nhot"),
  right("goes\ncold"),
  right("\nhot"),
  right("a run\nsaves\ncold"),
  right("\n\nhot"),
];

const copyCells = (copy: DemandCopy | undefined): string[] => [
  orNone(copy?.bytes ?? 0, (bytes) => (bytes / 2 ** 20).toFixed(1)),
  ...cycleCells(copy?.comes.cycles),
  ...cycleCells(copy?.goes.cycles),
  ...cycleCells(copy?.saved),
];

function rowsOf(each: ComparedPolicy, copies: boolean): string[][] {
  const { policy, cost, machine, forkCycles, firstSwitch, demandCopy, moved } = each;
  return [
    [
      policy.name,
      ...gainCells(machine),
      orNone(cost.memory.lessFree, (bytes) => (bytes / 2 ** 20).toFixed(1)),
      orNone(cost.processBytes, (bytes) => (bytes / 2 ** 10).toFixed(0)),
      ...cycleCells(forkCycles),
      orNone(firstSwitch?.stores ?? 0, grouped),
      ...cycleCells(firstSwitch?.cycles),
      ...(copies ? copyCells(demandCopy) : []),
    ],
    ...(moved
      ? [
          [
            "... moved",
            ...gainCells(moved),
            ...Array.from({ length: 7 + (copies ? COPY_COLUMNS.length : 0) }, () => ""),
          ],
        ]
      : []),
  ];
}

export function policyComparisonText(comparison: PolicyComparison, screen: Screen): string {
  const { job, policies, tests, share } = comparison;
  const { spec, levels, pti, where } = job;
  const copies = policies.some(({ demandCopy }) => demandCopy !== undefined);
  return (
    heading(
      "Policies side by side:",
      `${spec.name}, ${countText(spec.nodes.length, "node")}, ${countText(spec.cpus.length, "CPU")}, ${levels} levels, KPTI ${pti ? "on" : "off"}`,
      screen,
    ) +
    renderTable(
      [
        { head: "" },
        right("cold\n%"),
        right("\nlow..high"),
        right("hot\n%"),
        right("\nlow..high"),
        right("boot\nMiB"),
        right("proc.\nKiB"),
        right("fork\ncold"),
        right("\nhot"),
        right("switch\nstores"),
        right("\ncold"),
        right("\nhot"),
        ...(copies ? COPY_COLUMNS : []),
      ],
      policies.flatMap((each) => rowsOf(each, copies)),
      screen,
    ) +
    "\n" +
    paragraph(
      `Gains of one copy's cycles, mean over all CPUs and of ${countText(tests.length, "test")} (${tests.join(", ")}); low..high over all uncertain costs. ` +
        "Costs are what a policy adds to a single copy: bytes after boot and of a process on one node, cycles of a fork, stores and cycles of a first switch. " +
        switchText(comparison, where.cpu) +
        copyText(policies, where.cpu) +
        sharedText(policies) +
        (share < 1
          ? "Long tests are told from an eighth of them, everywhere: `kreplica compare --policy NAME` runs them whole on one CPU, and says how far off an eighth is. "
          : ""),
      screen,
    )
  );
}

function switchText({ policies }: PolicyComparison, cpu: number): string {
  const told = policies.map(({ firstSwitch }) => firstSwitch).find((each) => each !== undefined);
  const moved = policies.filter((each) => each.moved).map(({ policy }) => policy.name);
  return (
    (told
      ? `First switch: a process that the node with the farthest copy made comes to CPU ${cpu}; what it stores, walks and displaces, told on ${told.test} behind it${told.repeated ? "" : ", without what the kernel does beside the tables, which no recording shows"}. `
      : "") +
    (moved.length > 0
      ? `... moved: the same tests by processes that have moved from the node with the farthest copy, and go on running that copy (${moved.join(", ")}). `
      : "")
  );
}

function copyText(policies: readonly ComparedPolicy[], cpu: number): string {
  const told = policies.filter(({ demandCopy }) => demandCopy !== undefined);
  if (told.length === 0) return "";
  const { test } = told[0]!.demandCopy!;
  return (
    `Copy: of all text, on CPU ${cpu}'s node, while the kernel runs, and back again: each line read from the master's memory and stored to the node's, the entries, the interrupts, and what that displaces for a run of ${test} behind it, in no gain of the table; beside it what a run of ${test} takes less with the copy than with the master's text. ` +
    told.map(({ policy, demandCopy }) => paidText(policy.name, demandCopy!)).join("")
  );
}

/** After how many runs with cold caches it has paid. */
function paidText(name: string, { comes, goes, saved }: DemandCopy): string {
  const runs = Math.ceil((comes.cycles.cold + goes.cycles.cold) / saved.cold);
  return `${name}: ${saved.cold > 0 ? `coming and going are worth it from ${countText(runs, "cold run")} on` : "it never pays"}. `;
}

function sharedText(policies: readonly ComparedPolicy[]): string {
  const same = policies.flatMap(({ policy, sameAs }) => (sameAs === undefined ? [] : [`${policy.name} as ${sameAs}`]));
  return same.length === 0 ? "" : `The same on this machine, and run once: ${same.join(", ")}. `;
}
