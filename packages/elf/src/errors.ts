/** The one error of this package: where an ELF file is wrong, in which field, why, and what to do about it. */

/** One code, one throwing place. */
export type ElfErrorCode =
  | "not-elf"
  | "wrong-class"
  | "wrong-order"
  | "cut"
  | "bad-entry-size"
  | "bad-section-number"
  | "wrong-section-type"
  | "bad-name"
  | "bad-addend";

/** Thrown for every fault of the input; anything else that escapes from this package is a defect of ours. */
export class ElfError extends Error {
  override readonly name = "ElfError";
  /**
   * @param offset byte offset in the file at which the faulty field lies
   * @param field the field's name in the ELF specification, with the table entry: `section 3 sh_size`
   * @param reason what is wrong with it, with the value found
   * @param remedy what the user can do
   */
  constructor(
    readonly code: ElfErrorCode,
    readonly offset: number,
    readonly field: string,
    readonly reason: string,
    readonly remedy: string,
  ) {
    super(`offset 0x${offset.toString(16)}: ${field}: ${reason}; ${remedy}`);
  }
}

/** The remedy most faults share: the file came to harm on its way. */
export const FETCH_AGAIN = "the file is cut or damaged: fetch or build it again";
