/**
 * A folder that says one machine in the forms other programs take: kreplica's JSON, ACPI's tables, QEMU's options, a
 * picture. It is there whole or not at all.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError, whyNot } from "@kreplica/inputs";
import { acpiTables, machineDocument, qemuOptions } from "@kreplica/machines";
import { topologyPicture } from "@kreplica/report";
import { jsonText } from "./documents/json-text.js";

/** A folder that was found not to hold anything. */
export interface MachineFolder {
  /** @returns what was written, for people @throws InputError where it cannot be */
  write(machine: MachineSpec): string;
}

/** Files of a machine by name. */
export function machineFiles(machine: MachineSpec): ReadonlyMap<string, string | Uint8Array> {
  const { words, remarks } = qemuOptions(machine);
  const pairs = words.flatMap((word, i) => (i % 2 === 0 ? [`${word} ${words[i + 1]!}`] : []));
  return new Map<string, string | Uint8Array>([
    ["machine.json", jsonText(machineDocument(machine))],
    ...acpiTables(machine),
    ["qemu-options.txt", `${pairs.join("\n")}\n`],
    ...(remarks.length > 0 ? [["qemu-remarks.txt", `${remarks.join("\n")}\n`] as const] : []),
    ["machine.svg", topologyPicture(machine)],
  ]);
}

/**
 * Some releases of Node say of a path below a file that it is not there.
 * @throws what reading a file as a folder does
 */
function mustBeFolder(path: string): void {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isDirectory()) return;
  if (status) readdirSync(path);
  else if (path !== dirname(path)) mustBeFolder(dirname(path));
}

/** @param option under which it was given @throws InputError for one that holds something, or is no folder */
export function machineFolder(path: string, option: string): MachineFolder {
  const refuse = (reason: string, remedy: string): InputError =>
    new InputError({ file: path || option, field: option, reason, remedy });
  if (path === "") throw refuse("empty", "name a folder");
  let [found, entries]: [boolean, number] = [false, 0];
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    found = status !== undefined;
    if (status && !status.isDirectory()) throw refuse("is no folder", "name one that is not there yet");
    if (status) entries = readdirSync(path).length;
    else mustBeFolder(dirname(resolve(path)));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: path, field: option, ...whyNot(error, "name a folder that can be written") });
  }
  if (entries > 0) throw refuse("is not empty", "name a folder that is not there yet");
  return {
    write(machine) {
      const files = machineFiles(machine);
      let beside: string | undefined;
      try {
        const parent = dirname(resolve(path));
        mkdirSync(parent, { recursive: true });
        const part = join(parent, `.${basename(path)}.${process.pid}.part`);
        mkdirSync(part);
        beside = part;
        for (const [name, content] of files) writeFileSync(join(part, name), content);
        if (found) rmSync(path, { recursive: true });
        renameSync(part, path);
      } catch (error) {
        if (beside !== undefined) rmSync(beside, { recursive: true, force: true });
        throw new InputError({ file: path, field: option, ...whyNot(error, "name a folder that can be written") });
      }
      return `${path} is written: ${[...files.keys()].join(", ")}`;
    },
  };
}
