/**
 * A WebAssembly binary, written when it is needed: types, imports, functions and exports over one imported memory. What
 * is made depends on a machine's shape or on code that was met, so no build step could make it.
 *
 * Source: WebAssembly Core Specification 2.0, "Binary Format".
 */
import { type Code, type Expression, TYPE_CODES, unsigned, type ValueType, writeCode } from "./code.js";

/** Name of the one namespace of imports, and in it of the memory. */
export const HOST = "host";
export const MEMORY = "memory";

/** A variable of a function, its parameters included: an expression for its value. */
export interface Local<T extends ValueType> extends Expression<T> {
  set(value: Expression<T>): Code;
  /** As {@link set}, and has the value. */
  tee(value: Expression<T>): Expression<T>;
}

/** The variables of the parameters. */
type Locals<P extends readonly ValueType[]> = { readonly [K in keyof P]: P[K] extends ValueType ? Local<P[K]> : never };
/** The values a call is given. */
type Values<P extends readonly ValueType[]> = {
  readonly [K in keyof P]: P[K] extends ValueType ? Expression<P[K]> : never;
};

/** Something that can be called, imported or written. */
export interface Callee<P extends readonly ValueType[], R extends ValueType | undefined> {
  readonly result: R;
  /** A call whose result is used. */
  value(...values: Values<P>): R extends ValueType ? Expression<R> : never;
  /** A call alone; what it results in is dropped. */
  run(...values: Values<P>): Code;
}

/** A function under way: makes its variables, which begin as 0. */
export class FunctionBody {
  private readonly types: ValueType[] = [];

  /** @param parameters how many variables there are before the first */
  constructor(private readonly parameters: number) {}

  /** One more variable. */
  local<T extends ValueType>(type: T): Local<T> {
    this.types.push(type);
    return local(type, this.parameters + this.types.length - 1);
  }

  /** Its variables, then its instructions, as the code section has them. */
  bytes(code: Code): number[] {
    const bytes = [...unsigned(this.types.length), ...this.types.flatMap((type) => [1, TYPE_CODES[type]])];
    writeCode(code, bytes);
    bytes.push(0x0b);
    return bytes;
  }
}

function local<T extends ValueType>(type: T, index: number): Local<T> {
  const at = unsigned(index);
  return {
    type,
    code: [0x20, at],
    set: (value) => [value.code, 0x21, at],
    tee: (value) => ({ type, code: [value.code, 0x22, at] }),
  };
}

/** Writes one binary. Imports come before the first function. */
export class BinaryWriter {
  private readonly types: number[][] = [];
  private readonly imports: number[][] = [];
  private readonly functions: number[] = [];
  private readonly bodies: number[][] = [];
  private readonly exports: number[][] = [];
  private importedFunctions = 0;

  /** @param pages of 64 KiB that the imported memory has at least */
  constructor(pages: number) {
    this.imports.push([...name(HOST), ...name(MEMORY), 2, 0, ...unsigned(pages)]);
  }

  /**
   * A function of the host's, by its name in the namespace {@link HOST}.
   * @throws RangeError after the first {@link add}
   */
  import<const P extends readonly ValueType[], R extends ValueType | undefined = undefined>(
    called: string,
    parameters: P,
    result?: R,
  ): Callee<P, R> {
    if (this.functions.length > 0) throw new RangeError(`${called} is imported after a function was written`);
    this.imports.push([...name(HOST), ...name(called), 0, ...unsigned(this.typeOf(parameters, result))]);
    return callee(this.importedFunctions++, result as R);
  }

  /**
   * A function.
   * @param called what it is exported as; "" where only others of this binary call it
   * @param body gets its variables' maker and its parameters; what it returns leaves the result behind, or
   *   {@link leave}s everywhere
   */
  add<const P extends readonly ValueType[], R extends ValueType | undefined>(
    called: string,
    parameters: P,
    result: R,
    body: (variables: FunctionBody, ...given: Locals<P>) => Code,
  ): Callee<P, R> {
    const index = this.importedFunctions + this.functions.length;
    this.functions.push(this.typeOf(parameters, result));
    const variables = new FunctionBody(parameters.length);
    const given = parameters.map((type, nth) => local(type, nth)) as unknown as Locals<P>;
    this.bodies.push(variables.bytes(body(variables, ...given)));
    if (called !== "") this.exports.push([...name(called), 0, ...unsigned(index)]);
    return callee(index, result);
  }

  /** The whole binary. */
  bytes(): Uint8Array<ArrayBuffer> {
    const bytes = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    const section = (id: number, items: readonly (readonly number[])[]): void => {
      const body = [...unsigned(items.length), ...items.flat()];
      bytes.push(id, ...unsigned(body.length));
      for (const byte of body) bytes.push(byte);
    };
    section(1, this.types);
    section(2, this.imports);
    section(3, this.functions.map(unsigned));
    section(7, this.exports);
    section(
      10,
      this.bodies.map((body) => [...unsigned(body.length), ...body]),
    );
    return Uint8Array.from(bytes);
  }

  /** Number of a function's type. */
  private typeOf(parameters: readonly ValueType[], result: ValueType | undefined): number {
    const results = result === undefined ? [] : [TYPE_CODES[result]];
    const type = [
      0x60,
      ...unsigned(parameters.length),
      ...parameters.map((each) => TYPE_CODES[each]),
      results.length,
      ...results,
    ];
    const known = this.types.findIndex((each) => each.join() === type.join());
    return known >= 0 ? known : this.types.push(type) - 1;
  }
}

function callee<P extends readonly ValueType[], R extends ValueType | undefined>(
  index: number,
  result: R,
): Callee<P, R> {
  const call = (values: readonly Expression<ValueType>[]): Code => [
    values.map((value) => value.code),
    0x10,
    unsigned(index),
  ];
  return {
    result,
    value: (...values) =>
      ({ type: result, code: call(values as readonly Expression<ValueType>[]) }) as ReturnType<Callee<P, R>["value"]>,
    run: (...values) => [call(values as readonly Expression<ValueType>[]), result === undefined ? [] : 0x1a],
  };
}

const name = (text: string): number[] => {
  const bytes = [...text].map((letter) => letter.charCodeAt(0));
  return [...unsigned(bytes.length), ...bytes];
};
