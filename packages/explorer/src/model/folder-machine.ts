/** What a dropped folder is: a copy of sysfs, tables of ACPI, or one that is refused with what reads it instead. */
import { InputError } from "@kreplica/inputs";
import { folderOf, type FolderTree, isTableFile, LONGEST_FILE, nodesBelow } from "@kreplica/machines";
import type { OpenedFolder } from "./folder.js";

/** What of a machine a folder holds. */
export type FolderOfMachine =
  { readonly tree: FolderTree } | { readonly tables: readonly { readonly name: string; readonly bytes: Uint8Array }[] };

/** Folders that kreplica has another reader for: by a file in them, and what to do. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/\.ko(\.(gz|xz|zst))?$/, "give a folder of modules to kreplica modules; here small ones are loaded by a button"],
  [/\.kt(\.zst)?$/, "open one of its recordings by itself"],
  [/(^|\/)cells\.journal$/, "ask kreplica results what a sweep found; open the machine or the recording of its plan"],
];

/** @throws InputError for a folder that is neither */
export function machineIn({ name, entries }: OpenedFolder): FolderOfMachine {
  const texts = [...entries].map(
    ([path, bytes]) =>
      [path, bytes && bytes.length <= LONGEST_FILE ? new TextDecoder().decode(bytes) : undefined] as const,
  );
  const tree = folderOf(name, new Map(texts));
  if (nodesBelow(tree) !== undefined) return { tree };
  const tables = [...entries].flatMap(([path, bytes]) =>
    bytes && isTableFile(path) ? [{ name: `${name}/${path}`, bytes }] : [],
  );
  if (tables.length > 0) return { tables };
  const other = OTHERS.find(([file]) => [...entries.keys()].some((path) => file.test(path)));
  throw new InputError({
    file: name,
    reason: "a folder that is neither a copy of sysfs nor of tables of ACPI",
    remedy: other?.[1] ?? "drop one that holds /sys/devices/system/node and cpu, or open the files in it",
  });
}
