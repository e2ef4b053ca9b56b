/** The variables of a function of WebAssembly that is being written, and its bytes. */
import {
  type Code,
  inlined,
  type LentVariables,
  type Local,
  TYPE_CODES,
  unsigned,
  type ValueType,
  type Variables,
  writeCode,
} from "./code.js";
import { f64, i32, i64, v128 } from "./operations.js";

/** Sets a variable to 0. */
const zero = (variable: Local<ValueType>): Code => {
  const { type } = variable;
  if (type === "v128") return variable.set(v128.const(new Array<number>(16).fill(0)));
  return variable.set(type === "i32" ? i32.const(0) : type === "i64" ? i64.const(0n) : f64.const(0));
};

/** A function under way: makes its variables, which begin as 0. */
export class FunctionBody implements LentVariables {
  private readonly types: ValueType[] = [];
  /** Those that are nobody's, by type. */
  private readonly free: Record<ValueType, number[]> = { i32: [], i64: [], f64: [], v128: [] };
  /** Those of the one that was lent to last. */
  private lent: { readonly type: ValueType; readonly index: number }[] = [];

  /** @param parameters how many variables there are before the first */
  constructor(private readonly parameters: number) {}

  local<T extends ValueType>(type: T): Local<T> {
    const index = this.free[type].pop() ?? this.parameters + this.types.push(type) - 1;
    this.lent.push({ type, index });
    return local(type, index);
  }

  lend<T>(work: () => T): T {
    const others = this.lent;
    this.lent = [];
    const result = work();
    for (const { type, index } of this.lent) this.free[type].push(index);
    this.lent = others;
    return result;
  }

  /** Its variables, then its instructions, as the code section has them. */
  bytes(code: Code): number[] {
    const body: number[] = [];
    writeCode(inlined(code, this), body);
    return [...unsigned(this.types.length), ...this.types.flatMap((type) => [1, TYPE_CODES[type]]), ...body, 0x0b];
  }
}

/** The n-th variable. */
export function local<T extends ValueType>(type: T, index: number): Local<T> {
  const at = unsigned(index);
  return {
    type,
    code: [0x20, at],
    set: (value) => [value.code, 0x21, at],
    tee: (value) => ({ type, code: [value.code, 0x22, at] }),
  };
}

/** A body, and what makes the variables begin as 0 that it made: others may have had them. */
export function withZeros(
  variables: LentVariables,
  body: (variables: Variables) => Code,
): { readonly code: Code; readonly zeros: Code } {
  const made: Local<ValueType>[] = [];
  const code = body({
    local: (type) => {
      const each = variables.local(type);
      made.push(each);
      return each;
    },
  });
  return { code, zeros: made.map(zero) };
}
