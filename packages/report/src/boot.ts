/** The boot as a time line: a row for each step, its stores to page tables as a bar. */
import { type Figures, table } from "./html.js";

/** Steps in their order; the bar is as long as the step's share of the longest. */
export function bootSection(figures: Figures): string {
  const { timeline } = figures.document;
  const most = Math.max(1, ...timeline.map(({ stores }) => stores));
  return table(
    "Steps of the boot; * are the series' own",
    ["step", "what it did", "stores to page tables", "of them for copies", ""],
    timeline.map((step, i) => [
      `${figures.text(`timeline.${i}.step`)}${step.fromSeries ? " *" : ""}`,
      figures.text(`timeline.${i}.did`),
      figures.number(`timeline.${i}.stores`),
      figures.number(`timeline.${i}.replicaStores`),
      `<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="cause c7" width="${Math.round((1000 * (step.stores - step.replicaStores)) / most) / 10}" height="10"/><rect class="cause c9" x="${Math.round((1000 * (step.stores - step.replicaStores)) / most) / 10}" width="${Math.round((1000 * step.replicaStores) / most) / 10}" height="10"/></svg>`,
    ]),
    { sortable: false, words: [1] },
  );
}
