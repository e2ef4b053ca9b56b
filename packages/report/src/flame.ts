/**
 * Where the far cycles went, as flame graphs that hang down: of each test with caches cold and one copy, what was
 * fetched or loaded from another node's memory, and of text by which functions.
 */
import type { ComparedTest, TestFunctions } from "./document.js";
import { at, escaped, type Figures, folded, picture, table, written } from "./html.js";

const WIDTH = 860;
const ROW = 20;
/** Between two tests. */
const SPACE = 8;
/** Units a letter takes, and a piece that has none. */
const LETTER = 7.2;
const BLANK = 8;
/** Where each part of an account comes from elsewhere; colours are those of the bars. */
const PARTS = [
  { part: "text", words: "text", colour: 5 },
  { part: "rodata", words: "rodata", colour: 6 },
  { part: "data", words: "data", colour: 7 },
  { part: "walks", words: "page walks", colour: 8 },
] as const;

/** One piece: how much, what is said of it, and its label, markup of so many letters. */
interface Piece {
  readonly cycles: number;
  readonly words: string;
  readonly label: string;
  readonly letters: number;
  readonly colour: number;
}

/** Pieces side by side from `x` on, and where each begins. */
function row(pieces: readonly Piece[], x: number, y: number, unit: number): string {
  let from = x;
  return pieces
    .map(({ cycles, words, label, letters, colour }) => {
      const [left, width] = [from, cycles * unit];
      from += width;
      if (width < 0.3) return "";
      const text =
        letters * LETTER + BLANK > width
          ? ""
          : `<text class="in" x="${at(left + 4)}" y="${at(y + 14)}">${label}</text>`;
      return `<g><title>${escaped(`${words}: ${written(cycles)} cycles`)}</title><rect class="cause c${colour}" x="${at(left)}" y="${at(y)}" width="${at(width)}" height="${ROW - 1}"/>${text}</g>`;
    })
    .join("");
}

/** Functions of the test's far text, the listed one by one. */
function functionPieces(figures: Figures, { listed, others, withoutSymbol }: TestFunctions, path: string): Piece[] {
  const rest = (words: string, cycles: number): Piece => ({
    cycles,
    words,
    label: words,
    letters: words.length,
    colour: 5,
  });
  return [
    ...listed.map((each, i): Piece => ({
      cycles: each.before.remote,
      words: each.function,
      label: figures.text(`${path}.listed.${i}.function`, "tspan"),
      letters: each.function.length,
      colour: 5,
    })),
    rest("other functions", others.before.remote),
    rest("without symbol", withoutSymbol.before.remote),
  ];
}

const farOf = ({ singleCopy: { account } }: ComparedTest): number =>
  PARTS.reduce((sum, { part }) => sum + account[part].remote, 0);

/** The graphs, and functions as a table; nothing where no functions were counted. */
export function flameSection(figures: Figures): string {
  const { tests, functions = [] } = figures.document.comparison;
  const shown = tests.flatMap((test, i) => {
    const nth = functions.findIndex((each) => each.test === test.test && each.cache === test.cache);
    return test.cache === "cold" && nth >= 0 && farOf(test) > 0 ? [{ test, i, nth }] : [];
  });
  if (shown.length === 0) return "";
  let y = 0;
  const drawn = shown.map(({ test, i, nth }) => {
    const far = farOf(test);
    const unit = WIDTH / far;
    const top = y;
    y += 3 * ROW + SPACE;
    const whole: Piece = {
      cycles: far,
      words: `${test.test}, waiting for another node's memory`,
      label: figures.text(`comparison.tests.${i}.test`, "tspan"),
      letters: test.test.length,
      colour: 10,
    };
    const parts = PARTS.map(({ part, words, colour }): Piece => ({
      cycles: test.singleCopy.account[part].remote,
      words: `${test.test}, ${words}`,
      label: words,
      letters: words.length,
      colour,
    }));
    return (
      row([whole], 0, top, unit) +
      row(parts, 0, top + ROW, unit) +
      row(functionPieces(figures, functions[nth]!, `comparison.functions.${nth}`), 0, top + 2 * ROW, unit)
    );
  });
  const rows = shown.flatMap(({ nth }) =>
    functions[nth]!.listed.map((_, i) => {
      const path = `comparison.functions.${nth}`;
      return [
        figures.text(`${path}.listed.${i}.function`),
        figures.text(`${path}.test`),
        figures.number(`${path}.listed.${i}.before.remote`),
        figures.number(`${path}.listed.${i}.after.remote`),
      ];
    }),
  );
  return (
    `<h3>What waited for another node, caches cold, one copy</h3><p class="dim">Each graph is one test, as wide as its far cycles: all of them, what they fetched or loaded, and of text in which functions.</p>` +
    picture(
      WIDTH,
      y,
      "Far cycles of each test by what was fetched and by function; the table below has the figures",
      drawn.join("\n"),
    ) +
    folded(
      "The functions as a table",
      table(
        "Cycles that waited for text on another node, caches cold",
        ["function", "test", "one copy", "copies"],
        rows,
        { words: [1] },
      ),
    )
  );
}
