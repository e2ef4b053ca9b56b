/**
 * What the machine refuses: a specification that contradicts itself, a control register the hardware would fault on.
 */

/** Closed set; each code is thrown in one place only. */
export type MachineErrorCode = "bad-spec" | "general-protection" | "not-modelled";

/** A refusal on the cold side. What an access ends in is a number, never this. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  /**
   * @param field path in the specification (`nodes[1].memoryBytes`) or the register (`cr4`)
   * @param reason what is wrong with it
   * @param remedy what to write instead
   */
  constructor(
    readonly code: MachineErrorCode,
    readonly field: string,
    readonly reason: string,
    readonly remedy: string,
  ) {
    super(`${field}: ${reason}; ${remedy}`);
  }
}
