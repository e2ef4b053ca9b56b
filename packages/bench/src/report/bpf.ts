/** `kreplica bpf` as text: verdicts, results by node, and where the code was fetched from with and without copies. */
import type { BpfMapState, BpfNodeRun, BpfRun, Fetches } from "@kreplica/replay";
import { type Column, hanging, note, renderTable, right, type Screen, wrap } from "./terminal.js";
import { bytesText, countText } from "./units.js";

const whole = (n: number): string => Math.round(n).toLocaleString("en");
const sources = (f: Fetches): string[] => [f.caches, f.otherCaches, f.local, f.remote].map(whole);
const how = (run: BpfRun): string => (run.replicate ? "replicated" : "shared");
/** What a node's calls cost, warm figures where there were warm calls. */
const columns = (repeat: number): Column[] => [
  right("instructions"),
  right("caches"),
  right("other"),
  right("local"),
  right("remote"),
  right("cold cycles"),
  ...(repeat > 0 ? [right("warm: remote"), right("cycles")] : []),
];
const cells = (node: BpfNodeRun, repeat: number): string[] => [
  whole(node.instructions),
  ...sources(node.cold),
  whole(node.coldCycles),
  ...(repeat > 0 ? [whole(node.warm.remote), whole(node.warmCycles)] : []),
];

/** A name and what is said of it, wrapped. */
const titled = (name: string, rest: string, screen: Screen): string => {
  const [first = "", ...more] = wrap(`${name}${rest}`, screen.columns - 2);
  return [
    `${screen.bold(first.slice(0, name.length))}${first.slice(name.length)}`,
    ...more.map((line) => `  ${line}`),
    "",
  ].join("\n");
};

/** @param runs shared images, replicated ones, or both */
export function bpfText(runs: readonly BpfRun[], heading: string, repeat: number, screen: Screen): string {
  const first = runs[0];
  if (!first) return "";
  const outcome = (node: BpfNodeRun): string => (node.outcome === "exit" ? `${node.result}` : screen.bad(node.outcome));
  let text = `${wrap(heading, screen.columns).map(screen.bold).join("\n")}\n`;
  for (const program of first.programs) {
    text += `\n${titled(
      program.name,
      ` (${program.section}): accepted after ${countText(program.processed, "instruction")} followed; ${countText(program.slots, "slot")}, ${program.bytes} bytes of x86-64`,
      screen,
    )}`;
    text += renderTable(
      [{ head: "images" }, right("cpu"), right("code on"), right("r0"), ...columns(repeat)],
      runs.flatMap((run) =>
        run.programs
          .find((each) => each.name === program.name)!
          .nodes.map((node) => [how(run), `${node.cpu}`, `node ${node.codeOn}`, outcome(node), ...cells(node, repeat)]),
      ),
      screen,
    );
  }
  for (const [i, path] of first.paths.entries()) {
    text += `\n${titled(
      path.program,
      ` attached: ${path.path}, through ${path.through === "struct_ops" ? "a struct_ops image" : `a ${path.through}`}, called on every node`,
      screen,
    )}`;
    text += renderTable(
      [{ head: "images" }, right("cpu"), right("image on"), right("code on"), right("result"), ...columns(repeat)],
      runs.flatMap((run) =>
        run.paths[i]!.nodes.map((node, n) => [
          how(run),
          `${node.cpu}`,
          `node ${run.paths[i]!.imageOn[n]}`,
          `node ${node.codeOn}`,
          outcome(node),
          ...cells(node, repeat),
        ]),
      ),
      screen,
    );
  }
  if (first.maps.length > 0) {
    text += `\n${screen.bold("maps")}\n${renderTable(
      [{ head: "name" }, { head: "kind" }, right("memory"), right("keys"), { head: "not zero, after all calls" }],
      first.maps.map((map) => [map.name, map.kind, bytesText(map.bytes), `${map.keys}`, contents(map)]),
      screen,
    )}`;
  }
  text += `\n${screen.bold("replication of images: what it buys and costs")}\n`;
  text += renderTable(
    [
      { head: "image" },
      { head: "images" },
      right("count"),
      ...first.costs[0]!.bytes.map(({ node }) => right(`node ${node}`)),
      right("frames written"),
      right("bytes"),
      right("flushes"),
      right("syncs"),
      { head: "pages" },
    ],
    first.costs.flatMap(({ kind }, i) =>
      runs.map((run) => {
        const cost = run.costs[i]!;
        return [
          kind,
          how(run),
          `${cost.images}`,
          ...cost.bytes.map(({ bytes }) => bytesText(bytes)),
          whole(cost.framesWritten),
          whole(cost.bytesWritten),
          `${cost.flushes}`,
          `${cost.synchronisations}`,
          cost.permissions.join(" "),
        ];
      }),
    ),
    screen,
  );
  const shared = runs.find((run) => !run.replicate),
    copied = runs.find((run) => run.replicate);
  if (shared && copied) text += bought(shared, copied, screen);
  text += hanging(
    "",
    `Left when all was given back: ${runs.map((run) => `${how(run)} ${bytesText(run.leftBytes)}`).join(", ")}.`,
    screen,
    0,
  );
  return (
    text +
    note(
      "Lines of code by where they were fetched from: the CPU's own caches, caches of others, memory of its node, of another. Cold: every cache emptied before; what stays in the caches needs no copy. Entries of helpers are among the lines. Cycles are the model's.",
      screen,
    )
  );
}

/** Programs that were not run, and why. @returns nothing where there are none */
export function refusedText(
  refused: readonly { readonly name: string; readonly reason: string }[],
  screen: Screen,
): string {
  if (refused.length === 0) return "";
  return `\n${screen.bold("refused by the verifier")}\n${refused.map(({ name, reason }) => hanging(screen.bad(name), reason, screen, name.length + 2)).join("")}  Its log: --verify-only --program ${refused[0]!.name}\n`;
}

/** The first few elements: short ones as numbers, long ones as their first bytes. */
function contents({ elements }: BpfMapState): string {
  const number = (hex: string): string =>
    hex.length <= 16 ? BigInt(`0x${(hex.match(/../g) ?? []).reverse().join("")}`).toString() : `${hex.slice(0, 16)}...`;
  const shown = elements
    .slice(0, 3)
    .map(({ key, value, cpu }) => `${number(key)}${cpu === undefined ? "" : ` on cpu ${cpu}`}: ${number(value)}`);
  return [...shown, ...(elements.length > shown.length ? [`${elements.length - shown.length} more`] : [])].join(", ");
}

/** Sums over all programs and paths by node: what the copies saved of remote fetches and cycles. */
function bought(shared: BpfRun, copied: BpfRun, screen: Screen): string {
  const runsOf = (run: BpfRun): BpfNodeRun[] => [...run.programs, ...run.paths].flatMap((each) => [...each.nodes]);
  const nodes = [...new Set(runsOf(shared).map(({ node }) => node))];
  const sum = (run: BpfRun, node: number, of: (each: BpfNodeRun) => number): number =>
    runsOf(run)
      .filter((each) => each.node === node)
      .reduce((total, each) => total + of(each), 0);
  return `\n${renderTable(
    [
      { head: "all cold calls" },
      right("remote, shared"),
      right("replicated"),
      right("cycles, shared"),
      right("replicated"),
      right("saved"),
    ],
    nodes.map((node) => {
      const before = sum(shared, node, (each) => each.coldCycles),
        after = sum(copied, node, (each) => each.coldCycles);
      return [
        `node ${node}`,
        whole(sum(shared, node, (each) => each.cold.remote)),
        whole(sum(copied, node, (each) => each.cold.remote)),
        whole(before),
        whole(after),
        `${((100 * (before - after)) / before).toFixed(1)} %`,
      ];
    }),
    screen,
  )}`;
}
