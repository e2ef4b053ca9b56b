/**
 * `--machine NAME|FILE|DIR`: a preset by name, or a machine from a file or a directory, whose format is told by its
 * content.
 */
import { closeSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { basename } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError, whyNot } from "@kreplica/inputs";
import {
  defaultPreset,
  isAcpiTable,
  machineFromInputs,
  machineFromSysfs,
  machineFromText as machineIn,
  type MachineInput,
  machineInput,
  machineNameOf,
  type MachineReading,
  machineText,
  preset,
  presetMeant,
  presetNamed,
  presets,
  soundMachine,
  sysfsAccount,
  tableFromBytes,
} from "@kreplica/machines";
import { schemaFile } from "../../schema-file.js";
import { extensions } from "@kreplica/kernel";
import { shownPath } from "../input-file.js";
import { acpiDirectory } from "./acpi-directory.js";
import { diskFolder } from "./disk-folder.js";
import { THIS, thisMachine } from "./this-machine.js";

/** A machine file is a few hundred kilobytes at most. */
const LARGEST = 2 << 20;
const names = presets.map((each) => each.name).join(", ");

/** @param file or option that names it @throws InputError when no preset and no plugin's machine has the name */
const baseNamed = (name: string, file: string): MachineSpec =>
  extensions().machines.get(name) ?? presetNamed(name, file);

/** A name for the machine in a file that has none for it. */
const nameFor = (path: string): string =>
  machineNameOf(basename(/^\/(dev\/fd|proc\/)/.test(shownPath(path)) ? "pipe" : shownPath(path)));

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
  return machineFromInputs(
    inputs.map(({ path, input }) => ({ file: path, input })),
    first === THIS ? "this-machine" : nameFor(first!),
    base === undefined || "machine" in inputs[0]!.input ? undefined : baseNamed(base, "--base"),
  );
}

/** Whether an input is a table of ACPI or a folder of them. */
const hasTables = (path: string): boolean => {
  if (presetAlone(path, undefined)) return false;
  return statusOf(path).isDirectory() ? acpiDirectory(path) !== undefined : isAcpiTable(readBytes(path));
};

function loadOne(named: string, base?: string): MachineSpec {
  const known = presetAlone(named, base);
  if (known) return known;
  const on = base === undefined ? undefined : baseNamed(base, "--base");
  const machine = statusOf(named).isDirectory()
    ? machineFromSysfs(diskFolder(named), nameFor(named), on ?? defaultPreset)
    : machineFromText(readText(named), named, on, base);
  return soundMachine(machine, named);
}

/** One of several inputs. */
function readInput(path: string, base: string | undefined): MachineInput {
  const known = presetAlone(path, base);
  if (known) return { machine: known };
  if (path === THIS) return { accounts: thisMachine() };
  if (statusOf(path).isDirectory()) {
    const tables = acpiDirectory(path);
    return tables
      ? { tables: tables.map((each) => tableFromBytes(readBytes(each), each)) }
      : { accounts: [sysfsAccount(diskFolder(path))] };
  }
  return machineInput(readBytes(path), path, readingOf(path, undefined, base));
}

/** @param on the base @param base as the user named it */
const readingOf = (file: string, on: MachineSpec | undefined, base: string | undefined): MachineReading => ({
  name: nameFor(file),
  on,
  base,
  named: baseNamed,
  schema: schemaFile("kreplica.machine/1"),
});

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
  throw new InputError({
    file: named,
    reason: "neither a preset nor a file",
    remedy: presetMeant(named),
  });
}

const readText = (path: string): string => machineText(readBytes(path), path);

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

/**
 * The machine in a text: kreplica's JSON, else the output of one or several tools.
 *
 * @param on the base; absent: the nearest to the processor that the text names, or the default preset
 * @param base as the user named it; a JSON file names its own
 * @throws InputError
 */
export const machineFromText = (text: string, file: string, on?: MachineSpec, base?: string): MachineSpec =>
  machineIn(text, file, readingOf(file, on, base));
