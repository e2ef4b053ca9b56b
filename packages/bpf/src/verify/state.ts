/** The machine as the verifier sees it at one instruction: call frames with registers and stack, references held. */
import { invariant } from "../errors.js";
import type { MapDefinition } from "../object/program-type.js";
import { isPointer, pointer, type Register, registerText, UNSET } from "./register.js";

export const STACK_BYTES = 512;
export const MOST_FRAMES = 8;
const SLOTS = STACK_BYTES / 8;

/** What a stack byte holds. */
export const enum Byte {
  Unset = 0,
  Misc = 1,
  Zero = 2,
  Spill = 3,
}
/** Eight stack bytes; slot 0 is the highest, at fp-8. Never changed in place. */
export interface StackSlot {
  readonly bytes: readonly Byte[];
  readonly spill: Register | undefined;
}
const EMPTY: StackSlot = { bytes: [0, 0, 0, 0, 0, 0, 0, 0], spill: undefined };

/** One call's registers and stack. */
export class Frame {
  constructor(
    /** r0 .. r10. */
    readonly registers: Register[],
    readonly stack: StackSlot[],
    /** Slot after the call, where the caller goes on; -1 in the entry frame. */
    readonly returnTo: number,
    /** First slot of the function. */
    readonly start: number,
  ) {}
  static enter(start: number, returnTo: number, depth: number): Frame {
    const registers = Array.from({ length: 11 }, () => UNSET);
    registers[10] = pointer("fp", { frame: depth });
    return new Frame(
      registers,
      Array.from({ length: SLOTS }, () => EMPTY),
      returnTo,
      start,
    );
  }
  copy(): Frame {
    return new Frame(this.registers.slice(), this.stack.slice(), this.returnTo, this.start);
  }
}

/** A reference that some call acquired. */
export interface Held {
  readonly id: number;
  readonly instruction: number;
}

/** All calls under way at one instruction, and the references held. */
export class State {
  constructor(
    readonly frames: Frame[],
    public held: readonly Held[] = [],
  ) {}
  get top(): Frame {
    return this.frames[this.frames.length - 1]!;
  }
  copy(): State {
    return new State(
      this.frames.map((frame) => frame.copy()),
      this.held,
    );
  }

  /** Replaces every register and spilled value, in all frames, for which `change` gives another. */
  rewrite(change: (r: Register) => Register): void {
    for (const frame of this.frames) {
      frame.registers.forEach((r, i) => {
        frame.registers[i] = change(r);
      });
      frame.stack.forEach((slot, i) => {
        if (!slot.spill) return;
        const next = change(slot.spill);
        if (next === slot.spill) return;
        frame.stack[i] =
          next.kind === "unset"
            ? { bytes: slot.bytes.map(() => Byte.Misc), spill: undefined }
            : { bytes: slot.bytes, spill: next };
      });
    }
  }

  /** Bytes `[low, high)` of a frame's stack, as negative offsets from its frame pointer, lowest first. */
  bytes(frame: number, low: number, high: number): { slot: StackSlot; index: number; byte: Byte }[] {
    invariant(low >= -STACK_BYTES && high <= 0, "stack bytes outside the frame");
    const out: { slot: StackSlot; index: number; byte: Byte }[] = [];
    for (let at = low; at < high; at++) {
      const index = Math.floor((-at - 1) / 8),
        slot = this.frames[frame]!.stack[index]!;
      out.push({ slot, index, byte: slot.bytes[at + 8 * (index + 1)]! });
    }
    return out;
  }

  /** Marks bytes `[low, high)`; a spilled value that is touched falls apart into plain bytes. */
  mark(frame: number, low: number, high: number, byte: Byte, onlySet = false): void {
    const stack = this.frames[frame]!.stack;
    for (let at = low; at < high; at++) {
      const index = Math.floor((-at - 1) / 8),
        slot = stack[index]!;
      const bytes = slot.spill
        ? slot.bytes.map((each) => (each === Byte.Spill ? Byte.Misc : each))
        : slot.bytes.slice();
      const position = at + 8 * (index + 1);
      if (!onlySet || bytes[position] !== Byte.Unset) bytes[position] = byte;
      stack[index] = { bytes, spill: undefined };
    }
  }

  /** Stores a whole register at a multiple of eight. */
  spill(frame: number, offset: number, value: Register): void {
    const spilled = { bytes: [3, 3, 3, 3, 3, 3, 3, 3] as Byte[], spill: value };
    this.frames[frame]!.stack[-offset / 8 - 1] = spilled;
  }

  /** Stores the lower half of a number at a multiple of eight; the upper four bytes keep what they were. */
  spillLow(frame: number, offset: number, value: Register): void {
    const stack = this.frames[frame]!.stack,
      index = -offset / 8 - 1;
    stack[index] = {
      bytes: stack[index]!.bytes.map((byte, i) => (i < 4 ? Byte.Spill : byte === Byte.Spill ? Byte.Misc : byte)),
      spill: value,
    };
  }
}

const LETTER: Readonly<Record<Byte, string>> = {
  [Byte.Unset]: "?",
  [Byte.Misc]: "m",
  [Byte.Zero]: "0",
  [Byte.Spill]: "r",
};

/** The state as a log line: ` R1=ctx(off=0,imm=0) R10=fp0 fp-8=mmmm????`. @param before only what differs from it */
export function stateText(state: State, maps: readonly MapDefinition[], before?: State): string {
  const frame = state.top,
    old = before?.frames.length === state.frames.length ? before.top : undefined;
  const out: string[] = state.frames.length > 1 && !old ? [`frame${state.frames.length - 1}:`] : [];
  frame.registers.forEach((r, i) => {
    if (r.kind !== "unset" && old?.registers[i] !== r) out.push(`R${i}${old ? "_w" : ""}=${registerText(r, maps)}`);
  });
  frame.stack.forEach((slot, i) => {
    if (slot === EMPTY || old?.stack[i] === slot || slot.bytes.every((byte) => byte === Byte.Unset)) return;
    const whole = slot.spill && (isPointer(slot.spill) || slot.bytes.every((byte) => byte === Byte.Spill));
    out.push(
      `fp${-8 * (i + 1)}${old ? "_w" : ""}=${
        whole
          ? registerText(slot.spill!, maps)
          : slot.bytes
              .map((byte) => LETTER[byte])
              .reverse()
              .join("")
      }`,
    );
  });
  return out.join(" ");
}
