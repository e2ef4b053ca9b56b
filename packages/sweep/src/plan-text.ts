/**
 * Reads a plan from YAML 1.2, of which JSON is a part, or from what a program made: all that is wrong with it, each
 * fault with its field, and its line where it has one.
 */
import { allFaults, didYouMean, fieldName, type InputFault, InputError } from "@kreplica/inputs";
import { isNode, LineCounter, parseDocument } from "yaml";
import { planShape, type SweepPlan } from "./plan.js";

/** A plan is at most a list of some hundred thousand values. */
const LONGEST = 8 << 20;
/** Aliases that a document may expand to before it is refused: a few lines of YAML can stand for gigabytes. */
const MOST_ALIASES = 100;

/** A plan and the places of its parts. */
export interface PlanText {
  readonly plan: SweepPlan;
  /** A fault of the plan at a path, `["axes", "policy", 2]`, with its field; in a text with line and column. */
  faultAt(path: readonly PropertyKey[], reason: string, remedy: string): InputFault;
}

/**
 * @param text of the file @param file as the user named it
 * @param schemaFile where the schema lies, for whoever reads the message
 * @throws InputError with every fault
 */
export function planFromText(text: string, file: string, schemaFile: string): PlanText {
  if (text.length > LONGEST)
    throw new InputError({ file, reason: "larger than 8 MiB", remedy: "give a plan, not its results" });
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: true,
    merge: false,
    // A warning would be printed by Node beside our own messages: what it is about is refused below.
    logLevel: "error",
  });
  const placeOf = (offset: number): Pick<InputFault, "line" | "column"> => {
    const { line, col } = lines.linePos(offset);
    return line === 0 ? {} : { line, column: col };
  };
  if (document.errors.length > 0)
    throw allFaults(
      document.errors.map((error) => ({
        file,
        ...placeOf(error.pos[0]),
        reason: `no YAML: ${error.message
          .split("\n")[0]!
          .replace(/ at line \d+.*$/, "")
          .replace(/^./, (first) => first.toLowerCase())}`,
        remedy: "correct it there, or write the plan as JSON",
      })),
    );
  const faultAt = (path: readonly PropertyKey[], reason: string, remedy: string): InputFault => {
    // A key that is missing has the place of what it is missing in.
    let known: unknown = document.contents;
    for (let length = path.length; length > 0; length--) {
      const found = document.getIn(path.slice(0, length) as string[], true);
      if (isNode(found)) {
        known = found;
        break;
      }
    }
    const offset = isNode(known) ? known.range?.[0] : undefined;
    return {
      file,
      ...(offset === undefined ? {} : placeOf(offset)),
      ...(path.length === 0 ? {} : { field: fieldName(path) }),
      reason,
      remedy,
    };
  };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch {
    throw new InputError({ file, reason: "its aliases stand for too much", remedy: "write the values out" });
  }
  return checkedPlan(value, faultAt, schemaFile);
}

/**
 * A plan that a program made, a TypeScript file say: data from here on.
 *
 * @param value what it exports @param file as the user named it @param schemaFile as {@link planFromText}
 * @throws InputError with every fault
 */
export function planFromValue(value: unknown, file: string, schemaFile: string): PlanText {
  const faultAt: PlanText["faultAt"] = (path, reason, remedy) => ({
    file,
    ...(path.length === 0 ? {} : { field: fieldName(path) }),
    reason,
    remedy,
  });
  return checkedPlan(value, faultAt, schemaFile);
}

function checkedPlan(value: unknown, faultAt: PlanText["faultAt"], schemaFile: string): PlanText {
  const read = planShape.safeParse(value);
  if (!read.success) {
    const there = (path: readonly PropertyKey[]): unknown =>
      path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
    throw allFaults(
      read.error.issues.flatMap((issue): InputFault[] => {
        if (issue.code === "unrecognized_keys")
          return issue.keys.map((key) =>
            faultAt([...issue.path, key], "no such field", didYouMean(key, Object.keys(planShape.shape))),
          );
        const found = there(issue.path);
        const shown = found === undefined ? "missing" : `${wordFor(found)} cannot stand here`;
        return [faultAt(issue.path, shown, `${schemaFile} says what a plan is`)];
      }),
    );
  }
  const faults = axisFaults(read.data).map(({ path, reason, remedy }) => faultAt(path, reason, remedy));
  if (faults.length > 0) throw allFaults(faults);
  return { plan: read.data, faultAt };
}

/** A value in a message; a program's need not be JSON. */
const wordFor = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? Array.isArray(value)
      ? value.length === 0
        ? "an empty list"
        : "a list"
      : "an object"
    : typeof value === "function"
      ? "a function"
      : typeof value === "string"
        ? JSON.stringify(value).slice(0, 60)
        : String(value);

interface PlanFault {
  readonly path: readonly PropertyKey[];
  readonly reason: string;
  readonly remedy: string;
}

/** What two fields together make wrong. */
function axisFaults({ axes, together = [], only = [], except = [], stop }: SweepPlan): PlanFault[] {
  const faults: PlanFault[] = [];
  const seen = new Set<string>();
  const twice = (values: readonly unknown[], path: readonly PropertyKey[]): void => {
    const at = values.findIndex((value, i) => values.indexOf(value) < i);
    if (at >= 0)
      faults.push({
        path: [...path, at],
        reason: `${JSON.stringify(values[at])} stands there twice`,
        remedy: "remove one",
      });
  };
  for (const [axis, values] of Object.entries(axes)) {
    seen.add(axis);
    twice(values, ["axes", axis]);
  }
  for (const [nth, group] of together.entries()) {
    const lengths = Object.entries(group).map(([axis, values]) => [axis, values.length] as const);
    for (const [axis, length] of lengths) {
      if (seen.has(axis))
        faults.push({ path: ["together", nth, axis], reason: "an axis twice", remedy: "name it in one place" });
      seen.add(axis);
      if (length !== lengths[0]![1])
        faults.push({
          path: ["together", nth, axis],
          reason: `${length} values beside ${lengths[0]![1]} of ${lengths[0]![0]}`,
          remedy: "give both as many: they go together one by one",
        });
    }
    const points =
      lengths.length === 0
        ? []
        : Object.values(group)[0]!.map((_, i) => JSON.stringify(Object.values(group).map((values) => values[i])));
    if (lengths.every(([, length]) => length === lengths[0]![1])) twice(points, ["together", nth]);
  }
  for (const [name, filters] of [
    ["only", only],
    ["except", except],
  ] as const)
    for (const [nth, filter] of filters.entries())
      for (const axis of Object.keys(filter))
        if (!seen.has(axis))
          faults.push({
            path: [name, nth, axis],
            reason: "filters by what is no axis of this plan",
            remedy: didYouMean(
              axis,
              [...seen],
              seen.size > 0 ? `its axes are ${[...seen].join(", ")}` : "give the plan axes",
            ),
          });
  if (stop && !(stop.along in axes))
    faults.push({
      path: ["stop", "along"],
      reason: seen.has(stop.along) ? "moves together with other axes" : "stops along what is no axis of this plan",
      remedy: seen.has(stop.along)
        ? `name it under axes, by itself`
        : didYouMean(stop.along, Object.keys(axes), `name one of ${Object.keys(axes).join(", ") || "axes"}`),
    });
  return faults;
}
