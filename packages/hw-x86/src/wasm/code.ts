/**
 * WebAssembly instructions as values: nested lists of bytes, in which a branch names what it leaves, so that nothing
 * counts how deep it stands until all is written out.
 *
 * Source: WebAssembly Core Specification 2.0, "Binary Format", "Instructions" and "Values".
 */

/** Types of values. */
export type ValueType = "i32" | "i64" | "f64" | "v128";

/** What a block is called by those who branch to it: to its end, or to the head of a loop. */
export interface Label {
  readonly kind: "label";
}

interface Structure {
  /** 2 block, 3 loop, 4 if. */
  readonly opcode: number;
  /** 0x40 where it leaves no value. */
  readonly result: number;
  readonly label: Label;
  readonly body: Code;
  readonly otherwise: Code | undefined;
}

interface Branch {
  /** 12 always, 13 if the value before it is not 0. */
  readonly opcode: number;
  readonly target: Label;
}

/** The way out of a function, or of what was written out of one where it is called. */
interface Leave {
  readonly kind: "leave";
}

/** A call that becomes what it calls when the function around it is written. */
export interface Inlined {
  readonly inlined: (variables: LentVariables) => InlinedCode;
}

/** A call's values put into variables of the function around it, and the body, which a {@link leave} goes behind. */
export interface InlinedCode {
  readonly before: Code;
  readonly result: ValueType | undefined;
  readonly body: Code;
}

/** Variables of a function that is being written. */
export interface Variables {
  /** One that is nobody's, and begins as 0. */
  local<T extends ValueType>(type: T): Local<T>;
}

/** Variables that several take one after the other: what is in them when they are taken is not known. */
export interface LentVariables extends Variables {
  /** Has something done; the variables that it makes are nobody's again afterwards. */
  lend<T>(work: () => T): T;
}

/** Instructions in order. */
export type Code = readonly (number | Structure | Branch | Leave | Inlined | Code)[];

/** Instructions that leave one value. */
export interface Expression<T extends ValueType> {
  readonly type: T;
  readonly code: Code;
}

/** A variable of a function, its parameters included: an expression for its value. */
export interface Local<T extends ValueType> extends Expression<T> {
  set(value: Expression<T>): Code;
  /** As {@link set}, and has the value. */
  tee(value: Expression<T>): Expression<T>;
}

/** Bytes of the types. */
export const TYPE_CODES: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f64: 0x7c, v128: 0x7b };

const NO_RESULT = 0x40;

/** A label like no other. */
const made = (): Label => ({ kind: "label" });

/** An unsigned LEB128. @param value 0 to 2^53 */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  bytes.push(left);
  return bytes;
}

/** A signed LEB128. @param value 32 or 64 signed bits */
export function signed(value: bigint): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left >>= 7n) {
    const low = Number(left & 127n);
    if (left >= -64n && left < 64n) {
      bytes.push(low);
      return bytes;
    }
    bytes.push(low | 128);
  }
}

const structure = (opcode: number, label: Label, body: Code, otherwise?: Code): Structure => ({
  opcode,
  result: NO_RESULT,
  label,
  body,
  otherwise,
});

/** Instructions that a branch to the label leaves. */
export function block(body: (end: Label) => Code): Code {
  const label = made();
  return [structure(2, label, body(label))];
}

/** Instructions that a branch to the label begins again; without one they run once. */
export function loop(body: (head: Label) => Code): Code {
  const label = made();
  return [structure(3, label, body(label))];
}

/** Instructions for where a condition is not 0, and others for where it is. */
export const when = (condition: Expression<"i32">, then: Code, otherwise?: Code): Code => [
  condition.code,
  structure(4, made(), then, otherwise),
];

/** One of two values, of which only that one is computed. */
export const either = <T extends ValueType>(
  condition: Expression<"i32">,
  then: Expression<T>,
  otherwise: Expression<T>,
): Expression<T> => ({
  type: then.type,
  code: [condition.code, { ...structure(4, made(), then.code, otherwise.code), result: TYPE_CODES[then.type] }],
});

/** One of two values, both computed: no branch that could be foretold wrongly. */
export const select = <T extends "i32" | "i64" | "f64">(
  condition: Expression<"i32">,
  then: Expression<T>,
  otherwise: Expression<T>,
): Expression<T> => ({ type: then.type, code: [then.code, otherwise.code, condition.code, 0x1b] });

/** Goes to a label's block: behind it, or to the head of a loop. */
export const branch = (target: Label): Code => [{ opcode: 12, target }];

/** As {@link branch}, where a condition is not 0. */
export const branchIf = (condition: Expression<"i32">, target: Label): Code => [condition.code, { opcode: 13, target }];

/** Leaves the function, with its result where it has one. */
export const leave = (result?: Expression<ValueType>): Code => [result?.code ?? [], { kind: "leave" }];

/**
 * Writes calls out that are to be.
 * @param variables of the function they are in
 * @param end where what they stand in was written out itself: its end
 * @returns instructions with no {@link Inlined} among them
 */
export function inlined(code: Code, variables: LentVariables, end?: Label): Code {
  return code.map((part) => {
    if (typeof part === "number" || "target" in part) return part;
    if ("inlined" in part)
      return variables.lend(() => {
        const { before, result, body } = part.inlined(variables);
        const label = made();
        const type = result === undefined ? NO_RESULT : TYPE_CODES[result];
        return [
          inlined(before, variables, end),
          { ...structure(2, label, inlined(body, variables, label)), result: type },
        ];
      });
    if ("body" in part)
      return {
        ...part,
        body: inlined(part.body, variables, end),
        otherwise: part.otherwise && inlined(part.otherwise, variables, end),
      };
    if ("kind" in part) return end === undefined ? 0x0f : branch(end);
    return inlined(part, variables, end);
  });
}

/**
 * Writes instructions out.
 * @param open labels of what encloses them, outermost first
 * @throws RangeError where a branch names a block it does not stand in
 */
export function writeCode(code: Code, bytes: number[], open: Label[] = []): void {
  for (const part of code) {
    if (typeof part === "number") bytes.push(part);
    else if ("target" in part) {
      const depth = open.length - 1 - open.lastIndexOf(part.target);
      if (depth === open.length) throw new RangeError("a branch leaves a block it does not stand in");
      bytes.push(part.opcode, ...unsigned(depth));
    } else if ("body" in part) {
      bytes.push(part.opcode, part.result);
      open.push(part.label);
      writeCode(part.body, bytes, open);
      if (part.otherwise !== undefined) {
        bytes.push(5);
        writeCode(part.otherwise, bytes, open);
      }
      open.pop();
      bytes.push(0x0b);
    } else if ("kind" in part || "inlined" in part) throw new RangeError("a call is still to be written out");
    else writeCode(part, bytes, open);
  }
}
