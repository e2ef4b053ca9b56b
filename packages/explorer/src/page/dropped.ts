/** What lies behind a drop: files, and folders with all that is in them, walked through the browser's own entries. */
import { isPassedOver, isRead, LARGEST_ENTRY, MOST_ENTRIES } from "../model/folder.js";
import type { Fault } from "../protocol.js";

/** A folder, not yet read. */
export interface DroppedFolder {
  readonly name: string;
  /** By paths below it; nothing for a file that is not read. */
  readonly entries: ReadonlyMap<string, File | undefined>;
}
/** What may be opened. */
export type Dropped = File | DroppedFolder;

export const isFolder = (dropped: Dropped): dropped is DroppedFolder => "entries" in dropped;

/**
 * All that was dropped. To be called while the drop is told: a moment later its entries are gone. Rejects with a {@link
 * Fault}.
 */
export function droppedIn({ items, files }: DataTransfer): Promise<Dropped[]> {
  const entries = [...items].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  // Without entries, as of files that a script drops.
  if (!entries.some(({ entry }) => entry?.isDirectory)) return Promise.resolve([...files]);
  return Promise.all(
    entries.flatMap(({ entry, file }): (Dropped | Promise<Dropped>)[] =>
      entry?.isDirectory ? [walked(entry as FileSystemDirectoryEntry)] : file ? [file] : [],
    ),
  );
}

async function walked(root: FileSystemDirectoryEntry): Promise<DroppedFolder> {
  const entries = new Map<string, File | undefined>();
  const walk = async (folder: FileSystemDirectoryEntry, below: string): Promise<void> => {
    for (const entry of await entriesOf(folder)) {
      const path = `${below}${entry.name}`;
      if (entry.isDirectory) {
        if (!isPassedOver(folder.name, entry.name)) await walk(entry as FileSystemDirectoryEntry, `${path}/`);
      } else entries.set(path, isRead(path) ? await small(entry as FileSystemFileEntry) : undefined);
      if (entries.size > MOST_ENTRIES)
        throw {
          file: root.name,
          reason: `a folder of more than ${MOST_ENTRIES} files`,
          remedy: "drop the folder that holds node0, node1 ..., or open the files in it",
        } satisfies Fault;
    }
  };
  await walk(root, "");
  return { name: root.name, entries };
}

/** A browser tells a hundred at a time. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, fail) => {
      reader.readEntries(done, fail);
    });
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** Undefined for what is too large, or cannot be looked at. */
const small = (entry: FileSystemFileEntry): Promise<File | undefined> =>
  new Promise((done) => {
    entry.file(
      (file) => {
        done(file.size <= LARGEST_ENTRY ? file : undefined);
      },
      () => {
        done(undefined);
      },
    );
  });
