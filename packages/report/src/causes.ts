/** Why: stacked bars of where the cycles went, one copy against copies; and as a table. */
import { legend } from "./axis.js";
import { flameSection } from "./flame.js";
import { at, escaped, type Figures, folded, picture, table, written } from "./html.js";
import { CAUSES } from "./sums.js";

const LEFT = 170;
const WIDTH = 860;
const BAR = 15;

/** Pairs of bars of one state of the caches; a test's longer bar is as long as the picture is wide. */
function causePicture(figures: Figures, cache: string): string {
  const shown = figures.document.why.flatMap((bar, i) => (bar.cache === cache ? [{ bar, at: i }] : []));
  let y = 4;
  const drawn = shown.map(({ bar, at: index }, row) => {
    const longest = Math.max(...shown.filter((each) => each.bar.test === bar.test).map((each) => each.bar.cycles));
    const unit = (WIDTH - LEFT - 10) / Math.max(1, longest);
    let x = LEFT;
    const parts = bar.parts.map(({ cause, cycles }, i) => {
      const width = cycles * unit;
      const from = x;
      x += width;
      const share = (100 * cycles) / Math.max(1, bar.cycles);
      return width < 0.05
        ? ""
        : `<rect class="cause c${i}" x="${at(from)}" y="${at(y)}" width="${at(Math.max(0.3, width))}" height="${BAR}"><title>${escaped(`${bar.test} ${cache}, ${bar.kernel}: ${cause} ${written(cycles)} cycles, ${written(share, { digits: 1 })} percent`)}</title></rect>`;
    });
    const text = `<text x="4" y="${at(y + 12)}">${row % 2 === 0 ? figures.text(`why.${index}.test`, "tspan") : ""}</text><text class="dim" x="${LEFT - 6}" y="${at(y + 12)}" text-anchor="end">${bar.kernel}</text>`;
    y += BAR + (row % 2 === 0 ? 2 : 9);
    return text + parts.join("");
  });
  return picture(
    WIDTH,
    y,
    `Where the cycles of each test went, caches ${cache}, one copy above copies; the table below has the same figures`,
    drawn.join("\n"),
  );
}

/** Both pictures, what the colours mean, the table, and what waited for another node. */
export function causeSection(figures: Figures): string {
  const { why } = figures.document;
  const states = (["cold", "hot"] as const).filter((cache) => why.some((bar) => bar.cache === cache));
  const rows = why.map((bar, i) => [
    `${figures.text(`why.${i}.test`)} ${bar.cache}`,
    bar.kernel,
    figures.number(`why.${i}.cycles`),
    ...bar.parts.map((_, part) => figures.number(`why.${i}.parts.${part}.cycles`)),
    figures.number(`why.${i}.farCycles`),
  ]);
  return (
    legend(
      16,
      16,
      CAUSES.map((cause, i) => [`<rect class="cause c${i}" width="16" height="16"/>`, escaped(cause)] as const),
    ) +
    states.map((cache) => `<h3>Caches ${cache}</h3>${causePicture(figures, cache)}`).join("\n") +
    folded(
      "The same as a table",
      table(
        "Cycles an iteration by cause",
        ["test", "kernel", "all", ...CAUSES.map(escaped), "of them waiting for another node's memory"],
        rows,
      ),
    ) +
    flameSection(figures)
  );
}
