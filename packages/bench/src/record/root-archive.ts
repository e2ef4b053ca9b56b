/** The first root file system of a recorded guest, a cpio archive in the "newc" form that Linux unpacks at boot. */

/** A file of it. Folders above it must come before. */
export interface RootFile {
  /** Without a leading slash. */
  readonly path: string;
  readonly kind: "file" | "folder" | "link" | "device";
  /** Contents, or what a link points to; of a folder and a device nothing. */
  readonly bytes?: Uint8Array;
  /** Of a device: character device by its numbers. */
  readonly device?: readonly [major: number, minor: number];
  readonly executable?: boolean;
}

const MODES = { file: 0o100644, folder: 0o040755, link: 0o120777, device: 0o020666 } as const;

/**
 * @returns the archive
 * @source Documentation/driver-api/early-userspace/buffer-format.rst
 */
export function rootArchive(files: readonly RootFile[]): Buffer {
  return Buffer.concat([...files.map(entry), entry({ path: "TRAILER!!!", kind: "file" })]);
}

function entry(
  { path, kind, bytes = new Uint8Array(), device = [0, 0], executable = false }: RootFile,
  at = 0,
): Buffer {
  const mode = MODES[kind] | (executable ? 0o111 : 0);
  const name = Buffer.from(`${path}\0`);
  const fields = [at + 1, mode, 0, 0, 1, 0, bytes.length, 0, 0, ...device, name.length, 0];
  const head = `070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(head), name])), padded(bytes)]);
}

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
