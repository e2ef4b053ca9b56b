/**
 * A machine's topology as one SVG file, boxes in boxes as lstopo draws them: sockets, in them nodes with their memory,
 * in these L3s, in these cores with their CPUs.
 */
import type { DrawnMachine } from "./document.js";
import { at, bytesForm, escaped, written } from "./html.js";

type Cpu = DrawnMachine["cpus"][number];

const PAD = 8;
const TITLE = 20;
const CORE_WIDTH = 74;
const CORE_HEIGHT = 34;
/** Cores beside each other in an L3, boxes beside each other in the machine. */
const CORES_WIDE = 8;
const SOCKETS_WIDE = 2;
const FONT = "12px system-ui,sans-serif";

/** A box that knows its size and draws itself from its upper left corner. */
interface Box {
  readonly width: number;
  readonly height: number;
  draw(x: number, y: number): string;
}

const bytes = (count: number): string => {
  const form = bytesForm(count);
  return `${written(count, form)}${form.unit === undefined ? "" : ` ${form.unit}`}`;
};

const distinct = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

const label = (x: number, y: number, text: string): string => `<text x="${at(x)}" y="${at(y)}">${escaped(text)}</text>`;

/** Boxes in rows under a title. */
function around(title: string, kind: string, boxes: readonly Box[], wide: number): Box {
  const rows: Box[][] = [];
  for (const [i, box] of boxes.entries()) {
    if (i % wide === 0) rows.push([]);
    rows.at(-1)!.push(box);
  }
  const sum = (list: readonly number[]): number => list.reduce((total, each) => total + each + PAD, PAD);
  const heights = rows.map((row) => Math.max(...row.map(({ height }) => height)));
  // A letter of the font is 7 units at most.
  const width = Math.max(2 * PAD + 7 * title.length, ...rows.map((row) => sum(row.map((box) => box.width))));
  return {
    width,
    height: TITLE + sum(heights),
    draw(x, y) {
      let below = y + TITLE + PAD;
      const inside = rows.map((row, r) => {
        let right = x + PAD;
        const drawn = row.map((box) => {
          const text = box.draw(right, below);
          right += box.width + PAD;
          return text;
        });
        below += heights[r]! + PAD;
        return drawn.join("");
      });
      return `<rect class="${kind}" x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(this.height)}" rx="3"/>${label(x + PAD, y + 15, title)}${inside.join("\n")}`;
    },
  };
}

function core(id: number, cpus: readonly Cpu[]): Box {
  const list = cpus.map((cpu) => cpu.id);
  return {
    width: CORE_WIDTH,
    height: CORE_HEIGHT,
    draw: (x, y) =>
      `<g><rect class="core" x="${at(x)}" y="${at(y)}" width="${CORE_WIDTH}" height="${CORE_HEIGHT}" rx="2"/>${label(x + 5, y + 14, `core ${id}`)}${label(x + 5, y + 28, list.length <= 2 ? list.join(", ") : `${list[0]!} ... ${list.at(-1)!}`)}</g>`,
  };
}

/**
 * @param machine whatever `kreplica machine NAME --json` prints
 * @returns an SVG document
 */
export function topologyPicture(machine: DrawnMachine): string {
  const l3s = (cpus: readonly Cpu[]): Box[] =>
    distinct(cpus.map(({ l3 }) => l3)).map((l3) => {
      const own = cpus.filter((cpu) => cpu.l3 === l3);
      const cores = distinct(own.map((cpu) => cpu.core)).map((id) =>
        core(
          id,
          own.filter((cpu) => cpu.core === id),
        ),
      );
      return around(
        `L3 ${l3}: ${bytes(machine.l3.bytes)}, L2 ${bytes(machine.l2.bytes)} a core`,
        "l3",
        cores,
        CORES_WIDE,
      );
    });
  const node = (id: number, cpus: readonly Cpu[], whole: boolean): Box => {
    const index = machine.nodes.findIndex((each) => each.id === id);
    const { memoryBytes } = machine.nodes[index]!;
    const own =
      memoryBytes > 0 && cpus.length > 0 ? `, ${written(machine.latencyNs[index]![index]!, { digits: 1 })} ns` : "";
    return around(
      `node ${id}${whole ? "" : " (a part)"}: ${memoryBytes === 0 ? "no memory" : bytes(memoryBytes)}${own}`,
      cpus.length === 0 ? "memory" : "node",
      l3s(cpus),
      SOCKETS_WIDE,
    );
  };
  const sockets = distinct(machine.cpus.map(({ socket }) => socket)).map((socket) => {
    const cpus = machine.cpus.filter((cpu) => cpu.socket === socket);
    const nodes = distinct(cpus.map((cpu) => cpu.node)).map((id) => {
      const own = cpus.filter((cpu) => cpu.node === id);
      return node(id, own, own.length === machine.cpus.filter((cpu) => cpu.node === id).length);
    });
    return around(`socket ${socket}`, "socket", nodes, SOCKETS_WIDE);
  });
  const beside = machine.nodes
    .filter(({ id }) => !machine.cpus.some((cpu) => cpu.node === id))
    .map(({ id }) => node(id, [], true));
  const all = around(`${machine.name}: ${machine.description}`, "machine", [...sockets, ...beside], SOCKETS_WIDE);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${at(all.width)} ${at(all.height)}" width="${at(all.width)}" height="${at(all.height)}" role="img" aria-label="${escaped(`Sockets, nodes, caches and cores of ${machine.name}`)}" font-size="12" style="font:${FONT}">
<style>rect{stroke:#57606a}.machine{fill:#fff}.socket{fill:#eef1f4}.node{fill:#d5e8f7}.memory{fill:#f7ead5}.l3{fill:#fff}.core{fill:#e6f2e0}text{fill:#1b1f24}</style>
${all.draw(0, 0)}
</svg>
`;
}
