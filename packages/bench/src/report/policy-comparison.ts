/** All policies side by side, gain and cost, as a table. Values in, text out. */
import type { ColdHot, ComparedPolicy, Gain, PolicyComparison, WholeMachine } from "@kreplica/replay";
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

function rowsOf(each: ComparedPolicy): string[][] {
  const { policy, cost, machine, forkCycles, firstSwitch, moved } = each;
  return [
    [
      policy.name,
      ...gainCells(machine),
      orNone(cost.memory.lessFree, (bytes) => (bytes / 2 ** 20).toFixed(1)),
      orNone(cost.processBytes, (bytes) => (bytes / 2 ** 10).toFixed(0)),
      ...cycleCells(forkCycles),
      orNone(firstSwitch?.stores ?? 0, grouped),
      ...cycleCells(firstSwitch?.cycles),
    ],
    ...(moved ? [["... moved", ...gainCells(moved), ...Array.from({ length: 7 }, () => "")]] : []),
  ];
}

export function policyComparisonText(comparison: PolicyComparison, screen: Screen): string {
  const { job, policies, tests, share } = comparison;
  const { spec, levels, pti, where } = job;
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
      ],
      policies.flatMap(rowsOf),
      screen,
    ) +
    "\n" +
    paragraph(
      `Gains of one copy's cycles, mean over all CPUs and of ${countText(tests.length, "test")} (${tests.join(", ")}); low..high over all uncertain costs. ` +
        "Costs are what a policy adds to a single copy: bytes after boot and of a process on one node, cycles of a fork, stores and cycles of a first switch. " +
        switchText(comparison, where.cpu) +
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

function sharedText(policies: readonly ComparedPolicy[]): string {
  const same = policies.flatMap(({ policy, sameAs }) => (sameAs === undefined ? [] : [`${policy.name} as ${sameAs}`]));
  return same.length === 0 ? "" : `The same on this machine, and run once: ${same.join(", ")}. `;
}
