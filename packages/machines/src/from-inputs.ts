/**
 * A machine from what people have of it, bytes in: kreplica's JSON, outputs of tools, tables of ACPI, several together;
 * each is known by its content.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { allFaults, fieldName, InputError } from "@kreplica/inputs";
import type { MachineAccount } from "./accounts/account.js";
import { readAcpi } from "./accounts/acpi.js";
import { machineFromAccounts } from "./accounts/machine.js";
import { accountsFromText, accountTexts, isAccountText } from "./accounts/readers.js";
import { type AcpiTable, isAcpiTable, tableFromBytes } from "./acpi/tables.js";
import { checkMachine } from "./check.js";
import { isToolText, machineFromTools } from "./from-tools.js";
import { machineFromJson } from "./json-machine.js";
import { isMeasurement } from "./measured/measurement.js";
import { defaultPreset } from "./presets/index.js";
import { readFrom } from "./source-of.js";

/**
 * The form most pastes in public reports have: `[root@host ~]# numactl -H`. No JSON that begins with a bracket has a
 * prompt's sign before its first quote.
 */
const BRACKETED_PROMPT = /^\uFEFF?\s*[{[][^\n"]{0,400}[#$%>]/;

/** A machine that says everything, or what else an input says. Tables of ACPI are read together. */
export type MachineInput =
  | { readonly machine: MachineSpec }
  | { readonly accounts: readonly MachineAccount[] }
  | { readonly tables: readonly AcpiTable[] };

/** What reading a machine's text takes beside it. */
export interface MachineReading {
  /** What to call a machine that does not say. */
  readonly name: string;
  /** Base of what a text leaves out; absent: the nearest to the processor that it names, or the default preset. */
  readonly on?: MachineSpec | undefined;
  /** The base as the user named it, for a JSON file, which names its own. */
  readonly base?: string | undefined;
  /** The preset that a JSON file names. @throws InputError naming that file, where none has the name */
  readonly named: (name: string, file: string) => MachineSpec;
  /** Where the schema of machine files is, for people. */
  readonly schema: string;
}

/**
 * What to call a machine by the file it is in.
 * @param file its name, without folders
 * @returns small letters, digits, points and single hyphens, at most 80, without the last extension; `machine` where
 *   nothing is left
 */
export const machineNameOf = (file: string): string =>
  file
    .replace(/\.[^.]*$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "")
    .slice(0, 80) || "machine";

/**
 * UTF-8, or the UTF-16 that PowerShell's `>` writes: both begin with a mark that says so.
 * @throws InputError for what is no text
 */
export function machineText(bytes: Uint8Array, file: string): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  if (encoding === "utf-8" && bytes.includes(0))
    throw new InputError({
      file,
      offset: bytes.indexOf(0),
      reason: "a byte of 0: this is no text",
      remedy: "name a machine file, saved as UTF-8",
    });
  return new TextDecoder(encoding).decode(bytes);
}

/**
 * Kreplica's own JSON; `lscpu -J` and `probe --json` are JSON, too. Sources in a machine file may quote any tool's
 * words.
 */
const isJsonMachine = (text: string): boolean =>
  /^\uFEFF?\s*[{[]/.test(text) &&
  !BRACKETED_PROMPT.test(text) &&
  !/^\uFEFF?\s*\{\s*"lscpu"\s*:/.test(text) &&
  !isMeasurement(text);

/** The machine in a text: kreplica's JSON, else the output of one or several tools. @throws InputError */
export function machineFromText(text: string, file: string, reading: MachineReading): MachineSpec {
  const { name, on, base, named, schema } = reading;
  if (isJsonMachine(text)) {
    if (base !== undefined)
      throw new InputError({
        file: "--base",
        reason: "a JSON machine names its own base",
        remedy: 'write "base": "NAME" in the file',
      });
    return machineFromJson(text.replace(/^\uFEFF/, ""), file, name, named, schema);
  }
  if (isToolText(text)) return machineFromTools(text, file, name, on ?? defaultPreset);
  if (isAccountText(text)) return machineFromAccounts(accountsFromText(text, file), name, on ? { base: on } : {});
  throw new InputError({
    file,
    reason: text.trim() === "" ? "empty" : "not a machine in any known format",
    remedy: `known are kreplica's JSON, the output of ${accountTexts.join(", ")}, a directory copied from /sys/devices/system/node, and ACPI's SRAT, SLIT, HMAT and APIC, each or a directory of them`,
  });
}

/** One of several inputs. @throws InputError */
export function machineInput(bytes: Uint8Array, file: string, reading: MachineReading): MachineInput {
  if (isAcpiTable(bytes)) return { tables: [tableFromBytes(bytes, file)] };
  const text = machineText(bytes, file);
  return isJsonMachine(text)
    ? { machine: machineFromText(text, file, reading) }
    : { accounts: accountsFromText(text, file) };
}

/**
 * The machine that several inputs are about: later ones refine earlier ones, and only the first may be a whole one.
 *
 * @param name of a machine that does not say
 * @throws InputError
 */
export function machineFromInputs(
  inputs: readonly { readonly file: string; readonly input: MachineInput }[],
  name: string,
  base?: MachineSpec,
): MachineSpec {
  const late = inputs.slice(1).find(({ input }) => "machine" in input);
  if (late)
    throw new InputError({
      file: late.file,
      reason: "a whole machine, which would replace all that was given before it",
      remedy: "name it first: what follows refines it; or ask about each machine by itself",
    });
  const whole = inputs[0]!.input;
  const on = "machine" in whole ? whole.machine : base;
  return soundMachine(
    machineFromAccounts(accountsOf(inputs.map(({ input }) => input)), "machine" in whole ? whole.machine.name : name, {
      ...(on ? { base: on } : {}),
      whole: "machine" in whole,
    }),
    inputs.map(({ file }) => file).join(", "),
  );
}

/** In the order of the inputs; all tables of ACPI stand where the first of them is. */
function accountsOf(inputs: readonly MachineInput[]): MachineAccount[] {
  const tables = inputs.flatMap((input) => ("tables" in input ? input.tables : []));
  let told = false;
  return inputs.flatMap((input) => {
    if ("accounts" in input) return input.accounts;
    if (!("tables" in input) || told) return [];
    told = true;
    return [readAcpi(tables)];
  });
}

/** @throws InputError with all that does not hold between the fields */
export function soundMachine(machine: MachineSpec, file: string): MachineSpec {
  const faults = checkMachine(machine);
  if (faults.length > 0)
    throw allFaults(faults.map(({ path, reason, remedy }) => ({ file, field: fieldName(path), reason, remedy })));
  return readFrom(machine, file);
}
