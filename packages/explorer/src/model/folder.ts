/**
 * A folder as somebody drops it onto the page: what of it is read, and which folders in it are not even looked into.
 */
import { isTableFile } from "@kreplica/machines";

/** A folder that was dropped. */
export interface OpenedFolder {
  readonly name: string;
  /** By paths below it: bytes of what {@link isRead}; nothing for any other file, and for what is too large. */
  readonly entries: ReadonlyMap<string, Uint8Array | undefined>;
}

/** Files in a folder, at most: a copy of sysfs has a hundred a CPU where all of it was copied. */
export const MOST_ENTRIES = 40_000;
/** Bytes of a file in a folder: tables of ACPI are the largest. */
export const LARGEST_ENTRY = 2 << 20;

/** What the readers of sysfs ask for; a test holds this to them. */
const SYSFS =
  /(^|\/)(node\d+\/(cpulist|cpumap|distance|meminfo|access[01]\/initiators\/\w+)|cpu\d+\/(topology\/\w+|cache\/index\d+\/\w+))$/;

/** Whether a file's bytes are read. @param path below the folder */
export const isRead = (path: string): boolean => SYSFS.test(path) || isTableFile(path);

/** Whether a folder has nothing to read in it. @param parent the name of the folder it lies in */
export const isPassedOver = (parent: string, name: string): boolean =>
  (/^cpu\d+$/.test(parent) && name !== "cache" && name !== "topology") ||
  (/^node\d+$/.test(parent) && !/^(access[01]|cpu\d+)$/.test(name));
