/**
 * The comparison in five lines, and every node's gains. Values in, text out; a line of the verdict fits a screen of 100
 * columns.
 */
import { replicates } from "@kreplica/kernel";
import {
  type CacheState,
  type CompareResult,
  forkCycles,
  type Gain,
  type NodeGains,
  type WholeMachine,
} from "@kreplica/replay";
import { ns } from "./node-places.js";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";
import { bytesText, countText, grouped } from "./units.js";

const states: readonly CacheState[] = ["cold", "hot"];
const percentText = (value: number): string => (Math.abs(value) < 0.05 ? 0 : value).toFixed(1);
const range = ({ percent, low, high }: Gain): string =>
  `${percentText(percent)} (${percentText(low)} .. ${percentText(high)})`;

/** A sentence, and shorter ones that leave out what its reader can spare: the first in full. */
type Forms = readonly [string, ...string[]];

/** None where one CPU alone was looked at, or the policy is the single copy that it is compared with. */
function verdictForms(result: CompareResult): Forms[] {
  const { machine, policy, memoryCost, process } = result;
  if (!machine || !replicates(policy)) return [];
  const { gain, near, best, worst, nodes, sampling } = machine;
  const cpus = nodes.reduce((sum, each) => sum + each.cpus, 0);
  const tests = new Set(result.tests.map(({ file }) => file)).size;
  const about = ({ node, relation, imageNs, mean }: NodeGains): string =>
    `node ${node}, ${relation === "same node" ? "the image's" : `${ns(imageNs)} away`}, ${percentText(mean.cold)} cold, ${percentText(mean.hot)} hot`;
  const brief = ({ node, mean }: NodeGains): string =>
    `node ${node}, ${percentText(mean.cold)} cold, ${percentText(mean.hot)} hot`;
  const fork = forkCycles(result.tests);
  const aFork = fork?.forksAlone === false ? "a fork or exec" : "a fork";
  const whole = `Whole machine, ${countText(cpus, "CPU")}: ${range(gain.cold)} % cold, ${range(gain.hot)} hot`;
  const cost = `Costs ${bytesText(memoryCost.lessFree)} at boot, ${bytesText(process.bytes)} a process`;
  const error = sampling === undefined ? undefined : `error ${sampling < 0.05 ? "below 0.1" : percentText(sampling)}`;
  return [
    [`${whole}; mean of ${countText(tests, "test")}.`, `${whole}.`, `${whole.replace("Whole machine,", "All")}.`],
    nodes.length === 1
      ? [
          result.job.spec.nodes.some(({ id, memoryBytes }) => memoryBytes > 0 && id !== nodes[0]!.node)
            ? "It has one node with CPUs."
            : "It has one node: nothing of it is far, and a copy could gain nothing.",
        ]
      : [`Best: ${about(best)}; worst: ${about(worst)}.`, `Best: ${brief(best)}; worst: ${brief(worst)}.`],
    fork
      ? [
          `${cost}; ${aFork} takes ${grouped(fork.cycles.cold)} cycles longer cold, ${grouped(fork.cycles.hot)} hot.`,
          `${cost.replace(" at boot", "")}; cycles ${aFork}: ${grouped(fork.cycles.cold)} cold, ${grouped(fork.cycles.hot)} hot.`,
        ]
      : [`${cost}.`],
    designForms(result, near),
    error === undefined
      ? ["How sure: the brackets."]
      : [
          `How sure: the brackets; long tests of other nodes are told from an eighth of them, ${error}.`,
          `How sure: the brackets; long tests elsewhere by an eighth of them, ${error}.`,
        ],
  ];
}

/** What the comparison comes to, at most five sentences; none where there is no verdict. */
export const verdictSentences = (result: CompareResult): string[] => verdictForms(result).map(([full]) => full);

/**
 * The same under a title, each in the longest of its forms that fits a line of the screen; title and all, at most six
 * lines of 80. Nothing where there is no verdict.
 */
export function verdictText(result: CompareResult, screen: Screen): string {
  const forms = verdictForms(result);
  const fitting = (all: Forms): string => all.find((each) => each.length + 2 <= screen.columns) ?? all.at(-1)!;
  return forms.length === 0
    ? ""
    : `${screen.bold("Verdict")}\n${forms.map((each) => paragraph(fitting(each), screen)).join("")}`;
}

/** What near text alone gains, and which other policy does better, where that was asked. */
function designForms({ policies, tests }: CompareResult, near: Record<CacheState, number>): Forms {
  const alone = `Near text alone: ${percentText(near.cold)} cold, ${percentText(near.hot)} hot.`;
  const brief = `Near text alone: ${percentText(near.cold)} / ${percentText(near.hot)}.`;
  if (!policies)
    return [`${alone} Another design: \`kreplica compare --policy NAME\`.`, `${alone} Another design: --policy NAME.`];
  const { better, compared } = policies;
  const all = policies.tests.length === new Set(tests.map(({ file }) => file)).size;
  const [named, counted] = all
    ? ["", ""]
    : [` on ${policies.tests.join(", ")}`, ` on ${countText(policies.tests.length, "short test")}`];
  if (!better)
    return [`${alone} No other policy does better${named}.`, `${alone} No other policy does better${counted}.`];
  const { name, coldPercent, hotPercent, movedColdPercent, firstSwitchStores } = better;
  const price =
    movedColdPercent !== undefined
      ? `; ${percentText(movedColdPercent)} if moved`
      : firstSwitchStores > 0
        ? `; ${grouped(firstSwitchStores)} stores a first switch`
        : "";
  const gains = `${percentText(coldPercent)} / ${percentText(hotPercent)}`;
  // Beside the gains of all tests, those of fewer would be taken for more than they are: by how much it is ahead.
  const ahead = `by ${percentText(coldPercent - compared.coldPercent)} / ${percentText(hotPercent - compared.hotPercent)}`;
  if (all) return [`${alone} Better: ${name}, ${gains}${price}.`, `${brief} Better: ${name}, ${gains}${price}.`];
  return [
    `${alone} Better${named}: ${name}, ${gains}, ${ahead}${price}.`,
    `${alone} Better${counted}: ${name}, ${ahead}${price}.`,
    `${brief} Better${counted}: ${name}, ${ahead}${price}.`,
    `Better${counted}: ${name}, ${ahead}${price}.`,
  ];
}

/** Gains of every node, those that are alike in one line; nothing where one CPU alone was looked at. */
export function nodesText({ machine, tests: compared }: CompareResult, screen: Screen): string {
  if (!machine) return "";
  const tests = [...new Map(compared.map((each) => [each.file, each.test.name])).values()];
  const columns = [
    { head: "node" },
    right("CPUs"),
    right("image\nns"),
    ...tests.map((name) => right(name.replace("/", "/\n"))),
    right("mean"),
  ];
  const rows = states.flatMap((cache) => [
    [screen.bold(cache), ...columns.slice(1).map(() => "")],
    ...alike(machine, cache).map(({ nodes, cells }) => [ranges(nodes.map(({ node }) => node)), ...cells]),
    [
      "all",
      grouped(machine.nodes.reduce((sum, each) => sum + each.cpus, 0)),
      "",
      ...meansByTest(machine, cache).map(percentText),
      percentText(machine.gain[cache].percent),
    ],
  ]);
  const copies = machine.nodes.filter((each) => each.measuredOn !== each.node).length;
  return (
    heading("Every node:", "gain in percent, by the node of the CPU that runs the test", screen) +
    renderTable(columns, rows, screen) +
    "\n" +
    paragraph(
      "all: mean over the machine's CPUs. " +
        (copies === 0
          ? "Every node was run. "
          : `${countText(copies, "node")} of ${machine.nodes.length} shared the run of one that is alike (relation to image, copy and data; caches), each at its own latencies. `) +
        (machine.sampling === undefined
          ? ""
          : `Tests of more than a million references ran whole on the CPU of the table above and for an eighth elsewhere; told from an eighth, its gains would be off by ${machine.sampling.toFixed(2)} at most. `) +
        "--cpu N shows one CPU in full.",
      screen,
    )
  );
}

/** Nodes that follow one another with the same figures, as they are shown. */
function alike(
  { nodes }: WholeMachine,
  cache: CacheState,
): { readonly nodes: readonly NodeGains[]; readonly cells: readonly string[] }[] {
  const rows = new Map<string, { nodes: NodeGains[]; cells: string[] }>();
  for (const each of nodes) {
    const cells = [
      String(each.cpus),
      each.imageNs.toFixed(1),
      ...each.tests.filter((test) => test.cache === cache).map(({ gain }) => percentText(gain.percent)),
      percentText(each.mean[cache]),
    ];
    const key = cells.join(" ");
    const row = rows.get(key);
    if (row) row.nodes.push(each);
    else rows.set(key, { nodes: [each], cells });
  }
  return [...rows.values()];
}

/** Mean over all CPUs, by test. */
function meansByTest({ nodes }: WholeMachine, cache: CacheState): number[] {
  const all = nodes.reduce((sum, each) => sum + each.cpus, 0);
  const [first] = nodes;
  return first!.tests
    .filter((each) => each.cache === cache)
    .map(({ file }) =>
      nodes.reduce(
        (sum, { cpus, tests }) =>
          sum + (cpus / all) * tests.find((each) => each.file === file && each.cache === cache)!.gain.percent,
        0,
      ),
    );
}

/** `0-3,8` */
function ranges(ids: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const id of ids) {
    const last = runs.at(-1);
    if (last?.[1] === id - 1) last[1] = id;
    else runs.push([id, id]);
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}
