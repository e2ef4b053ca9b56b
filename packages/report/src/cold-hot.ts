/** Two bars a row, caches cold and hot, to both sides of nought: gains of what the rows stand for. */
import { AXIS_TOP, AXIS_WIDTH, legend, percentAxis } from "./axis.js";
import { at, escaped, picture, written } from "./html.js";

const ROW = 34;

/** One row. */
export interface ColdHotRow {
  /** Left of the bars, as HTML. */
  readonly label: string;
  /** The same in plain words. */
  readonly name: string;
  readonly coldPercent: number;
  readonly hotPercent: number;
}

/** @param title what it shows, for those who do not see it */
export function coldHotPicture(rows: readonly ColdHotRow[], title: string): string {
  const values = [0, ...rows.flatMap(({ coldPercent, hotPercent }) => [coldPercent, hotPercent])];
  const step = Math.max(...values) - Math.min(...values) > 40 ? 20 : 5;
  const height = AXIS_TOP + rows.length * ROW + 6;
  const { x, ticks } = percentAxis(values, step, () => step, height - 4);
  const drawn = rows.map(({ label, name, coldPercent, hotPercent }, i) => {
    const y = AXIS_TOP + i * ROW;
    const bar = (percent: number, mark: string, top: number): string =>
      `<rect class="${mark}" x="${at(Math.min(x(0), x(percent)))}" y="${at(top)}" width="${at(Math.max(1, Math.abs(x(percent) - x(0))))}" height="11"/>`;
    const words = `${name}: ${written(coldPercent, { digits: 1 })} percent cold, ${written(hotPercent, { digits: 1 })} hot`;
    return `<g><title>${escaped(words)}</title><text x="4" y="${at(y + 19)}">${label}</text>${bar(coldPercent, "gain", y + 3)}${bar(hotPercent, "reported", y + 16)}</g>`;
  });
  const mark = (name: string, words: string) => [`<rect class="${name}" width="24" height="12"/>`, words] as const;
  return (
    picture(AXIS_WIDTH, height, title, ticks + drawn.join("\n")) +
    legend(24, 12, [mark("gain", "caches cold"), mark("reported", "caches hot")])
  );
}
