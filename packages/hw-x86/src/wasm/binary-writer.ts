/**
 * A WebAssembly binary, written when it is needed: types, imports, functions and exports over one imported memory. What
 * is made depends on a machine's shape or on code that was met, so no build step could make it.
 *
 * Source: WebAssembly Core Specification 2.0, "Binary Format".
 */
import {
  type Code,
  type Expression,
  type Local,
  TYPE_CODES,
  unsigned,
  type ValueType,
  type Variables,
} from "./code.js";
import { FunctionBody, local, withZeros } from "./function-body.js";

export type { Local };

/** Name of the one namespace of imports, and in it of the memory. */
export const HOST = "host";
export const MEMORY = "memory";

/** The variables of the parameters. */
type Locals<P extends readonly ValueType[]> = { readonly [K in keyof P]: P[K] extends ValueType ? Local<P[K]> : never };
/** The values a call is given. */
type Values<P extends readonly ValueType[]> = {
  readonly [K in keyof P]: P[K] extends ValueType ? Expression<P[K]> : never;
};

/** Something that can be called, imported, written, or written out where it is called. */
export interface Callee<P extends readonly ValueType[], R extends ValueType | undefined> {
  readonly result: R;
  /** A call whose result is used. */
  value(...values: Values<P>): R extends ValueType ? Expression<R> : never;
  /** A call alone; what it results in is dropped. */
  run(...values: Values<P>): Code;
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
    body: (variables: Variables, ...given: Locals<P>) => Code,
  ): Callee<P, R> {
    const index = this.importedFunctions + this.functions.length;
    this.functions.push(this.typeOf(parameters, result));
    const variables = new FunctionBody(parameters.length);
    const given = parameters.map((type, nth) => local(type, nth)) as unknown as Locals<P>;
    this.bodies.push(variables.bytes(body(variables, ...given)));
    if (called !== "") this.exports.push([...name(called), 0, ...unsigned(index)]);
    return callee(index, result);
  }

  /**
   * A function that is written out wherever it is called: V8 11.3 does so with no function of WebAssembly.
   * @param body as of {@link add}; is asked again for each call
   */
  inline<const P extends readonly ValueType[], R extends ValueType | undefined>(
    parameters: P,
    result: R,
    body: (variables: Variables, ...given: Locals<P>) => Code,
  ): Callee<P, R> {
    return calleeOf(result, (values) => ({
      inlined: (variables) => {
        const given = parameters.map((type) => variables.local(type));
        const { code, zeros } = withZeros(variables, (own) => body(own, ...(given as unknown as Locals<P>)));
        // All are computed before any is set: one may be another call, written out with the same variables.
        const sets = [...given].reverse().map((each) => each.set({ type: each.type, code: [] }));
        return { before: [values, sets, zeros], result, body: code };
      },
    }));
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

/** @param call a call, of the code that computes its values */
function calleeOf<P extends readonly ValueType[], R extends ValueType | undefined>(
  result: R,
  call: (values: Code) => Code[number],
): Callee<P, R> {
  const code = (values: readonly Expression<ValueType>[]): Code => [call(values.map((value) => value.code))];
  return {
    result,
    value: (...values) =>
      ({ type: result, code: code(values as readonly Expression<ValueType>[]) }) as ReturnType<Callee<P, R>["value"]>,
    run: (...values) => [code(values as readonly Expression<ValueType>[]), result === undefined ? [] : 0x1a],
  };
}

const callee = <P extends readonly ValueType[], R extends ValueType | undefined>(index: number, result: R) =>
  calleeOf<P, R>(result, (values) => [values, 0x10, unsigned(index)]);

const name = (text: string): number[] => {
  const bytes = [...text].map((letter) => letter.charCodeAt(0));
  return [...unsigned(bytes.length), ...bytes];
};
