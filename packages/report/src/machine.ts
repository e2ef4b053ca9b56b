/** The machine drawn: nodes with their CPUs and memory, links with latencies, far traffic of a test on them. */
import { at, bytesForm, type Figures, picture, table } from "./html.js";
import type { DrawnMachine, WhyBar } from "./document.js";

const BOX_WIDTH = 190;
const BOX_HEIGHT = 104;
const GAP = 120;

/** A colour a node, far apart on the wheel; the number stands beside it everywhere. */
export const nodeClass = (node: number): string => `n${node % 16}`;

interface Box {
  readonly x: number;
  readonly y: number;
}

const centre = ({ x, y }: Box): Box => ({ x: x + BOX_WIDTH / 2, y: y + BOX_HEIGHT / 2 });

/** The cold test whose single copy waits longest on another node's memory, in share of its cycles. */
export function farthest(why: readonly WhyBar[]): { readonly one: number; readonly copies: number } | undefined {
  let best: { one: number; copies: number; share: number } | undefined;
  why.forEach((bar, i) => {
    if (bar.kernel !== "one copy" || bar.cache !== "cold") return;
    const share = bar.farCycles / Math.max(1, bar.cycles);
    if (!best || share > best.share) best = { one: i, copies: i + 1, share };
  });
  return best;
}

/** @param bar index of the bar whose far traffic the link carries */
function drawnMachine(figures: Figures, bar: number): string {
  const { machine, comparison, why } = figures.document;
  const columns = machine.nodes.length <= 2 ? 2 : Math.ceil(Math.sqrt(machine.nodes.length));
  const boxes = machine.nodes.map((_, i) => ({
    x: 10 + (i % columns) * (BOX_WIDTH + GAP),
    y: 10 + Math.floor(i / columns) * (BOX_HEIGHT + 60),
  }));
  const width = 20 + columns * BOX_WIDTH + (columns - 1) * GAP;
  const height = 20 + Math.ceil(machine.nodes.length / columns) * (BOX_HEIGHT + 60) - 60;
  const place = (node: number): number => machine.nodes.findIndex(({ id }) => id === node);
  const home = place(comparison.masterNode);
  const own = place(machine.cpus.find(({ id }) => id === comparison.cpu)?.node ?? comparison.masterNode);
  const links = boxes.flatMap((box, i) =>
    boxes.slice(i + 1).map((other, k) => {
      const j = i + 1 + k;
      const [from, to] = [centre(box), centre(other)];
      const carries = (i === home && j === own) || (i === own && j === home);
      const share = carries ? why[bar]!.farCycles / Math.max(1, why[bar]!.cycles) : 0;
      const line = `<line class="${share > 0 ? "far" : "link"}" x1="${at(from.x)}" y1="${at(from.y)}" x2="${at(to.x)}" y2="${at(to.y)}" stroke-width="${at(share > 0 ? 3 + 40 * share : 1.5)}"/>`;
      const [row, column] = i === home || j === home ? [i === home ? j : i, home] : [i, j];
      const label =
        boxes.length <= 4 || carries
          ? `<text class="onlink" x="${at((from.x + to.x) / 2)}" y="${at(Math.min(from.y, to.y) + Math.abs(from.y - to.y) / 2 - 6 - (share > 0 ? 2 + 20 * share : 0))}" text-anchor="middle">${figures.label(`machine.latencyNs.${row}.${column}`, { digits: 1, unit: "ns" })}</text>`
          : "";
      return { line, label, carries };
    }),
  );
  // What carries the test's traffic lies on top.
  const drawn = [...links].sort((a, b) => Number(a.carries) - Number(b.carries));
  const nodes = machine.nodes.map((node, i) => {
    const cpus = machine.cpus.filter((cpu) => cpu.node === node.id);
    const cores = new Set(cpus.map(({ core }) => core)).size;
    const l3s = new Set(cpus.map(({ l3 }) => l3)).size;
    const { x, y } = boxes[i]!;
    const line = (row: number, text: string): string =>
      `<text x="${at(x + 10)}" y="${at(y + 40 + row * 17)}">${text}</text>`;
    return `<g><rect class="node ${nodeClass(node.id)}" x="${at(x)}" y="${at(y)}" width="${BOX_WIDTH}" height="${BOX_HEIGHT}" rx="6"/><text class="name" x="${at(x + 10)}" y="${at(y + 20)}">node ${figures.label(`machine.nodes.${i}.id`)}${i === home ? ", the image" : ""}${i === own ? ", the test" : ""}</text>${line(0, `<tspan class="count">${cpus.length}</tspan> CPUs on <tspan class="count">${cores}</tspan> cores`)}${line(1, cpus.length === 0 ? "no CPU" : `<tspan class="count">${l3s}</tspan> x L3 of ${figures.label("machine.l3.bytes", bytesForm(machine.l3.bytes))}`)}${line(2, `memory ${figures.label(`machine.nodes.${i}.memoryBytes`, bytesForm(node.memoryBytes))}`)}${line(3, `its own memory: ${figures.label(`machine.latencyNs.${i}.${i}`, { digits: 1, unit: "ns" })}`)}</g>`;
  });
  return picture(
    width,
    height,
    `The machine's nodes and links; the link from the image's node to the test's CPU is as wide as its share of cycles`,
    drawn.map(({ line, label }) => line + label).join("") + nodes.join("\n"),
  );
}

/** Latencies as a table: from the row's node to the column's memory. */
function latencies(figures: Figures, { nodes }: DrawnMachine): string {
  return table(
    "Latency in ns, from the node of the row to the memory of the node of the column",
    ["node", ...nodes.map((_, i) => figures.number(`machine.nodes.${i}.id`))],
    nodes.map((_, row) => [
      figures.number(`machine.nodes.${row}.id`),
      ...nodes.map((__, column) => figures.number(`machine.latencyNs.${row}.${column}`, { digits: 1 })),
    ]),
    { sortable: false },
  );
}

/** One copy beside copies, with what crosses the link; latencies; and far cycles of every test. */
export function machineSection(figures: Figures): string {
  const { machine, why } = figures.document;
  const most = farthest(why);
  const traffic = (bar: number): string =>
    `<figure><figcaption>${why[bar]!.kernel}: ${figures.number(`why.${bar}.farCycles`)} of ${figures.number(`why.${bar}.cycles`)} cycles of ${figures.text(`why.${bar}.test`)}, caches cold, wait for another node's memory</figcaption>${drawnMachine(figures, bar)}</figure>`;
  return (
    `<p>${figures.text("machine.description")}.</p>` +
    (most
      ? `<div class="${machine.nodes.length > 4 ? "column" : "pair"}">${traffic(most.one)}${traffic(most.copies)}</div>`
      : "") +
    latencies(figures, machine)
  );
}
