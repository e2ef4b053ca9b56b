/** What the parts of the verifier share while they follow one path: program, place, state, and how to refuse. */
import type { VerifierErrorCode } from "../errors.js";
import type { Code } from "../isa/code.js";
import type { MapDefinition, ProgramType } from "../object/program-type.js";
import type { ContextShape } from "./context.js";
import type { Register } from "./register.js";
import type { State } from "./state.js";

export interface Walk {
  readonly code: Code;
  readonly maps: readonly MapDefinition[];
  readonly shape: ContextShape;
  readonly type: ProgramType;
  /** Whether addresses may become numbers (CAP_PERFMON in the kernel's terms). */
  readonly privileged: boolean;
  /** Whether stack that was never written may be read, as an unknown number. */
  readonly staleStack: boolean;
  /** Slot at hand. */
  at: number;
  state: State;
  /** A new nonzero id. */
  fresh(): number;
  /** @throws BpfError always */
  reject(code: VerifierErrorCode, detail: string): never;
  /** Notes that the function that owns the frame uses its stack down to this offset (negative). */
  deepen(frame: number, offset: number): void;
  /**
   * Notes which kind of pointer the slot accesses memory through; a slot serves the context or other memory.
   * @param pointerOffset for a field that stands for a pointer: offset of its 64-bit word from the register
   */
  through(kind: "context" | "other", pointerOffset?: number): void;
}

/** Register of the top frame, which must have been written. */
export function readRegister(walk: Walk, index: number): Register {
  const r = walk.state.top.registers[index]!;
  if (r.kind === "unset") walk.reject("verify-uninitialised-register", `R${index} !read_ok`);
  return r;
}

/** Writes a register of the top frame. */
export function writeRegister(walk: Walk, index: number, value: Register): void {
  if (index === 10) walk.reject("verify-frame-pointer-write", "frame pointer is read only");
  walk.state.top.registers[index] = value;
}
