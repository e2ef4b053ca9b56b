/**
 * `--machine NAME|FILE|DIR`: a preset by name, or a machine from a file or a directory, whose format is told by its
 * content.
 */
import { closeSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { basename } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { allFaults, fieldName, InputError, nearest, whyNot } from "@kreplica/inputs";
import {
  type AcpiTable,
  isAcpiTable,
  readAcpi,
  tableFromBytes,
  accountsFromText,
  accountTexts,
  checkMachine,
  defaultPreset,
  isAccountText,
  isMeasurement,
  isToolText,
  type MachineAccount,
  machineFromAccounts,
  machineFromJson,
  machineFromTools,
  preset,
  presets,
  readFrom,
} from "@kreplica/machines";
import { schemaFile } from "../../schema-file.js";
import { extensions } from "@kreplica/kernel";
import { shownPath } from "../input-file.js";
import { sysfsAccount } from "./sysfs-account.js";
import { machineFromSysfs } from "./sysfs-nodes.js";
import { acpiDirectory } from "./acpi-directory.js";
import { THIS, thisMachine } from "./this-machine.js";

/**
 * The form most pastes in public reports have: `[root@host ~]# numactl -H`. No JSON that begins with a bracket has a
 * prompt's sign before its first quote.
 */
const BRACKETED_PROMPT = /^\uFEFF?\s*[{[][^\n"]{0,400}[#$%>]/;
/** A machine file is a few hundred kilobytes at most. */
const LARGEST = 2 << 20;
const names = presets.map((each) => each.name).join(", ");

/** @throws InputError when no preset has the name */
function presetNamed(name: string, option: string): MachineSpec {
  const found = preset(name) ?? extensions().machines.get(name);
  if (found) return found;
  const meant = nearest(
    name,
    presets.map((each) => each.name),
  );
  throw new InputError({
    file: option,
    reason: `no preset is called ${JSON.stringify(name)}`,
    remedy: meant ? `did you mean ${meant}?` : `the presets are ${names}`,
  });
}

/** kebab-case of a file's name without its last extension. */
function nameFor(path: string): string {
  const stem = basename(/^\/(dev\/fd|proc\/)/.test(shownPath(path)) ? "pipe" : shownPath(path))
    .replace(/\.[^.]*$/, "")
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  return stem.slice(0, 80) || "machine";
}

/** A preset or a file that says everything, or what else an input says. Tables of ACPI are read together. */
type Input =
  | { readonly machine: MachineSpec }
  | { readonly accounts: readonly MachineAccount[] }
  | { readonly tables: readonly AcpiTable[] };

/**
 * @param named a preset's name, else a path; several: later ones refine earlier ones, and only the first may be a
 *   preset or JSON
 * @param base preset that supplies what the inputs do not tell; absent: the nearest to the processor that they name, or
 *   the default preset
 * @throws InputError saying which file, line and field, and what to do
 */
export function loadMachine(named: string | readonly string[], base?: string): MachineSpec {
  const [first, ...others] = typeof named === "string" ? [named] : named;
  if (others.length === 0 && first !== THIS && !hasTables(first!)) return loadOne(first!, base);
  const inputs = [first!, ...others].map((each) => ({ path: each, input: readInput(each, base) }));
  const late = inputs.slice(1).find(({ input }) => "machine" in input);
  if (late)
    throw new InputError({
      file: late.path,
      reason: "a whole machine, which would replace all that was given before it",
      remedy: "name it first: what follows refines it",
    });
  const whole = inputs[0]!.input;
  const on = "machine" in whole ? whole.machine : base === undefined ? undefined : presetNamed(base, "--base");
  return sound(
    machineFromAccounts(
      accountsOf(inputs.map(({ input }) => input)),
      "machine" in whole ? whole.machine.name : first === THIS ? "this-machine" : nameFor(first!),
      { ...(on ? { base: on } : {}), whole: "machine" in whole },
    ),
    inputs.map(({ path }) => path).join(", "),
  );
}

/** In the order of the inputs; all tables of ACPI stand where the first of them is. */
function accountsOf(inputs: readonly Input[]): MachineAccount[] {
  const tables = inputs.flatMap((input) => ("tables" in input ? input.tables : []));
  let told = false;
  return inputs.flatMap((input) => {
    if ("accounts" in input) return input.accounts;
    if (!("tables" in input) || told) return [];
    told = true;
    return [readAcpi(tables)];
  });
}

/** Whether an input is a table of ACPI or a folder of them. */
const hasTables = (path: string): boolean => {
  if (presetAlone(path, undefined)) return false;
  return statusOf(path).isDirectory() ? acpiDirectory(path) !== undefined : isAcpiTable(readBytes(path));
};

function loadOne(named: string, base?: string): MachineSpec {
  const known = presetAlone(named, base);
  if (known) return known;
  const on = base === undefined ? undefined : presetNamed(base, "--base");
  const machine = statusOf(named).isDirectory()
    ? machineFromSysfs(named, nameFor(named), on ?? defaultPreset)
    : machineFromText(readText(named), named, on, base);
  return sound(machine, named);
}

/** @throws InputError with all that does not hold between the fields */
function sound(machine: MachineSpec, file: string): MachineSpec {
  const faults = checkMachine(machine);
  if (faults.length > 0)
    throw allFaults(faults.map(({ path, reason, remedy }) => ({ file, field: fieldName(path), reason, remedy })));
  return readFrom(machine, file);
}

/** One of several inputs. */
function readInput(path: string, base: string | undefined): Input {
  const known = presetAlone(path, base);
  if (known) return { machine: known };
  if (path === THIS) return { accounts: thisMachine() };
  if (statusOf(path).isDirectory()) {
    const tables = acpiDirectory(path);
    return tables
      ? { tables: tables.map((each) => tableFromBytes(readBytes(each), each)) }
      : { accounts: [sysfsAccount(path)] };
  }
  const bytes = readBytes(path);
  if (isAcpiTable(bytes)) return { tables: [tableFromBytes(bytes, path)] };
  const text = textIn(bytes, path);
  return isJsonMachine(text)
    ? { machine: machineFromText(text, path, undefined, base) }
    : { accounts: accountsFromText(text, path) };
}

function presetAlone(named: string, base: string | undefined): MachineSpec | undefined {
  if (named === "")
    throw new InputError({
      file: "--machine",
      reason: "empty",
      remedy: `name a preset, a file or a directory; the presets are ${names}`,
    });
  const known = preset(named) ?? extensions().machines.get(named);
  if (known && base !== undefined)
    throw new InputError({
      file: "--base",
      reason: `${named} is a preset and complete by itself`,
      remedy: "give --base with a file or directory only",
    });
  return known;
}

function statusOf(named: string): Stats {
  let status;
  try {
    status = statSync(named, { throwIfNoEntry: false });
  } catch (error) {
    throw new InputError({ file: named, ...whyNot(error, "name a preset, a file or a directory") });
  }
  if (status) return status;
  const meant = nearest(
    named,
    presets.map((each) => each.name),
  );
  throw new InputError({
    file: named,
    reason: "neither a preset nor a file",
    remedy: meant ? `did you mean ${meant}?` : `the presets are ${names}`,
  });
}

const readText = (path: string): string => textIn(readBytes(path), path);

function readBytes(path: string): Uint8Array {
  try {
    // Not by its size: a device or a pipe has none.
    const bytes = readUpTo(path, LARGEST + 1);
    if (bytes.length > LARGEST)
      throw new InputError({ file: path, reason: "larger than 2 MiB", remedy: "name a machine file, not a recording" });
    return bytes;
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({
      file: path,
      reason: `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`,
      remedy: "check its permissions",
    });
  }
}

function readUpTo(path: string, most: number): Uint8Array {
  const bytes = new Uint8Array(most);
  const handle = openSync(path, "r");
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read)
      read = readSync(handle, bytes, length, most - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(handle);
  }
}

/** UTF-8, or the UTF-16 that PowerShell's `>` writes: both begin with a mark that says so. */
function textIn(bytes: Uint8Array, path: string): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  if (encoding === "utf-8" && bytes.includes(0))
    throw new InputError({
      file: path,
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

/**
 * The machine in a text: kreplica's JSON, else the output of one or several tools.
 *
 * @param on the base; absent: the nearest to the processor that the text names, or the default preset
 * @param base as the user named it; a JSON file names its own
 * @throws InputError
 */
export function machineFromText(text: string, file: string, on?: MachineSpec, base?: string): MachineSpec {
  if (isJsonMachine(text)) {
    if (base !== undefined)
      throw new InputError({
        file: "--base",
        reason: "a JSON machine names its own base",
        remedy: 'write "base": "NAME" in the file',
      });
    return machineFromJson(
      text.replace(/^\uFEFF/, ""),
      file,
      nameFor(file),
      presetNamed,
      schemaFile("kreplica.machine/1"),
    );
  }
  if (isToolText(text)) return machineFromTools(text, file, nameFor(file), on ?? defaultPreset);
  if (isAccountText(text))
    return machineFromAccounts(accountsFromText(text, file), nameFor(file), on ? { base: on } : {});
  throw new InputError({
    file,
    reason: text.trim() === "" ? "empty" : "not a machine in any known format",
    remedy: `known are kreplica's JSON, the output of ${accountTexts.join(", ")}, a directory copied from /sys/devices/system/node, and ACPI's SRAT, SLIT, HMAT and APIC, each or a directory of them`,
  });
}
