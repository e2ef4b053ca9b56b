/**
 * Reads and writes kreplica's own machine files: JSON, shape in schema.ts, published as schemas/kreplica.machine-1.json
 * of bench.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import {
  allFaults,
  fieldName,
  InputError,
  type InputFault,
  type JsonText,
  nearest,
  parseJsonText,
} from "@kreplica/inputs";
import type { z } from "zod";
import { checkMachine } from "./check.js";
import { MACHINE_SCHEMA, machineOnBase, machineShape, wholeMachine } from "./schema.js";

/**
 * The document `kreplica machine --json` prints and `--machine FILE` reads: fields in the schema's order, whoever made
 * the machine.
 */
export const machineDocument = (machine: MachineSpec): MachineSpec =>
  wholeMachine.parse({ schema: MACHINE_SCHEMA, ...machine });

type Path = readonly PropertyKey[];

/** What zod found, in the words of the other readers. */
function explain(
  issue: z.core.$ZodIssue,
  document: JsonText,
  schemaFile: string,
): { path: Path; reason: string; remedy: string }[] {
  const { path } = issue;
  if (issue.code !== "unrecognized_keys") return [explainValue(issue, document, schemaFile)];
  return issue.keys.map((key) => {
    const meant = path.length === 0 ? nearest(key, Object.keys(machineShape)) : undefined;
    return { path: [...path, key], reason: "no such field", remedy: meant ? `did you mean ${meant}?` : "remove it" };
  });
}

function explainValue(
  issue: z.core.$ZodIssue,
  document: JsonText,
  schemaFile: string,
): { path: Path; reason: string; remedy: string } {
  const { path } = issue;
  const there = path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    document.value,
  );
  if (there === undefined)
    return {
      path,
      reason: "missing",
      remedy: 'add it; only a file that names a "base" may leave out fields, whole ones',
    };
  const found =
    typeof there === "object"
      ? Array.isArray(there)
        ? "a list"
        : there === null
          ? "null"
          : "an object"
      : JSON.stringify(there).slice(0, 40);
  if (issue.code === "invalid_type")
    return {
      path,
      reason: `${found} where ${issue.expected === "int" ? "a whole number" : `a value of type ${issue.expected}`} is expected`,
      remedy: `${schemaFile} says what it means`,
    };
  if (issue.code === "invalid_value")
    return {
      path,
      reason: `${found} is not allowed`,
      remedy: `write ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`,
    };
  if (issue.code === "too_small" || issue.code === "too_big") {
    const what = issue.origin === "array" ? "elements" : issue.origin === "string" ? "letters" : "in value";
    const than =
      issue.code === "too_small"
        ? issue.inclusive === false
          ? "more than"
          : "at least"
        : issue.inclusive === false
          ? "less than"
          : "at most";
    const bound = issue.code === "too_small" ? issue.minimum : issue.maximum;
    return {
      path,
      reason: `${found} is too ${issue.code === "too_small" ? "small" : "large"}`,
      remedy: what === "in value" ? `write a number of ${than} ${bound}` : `give ${than} ${bound} ${what}`,
    };
  }
  if (issue.code === "invalid_format" && path.at(-1) === "name")
    return {
      path,
      reason: `${found} cannot be a machine's name`,
      remedy: "write letters, digits, dots, dashes and underscores, first a letter or digit",
    };
  return { path, reason: `${found}: ${issue.message}`, remedy: `${schemaFile} says what may stand there` };
}

/**
 * @param name for the machine, when a file on a base gives none
 * @param presetNamed finds the base; throws when there is none
 * @param schemaFile where the schema lies, for whoever reads the message
 * @throws InputError with line and field
 */
export function machineFromJson(
  text: string,
  file: string,
  name: string,
  presetNamed: (name: string, where: string) => MachineSpec,
  schemaFile = "machine.schema.json",
): MachineSpec {
  const document = parseJsonText(text, file);
  const faultAt = (path: Path, reason: string, remedy: string): InputFault => ({
    file,
    ...document.placeOf(path),
    ...(path.length > 0 ? { field: fieldName(path) } : {}),
    reason,
    remedy,
  });
  const fail = (path: Path, reason: string, remedy: string): never => {
    throw new InputError(faultAt(path, reason, remedy));
  };
  const { value } = document;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail([], "not an object", "a machine file is one JSON object");

  let machine: MachineSpec;
  if ("base" in value) {
    const read = machineOnBase.safeParse(value);
    if (!read.success) throw refused(read.error, document, faultAt, schemaFile);
    const {
      base,
      $schema: _,
      schema: _s,
      ...own
    } = read.data as { base: string; $schema?: string; schema?: string } & Partial<MachineSpec>;
    let on: MachineSpec;
    try {
      on = presetNamed(base, file);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return fail(["base"], error.reason, error.remedy);
    }
    const { assumedTopology: _a, ...plain } = on;
    machine = {
      // What was guessed of the base's CPUs is not of these.
      ...(own.cpus === undefined ? on : plain),
      name,
      description: `${file}, on ${on.name}`,
      interconnectSource: interconnectSource(own, file, on),
      ...own,
      sources: own.sources ?? [
        `${file}, which gives ${Object.keys(own).join(", ") || "nothing"}`,
        `everything else: ${on.name}, whose sources follow`,
        ...on.sources,
      ],
    };
  } else {
    const read = wholeMachine.safeParse(value);
    if (!read.success) throw refused(read.error, document, faultAt, schemaFile);
    const { $schema: _, schema: _s, ...whole } = read.data;
    machine = whole;
  }
  const faults = checkMachine(machine);
  // What a base gives is not in the file: what the file says makes it wrong.
  const inBase = (path: Path): string =>
    "base" in value && !(String(path[0]) in value)
      ? `in the base ${String(value.base)}, with what this file says: `
      : "";
  if (faults.length > 0)
    throw allFaults(faults.map(({ path, reason, remedy }) => faultAt(path, `${inBase(path)}${reason}`, remedy)));
  return machine;
}

const INTERCONNECT = ["latencyNs", "bandwidthMBs", "distance", "latencySpread"] as const;

/** The base's for what the file leaves to it. */
function interconnectSource(own: Partial<MachineSpec>, file: string, on: MachineSpec): string {
  const replaced = INTERCONNECT.filter((field) => own[field] !== undefined);
  if (replaced.length === 0) return on.interconnectSource;
  return replaced.length === INTERCONNECT.length
    ? file
    : `${replaced.join(", ")}: ${file}; the rest: ${on.interconnectSource}`;
}

function refused(
  error: z.ZodError,
  document: JsonText,
  faultAt: (path: Path, reason: string, remedy: string) => InputFault,
  schemaFile: string,
): InputError {
  // A name that does not exist explains a field that is missing, so it comes first.
  const issues = [...error.issues].sort(
    (a, b) => Number(b.code === "unrecognized_keys") - Number(a.code === "unrecognized_keys"),
  );
  return allFaults(
    issues
      .flatMap((issue) => explain(issue, document, schemaFile))
      .map(({ path, reason, remedy }) => faultAt(path, reason, remedy)),
  );
}
