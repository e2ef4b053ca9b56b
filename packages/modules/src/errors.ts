/** Why a module was refused, as finit_module or delete_module would say it. */

/** The errno Linux returns. */
export type ModuleErrno = "ENOEXEC" | "ENOENT" | "EINVAL" | "EEXIST" | "ENOMEM" | "EBUSY" | "EWOULDBLOCK";

/** One code, one meaning; the detail names the place. */
export type ModuleErrorCode =
  /** The file is no ELF file, or its headers do not hold together: see `cause` for offset and field. */
  | "bad-elf"
  /** An ELF file, but not a relocatable one for x86-64. */
  | "not-a-module"
  /** A section every module has is missing, doubled or too small. */
  | "missing-section"
  /** Built for another kernel. */
  | "vermagic"
  /** A symbol's checksum is not the kernel's. */
  | "version"
  | "unknown-symbol"
  /** The symbol is exported to a namespace the module does not import. */
  | "namespace"
  /** SHN_COMMON, which modules may not have. */
  | "common-symbol"
  /** A symbol's value or section is none that can be. */
  | "bad-symbol"
  | "unknown-relocation"
  | "relocation-outside"
  /** The place relocated was not zero. */
  | "relocation-target"
  | "relocation-overflow"
  /** A section is larger, or aligned more widely, than any module may be. */
  | "too-large"
  /** A table of patch sites that does not hold together. */
  | "bad-site"
  | "duplicate-export"
  | "already-loaded"
  | "no-memory"
  | "not-loaded"
  | "in-use"
  /** Its code is being patched, or somebody outside it leads CPUs there: see `cause`. */
  | "text-in-use"
  /** It has an init function and no exit function. */
  | "permanent"
  /** A module it depends on is not there. */
  | "missing-dependency"
  | "dependency-cycle";

const errnoOf: Record<ModuleErrorCode, ModuleErrno> = {
  "bad-elf": "ENOEXEC",
  "not-a-module": "ENOEXEC",
  "missing-section": "ENOEXEC",
  vermagic: "ENOEXEC",
  version: "EINVAL",
  "unknown-symbol": "ENOENT",
  namespace: "EINVAL",
  "common-symbol": "ENOEXEC",
  "bad-symbol": "ENOEXEC",
  "unknown-relocation": "ENOEXEC",
  "relocation-outside": "ENOEXEC",
  "relocation-target": "ENOEXEC",
  "relocation-overflow": "ENOEXEC",
  "too-large": "ENOMEM",
  "bad-site": "ENOEXEC",
  "duplicate-export": "ENOEXEC",
  "already-loaded": "EEXIST",
  "no-memory": "ENOMEM",
  "not-loaded": "ENOENT",
  "in-use": "EWOULDBLOCK",
  "text-in-use": "EBUSY",
  permanent: "EBUSY",
  "missing-dependency": "ENOENT",
  "dependency-cycle": "ENOENT",
};

/** A module was refused; nothing of it stays. */
export class ModuleError extends Error {
  override readonly name = "ModuleError";
  readonly errno: ModuleErrno;

  /**
   * @param module its name, or the file's when it has not said its name yet
   * @param detail what is wrong, where, and what to do
   */
  constructor(
    readonly code: ModuleErrorCode,
    readonly module: string,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`${module}: ${detail} (-${errnoOf[code]})`, options);
    this.errno = errnoOf[code];
  }
}
