/** What each single cause would have to be for a modelled gain to equal a reported one. */
import { account, type MachineSpec } from "@kreplica/hw-x86";
import { presets } from "@kreplica/machines";
import { balance } from "../measure/balance.js";
import { Interconnect } from "../measure/interconnect.js";
import { type Cause, type CauseName, nearestOf } from "./cause.js";
import { asItIs, type Figure, gained, type Pair } from "./figure.js";
import { frontEndFor, linesAhead } from "./front-end.js";
import { EQUAL, type Looked, placesIn, type Reached, reaching } from "./reaching.js";

/** Most of a link that can be background: above it no answer is told. */
export const MOST_LOAD = 0.95;
/** Ratios of far and near memory that are looked at. */
export const MOST_RATIO = 10;
/** Places before halving where a place costs no run. */
const PLACES = 24;

const none = (cause: CauseName, unit: string, reason: string): Cause => ({
  cause,
  value: null,
  unit,
  now: null,
  between: null,
  nearest: null,
  plausible: null,
  reason,
  change: null,
});

/** @param range values that have a source, `now` among them */
function found(
  cause: CauseName,
  unit: string,
  now: number,
  { value, between, nearest }: Reached,
  range: readonly [low: number, high: number],
  reason: string,
): Cause {
  const end = value === undefined || value >= now ? range[1] : range[0];
  return {
    cause,
    value: value ?? null,
    unit,
    now,
    between: between && between[0] !== between[1] ? { low: between[0], high: between[1] } : null,
    nearest: nearestOf(value, nearest),
    plausible: value === undefined ? null : value >= range[0] && value <= range[1],
    reason,
    change:
      value === undefined ? null : value === now ? 0 : end === now ? null : Math.abs(value - now) / Math.abs(end - now),
  };
}

/** All of them, in the order of their names. @param reported percent */
export const causesOf = (figure: Figure, reported: number): Cause[] => [
  load(figure, reported),
  pressure(figure, reported),
  inclusion(figure, reported),
  ratio(figure, reported),
  l2(figure, reported),
  layout(figure, reported),
  noise(figure, reported),
  runAhead(figure, reported),
];

/** The gain with all links between sockets that busy: each kernel adds what it asks for itself. */
export function loadedGain(figure: Figure, paths: Interconnect, share: number): number {
  const { spec, single, perNode } = asItIs(figure);
  const { nodeIndex } = figure.place;
  const background = Float64Array.from(paths.resources, ({ kind }) => (kind === "link" ? share : 0));
  const on = (counters: Float64Array): MachineSpec =>
    balance(spec, paths, [{ node: nodeIndex, cpus: 1, counters }], background).spec;
  return gained({ single, perNode }, on(single), nodeIndex, on(perNode));
}

/** Share of the busiest link that the test itself takes when all CPUs of the node run it, with one copy. */
export function ownLoad(figure: Figure, paths: Interconnect): number {
  const { spec, single } = asItIs(figure);
  const users = [{ node: figure.place.nodeIndex, cpus: figure.cpus, counters: single }];
  const { utilisation } = balance(spec, paths, users, new Float64Array(paths.resources.length));
  return Math.max(0, ...paths.resources.flatMap(({ kind }, at) => (kind === "link" ? [utilisation[at]!] : [])));
}

function load(figure: Figure, reported: number): Cause {
  const unit = "share of the peak of the links between sockets";
  const paths = new Interconnect(asItIs(figure).spec);
  if (!paths.resources.some(({ kind }) => kind === "link"))
    return none("load on the link", unit, "the machine has no link between sockets");
  const gainAt = (share: number): number => loadedGain(figure, paths, share);
  const looked = placesIn(0, MOST_LOAD, PLACES).map((value): Looked => ({ value, percent: gainAt(value) }));
  const own = ownLoad(figure, paths);
  return found(
    "load on the link",
    unit,
    0,
    reaching(looked, reported, { now: 0 }, gainAt),
    [0, own],
    `all ${figure.cpus} CPUs of the node running this test load a link to ${own.toFixed(2)}, as counted; more is other work, of which a figure of one CPU says nothing`,
  );
}

/** MB/s that one CPU running the test reads from memory, with one copy. */
export function ownPressure(figure: Figure): number {
  const { spec, single } = asItIs(figure);
  const paths = new Interconnect(spec);
  const { nodeIndex } = figure.place;
  const bytes = paths.bytes(single, nodeIndex);
  const all = paths.resources.reduce((sum, { kind }, at) => (kind === "memory" ? sum + bytes[at]! : sum), 0);
  const seconds = account(single, spec, nodeIndex).cycles / spec.hertz.value;
  return seconds === 0 ? 0 : all / seconds / 1e6;
}

/** Gains of the runs that differ in this, by value; the machine as it is among them. */
export function lookedAt(figure: Figure, of: "pressure" | "L2 size" | "run-ahead", now: number): Looked[] {
  const { nodeIndex } = figure.place;
  return figure.counted.flatMap((each): Looked[] => {
    const value = each.differs.of === "nothing" ? now : each.differs.of === of ? (each.differs.value as number) : null;
    return value === null ? [] : [{ value, percent: gained(each, each.spec, nodeIndex) }];
  });
}

function pressure(figure: Figure, reported: number): Cause {
  const name = "pressure on the last-level cache";
  const unit = "MB/s of each other core";
  const looked = lookedAt(figure, "pressure", 0);
  if (looked.length === 1) return none(name, unit, "no other core is behind the CPU's last-level cache");
  const own = ownPressure(figure);
  return found(
    name,
    unit,
    0,
    reaching(looked, reported, { now: 0 }),
    [0, own],
    `a CPU running this test reads ${own.toFixed(0)} MB/s from memory, as counted; more from every other core is other work, of which a figure of one CPU says nothing`,
  );
}

function inclusion(figure: Figure, reported: number): Cause {
  const { spec } = asItIs(figure);
  const { nodeIndex } = figure.place;
  const others = figure.counted.flatMap((each) =>
    each.differs.of === "inclusion" ? [{ value: each.differs.value, percent: gained(each, each.spec, nodeIndex) }] : [],
  );
  const [first] = others;
  const reason = `the processor's last-level cache is ${spec.l3.inclusion}: no other kind is its own; run on an otherwise idle machine`;
  if (!first) return none("inclusion", "", reason);
  const nearest = others.reduce(
    (best, each) => (Math.abs(each.percent - reported) < Math.abs(best.percent - reported) ? each : best),
    first,
  );
  const does = Math.abs(nearest.percent - reported) <= EQUAL;
  return {
    ...none("inclusion", "", reason),
    now: spec.l3.inclusion,
    value: does ? nearest.value : null,
    nearest: does ? null : nearest,
    plausible: does ? false : null,
  };
}

/** The machine with the image's node as many times as far from the CPU's as the copy's is. */
export const withRatio = (
  spec: MachineSpec,
  { nodeIndex, far, near }: Figure["place"],
  ratio: number,
): MachineSpec => ({
  ...spec,
  latencyNs: spec.latencyNs.map((row, from) =>
    from === nodeIndex ? row.map((ns, to) => (to === far ? row[near]! * ratio : ns)) : row,
  ),
});

/** How many times as far as the copy's the image's node is. */
export const ratioOf = ({ latencyNs }: MachineSpec, { nodeIndex, far, near }: Figure["place"]): number =>
  latencyNs[nodeIndex]![far]! / latencyNs[nodeIndex]![near]!;

function ratio(figure: Figure, reported: number): Cause {
  const pair = asItIs(figure);
  const { spec } = pair;
  const { place } = figure;
  const unit = "times the latency of near memory";
  if (place.far === place.near) return none("far/near ratio", unit, "the CPU runs on the image's node");
  const now = ratioOf(spec, place);
  const gainAt = (value: number): number => gained(pair, withRatio(spec, place, value), place.nodeIndex);
  const high = Math.max(MOST_RATIO, now);
  const looked = [...new Set([...placesIn(1, high, PLACES, true), now])].map((value): Looked => ({
    value,
    percent: gainAt(value),
  }));
  const range = [Math.max(1, now * (1 - spec.latencySpread)), now * (1 + spec.latencySpread)] as const;
  const known = presets
    .filter(({ nodes }) => nodes.length > 1)
    .map(({ latencyNs }) => Math.max(...latencyNs[0]!.slice(1)) / latencyNs[0]![0]!);
  return found(
    "far/near ratio",
    unit,
    now,
    reaching(looked, reported, { now, byRatio: true }, gainAt),
    range,
    `${range[0].toFixed(2)} to ${range[1].toFixed(2)}: latencies of ${spec.name} are told to ${(100 * spec.latencySpread).toFixed(0)} %; of all presets the farthest node is ${Math.min(...known).toFixed(2)} to ${Math.max(...known).toFixed(2)} times as far as the nearest`,
  );
}

function l2(figure: Figure, reported: number): Cause {
  const { spec } = asItIs(figure);
  const now = spec.l2.bytes;
  const looked = lookedAt(figure, "L2 size", now);
  const reached = reaching(looked, reported, { now, byRatio: true });
  return found(
    "L2 size",
    "bytes",
    now,
    reached,
    [now, now],
    `the processor has ${now >> 10} KiB a core: no other size is its own`,
  );
}

function runAhead(figure: Figure, reported: number): Cause {
  const { spec } = asItIs(figure);
  const unit = "lines under way at once";
  const known = frontEndFor(spec);
  const now = linesAhead(spec);
  const looked = lookedAt(figure, "run-ahead", now);
  if (!known || looked.length === 1)
    return none("run-ahead", unit, "no front end of this maker's processors is known to run ahead");
  const reached = reaching(looked, reported, { now });
  const { lines, targets } = known.frontEnd;
  const { value, low = value, high = value, source } = lines;
  if (now > 0)
    return found(
      "run-ahead",
      unit,
      now,
      reached,
      [low, high],
      `${low} to ${high} lines of the processor's own: ${source}`,
    );
  const reason = `it is not known whether this processor's front end runs ahead: nobody measured it. Looked at with that of ${known.machine}, ${value} to ${high} lines and ${targets.value} targets: ${source}`;
  return {
    ...found("run-ahead", unit, now, reached, [now, now], reason),
    ...(reached.value === undefined || reached.value === now ? {} : { plausible: null }),
  };
}

/** Gains of two builds, each in any of the layouts: one copy's by the copies'. */
export function layoutGains({ layouts, place: { nodeIndex } }: Figure, spec: MachineSpec): number[] {
  return layouts.flatMap(({ single }) =>
    layouts.map(({ perNode }): number => gained({ single, perNode } satisfies Pair, spec, nodeIndex)),
  );
}

function layout(figure: Figure, reported: number): Cause {
  const pair = asItIs(figure);
  const unit = "percentage points between two builds";
  const gains = layoutGains(figure, pair.spec);
  if (gains.length === 0) return none("layout", unit, "no layout was drawn");
  const modelled = gained(pair, pair.spec, figure.place.nodeIndex);
  const linked = gains[0]!;
  const [low, high] = [Math.min(...gains) - linked, Math.max(...gains) - linked];
  const wanted = reported - modelled;
  const inside = wanted >= low && wanted <= high;
  const end = wanted < 0 ? low : high;
  return {
    ...none(
      "layout",
      unit,
      `two builds that differ in where functions, pages and tables lie differ by ${low.toFixed(1)} to ${high.toFixed(1)} in this test, over ${figure.layouts.length - 1} drawn layouts; the report compares two builds. Published for single benchmarks, by alignment alone: -18 to +97 % (Linux commit 09c60546f04f)`,
    ),
    value: inside ? wanted : null,
    now: 0,
    nearest: inside ? null : { value: end, percent: modelled + end },
    plausible: inside ? true : null,
    change: inside ? (end === 0 ? 0 : Math.abs(wanted / end)) : null,
  };
}

/**
 * A single shot: one run on each kernel, one of them off by so many cycles. A periodic tick comes at most once more in
 * one of two runs of the same length; nothing else that is certain to come is known of the machine of a report.
 */
function noise(figure: Figure, reported: number): Cause {
  const pair = asItIs(figure);
  const { spec } = pair;
  const { nodeIndex } = figure.place;
  const { cycles } = account(pair.single, spec, nodeIndex);
  const off = (Math.abs(reported - gained(pair, spec, nodeIndex)) / 100) * cycles;
  const { ipiCycles } = spec.costs;
  const tick = ipiCycles.high ?? ipiCycles.value;
  return {
    ...none(
      "single-shot noise",
      "cycles more in one of the two runs",
      `of ${cycles.toFixed(0)} with one copy; a periodic tick comes at most once more in one of two runs, and an interrupt costs up to ${tick.toFixed(0)}`,
    ),
    value: off,
    now: 0,
    plausible: off <= tick,
    change: off / tick,
  };
}
