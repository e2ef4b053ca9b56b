/** All designs beside each other: what each costs, and, where it was asked for, what each gains on the same line. */
import { AXIS_TOP, AXIS_WIDTH, legend, percentAxis } from "./axis.js";
import type { ComparedPolicies, PolicyGain } from "./document.js";
import { at, bytesForm, escaped, type Figures, picture, table, written } from "./html.js";

/** The names' column, the gains' axis and the costs' bars, from where to where. */
const GAINS = [150, 540] as const;
const COSTS = [590, 760] as const;
const ROW = 34;

export const policySection = (figures: Figures): string => {
  const { comparedPolicies } = figures.document;
  return (comparedPolicies ? gainsAndCosts(figures, comparedPolicies) : "") + costTable(figures);
};

const path = (nth: number): string => `comparedPolicies.policies.${nth}`;

function gainsAndCosts(figures: Figures, { tests, policies }: ComparedPolicies): string {
  const names = tests.map((_, i) => figures.text(`comparedPolicies.tests.${i}`)).join(", ");
  return (
    `<p>Gain is the mean over all CPUs and over ${names}; cost is what a design adds to a single copy.</p>` +
    gainAndCostPicture(figures, policies) +
    legend(24, 12, [
      [
        '<rect class="interval" y="3" width="24" height="6"/><circle class="gain" cx="12" cy="6" r="5"/>',
        "gain, caches cold",
      ],
      [
        '<rect class="interval" y="3" width="24" height="6"/><circle class="reported" cx="12" cy="6" r="5"/>',
        "gain, caches hot",
      ],
      ['<rect class="price" width="24" height="12"/>', "memory once booted"],
    ]) +
    gainTable(figures, policies)
  );
}

/** Gains to the left on one axis, with their intervals; to the right, as bars, the memory that is paid for them. */
function gainAndCostPicture(figures: Figures, policies: ComparedPolicies["policies"]): string {
  const height = AXIS_TOP + policies.length * ROW + 8;
  const values = policies.flatMap(({ gain }) => [gain.coldLow, gain.coldHigh, gain.hotLow, gain.hotHigh]);
  const [left, right] = GAINS;
  const place = { left, right, top: AXIS_TOP, bottom: height - 4 };
  const { x, ticks } = percentAxis(values, 5, (span) => (span > 40 ? 20 : 5), place);
  const most = Math.max(1, ...policies.map(({ cost }) => cost.bootBytes));
  const rows = policies.map(({ name, gain, cost }, nth) => {
    const y = AXIS_TOP + nth * ROW;
    const mark = (kind: "gain" | "reported", middle: number, low: number, high: number, line: number): string =>
      `<rect class="interval" x="${at(x(low))}" y="${at(line - 3)}" width="${at(Math.max(1.5, x(high) - x(low)))}" height="6" rx="2"/><circle class="${kind}" cx="${at(x(middle))}" cy="${at(line)}" r="4.5"/>`;
    const end = COSTS[0] + (cost.bootBytes / most) * (COSTS[1] - COSTS[0]);
    const form = bytesForm(cost.bootBytes);
    const words = `${name}: gain ${written(gain.coldPercent, { digits: 1 })} percent cold, ${written(gain.hotPercent, { digits: 1 })} hot; ${written(cost.bootBytes, form)} ${form.unit} once booted`;
    return `<g><title>${escaped(words)}</title>${nth % 2 === 0 ? `<rect class="stripe" x="0" y="${at(y)}" width="${AXIS_WIDTH}" height="${ROW}"/>` : ""}<text x="4" y="${at(y + 21)}">${figures.text(`${path(nth)}.name`, "tspan")}</text>${mark("gain", gain.coldPercent, gain.coldLow, gain.coldHigh, y + 10)}${mark("reported", gain.hotPercent, gain.hotLow, gain.hotHigh, y + 24)}<rect class="price" x="${COSTS[0]}" y="${at(y + 9)}" width="${at(Math.max(1, end - COSTS[0]))}" height="16"/><text x="${at(end + 6)}" y="${at(y + 21)}">${figures.label(`${path(nth)}.cost.bootBytes`, form)}</text></g>`;
  });
  const title =
    "Gain in percent, caches cold above caches hot, and beside it the memory each design takes once booted; the table below has the same figures";
  return picture(AXIS_WIDTH, height, title, ticks + rows.join("\n"));
}

function gainTable(figures: Figures, policies: ComparedPolicies["policies"]): string {
  const gainOf = (gain: PolicyGain | null, at: string): string[] =>
    (["coldPercent", "coldLow", "coldHigh", "hotPercent", "hotLow", "hotHigh"] as const).map((field) =>
      gain ? figures.number(`${at}.${field}`, { digits: 1 }) : NONE,
    );
  const cycles = (of: object | null, at: string): string[] =>
    (["cold", "hot"] as const).map((cache) => (of ? figures.number(`${at}.${cache}`) : NONE));
  const moved = policies.some(({ movedGain }) => movedGain);
  return table(
    "Gain, percent of a single copy's cycles, and what is paid for it; cycles are those added",
    [
      "design",
      ...["gain, cold", "low", "high", "hot", "low", "high"],
      ...(moved ? ["moved: cold", "low", "high", "hot", "low", "high"] : []),
      "bytes once booted",
      "a process",
      "a fork, cold",
      "hot",
      "a first switch, cold",
      "hot",
      "does the same as",
    ],
    policies.map(({ gain, movedGain, forkCycles, firstSwitch, sameAs }, nth) => [
      figures.text(`${path(nth)}.name`),
      ...gainOf(gain, `${path(nth)}.gain`),
      ...(moved ? gainOf(movedGain, `${path(nth)}.movedGain`) : []),
      figures.bytes(`${path(nth)}.cost.bootBytes`),
      figures.bytes(`${path(nth)}.cost.processBytes`),
      ...cycles(forkCycles, `${path(nth)}.forkCycles`),
      ...cycles(firstSwitch, `${path(nth)}.firstSwitch.cycles`),
      sameAs === null ? NONE : figures.text(`${path(nth)}.sameAs`),
    ]),
  );
}

const NONE = '<span class="none">none</span>';

function costTable(figures: Figures): string {
  const { policies } = figures.document;
  return table(
    "What each design adds to a single copy; stores are to entries of page tables",
    [
      "design",
      "what it is",
      "bytes once booted",
      "a process",
      "a process that ran on every node",
      "stores a fork",
      "an exec",
      "an exit",
    ],
    policies.map((_, i) => [
      figures.text(`policies.${i}.name`),
      figures.text(`policies.${i}.summary`),
      figures.bytes(`policies.${i}.cost.bootBytes`),
      figures.bytes(`policies.${i}.cost.processBytes`),
      figures.bytes(`policies.${i}.cost.everywhereBytes`),
      ...(["fork", "exec", "exit"] as const).map((what) => figures.number(`policies.${i}.cost.stores.${what}`)),
    ]),
    { words: [1] },
  );
}
