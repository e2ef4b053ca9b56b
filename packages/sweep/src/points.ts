/** The points that a plan spans: products of its axes, axes that move together, filters. Order is the plan's. */
import type { AxisValue, SweepPlan } from "./plan.js";

/** A value for each axis. */
export type Point = Readonly<Record<string, AxisValue>>;

/** Axes of a plan, in the order of its file; those that move together behind the others. */
export const axesOf = ({ axes, together = [] }: SweepPlan): readonly string[] => [
  ...Object.keys(axes),
  ...together.flatMap((group) => Object.keys(group)),
];

/** How many points there are before any filter. */
export const sizeOf = ({ axes, together = [] }: SweepPlan): number =>
  [
    ...Object.values(axes).map((values) => values.length),
    ...together.map((group) => Object.values(group)[0]?.length ?? 1),
  ].reduce((product, length) => product * length, 1);

type Condition = NonNullable<SweepPlan["only"]>[number][string];

function holds(condition: Condition, value: AxisValue): boolean {
  if (Array.isArray(condition)) return condition.includes(value);
  if (typeof condition !== "object" || condition === null) return condition === value;
  const { least, most } = condition;
  return typeof value === "number" && (least === undefined || value >= least) && (most === undefined || value <= most);
}

const matches = (filter: Readonly<Record<string, Condition>>, point: Point): boolean =>
  Object.entries(filter).every(([axis, condition]) => holds(condition, point[axis]!));

/** Every point of a plan that its filters leave, the last axis the fastest. */
export function* pointsOf(plan: SweepPlan): Generator<Point> {
  const { axes, together = [], only, except = [] } = plan;
  const steps: readonly (readonly Point[])[] = [
    ...Object.entries(axes).map(([axis, values]) => values.map((value) => ({ [axis]: value }))),
    ...together.map((group) =>
      (Object.values(group)[0] ?? []).map((_, at) =>
        Object.fromEntries(Object.entries(group).map(([axis, values]) => [axis, values[at]!])),
      ),
    ),
  ];
  const place = steps.map(() => 0);
  if (steps.some((values) => values.length === 0)) return;
  for (;;) {
    const point: Point = Object.assign({}, ...steps.map((values, i) => values[place[i]!])) as Point;
    if ((only?.some((filter) => matches(filter, point)) ?? true) && !except.some((filter) => matches(filter, point)))
      yield point;
    let at = steps.length - 1;
    while (at >= 0 && ++place[at]! === steps[at]!.length) place[at--] = 0;
    if (at < 0) return;
  }
}
