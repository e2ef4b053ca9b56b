/** Functions written out where they are called do what they do when they are called, whatever variables they share. */
import { expect, test } from "vitest";
import { BinaryWriter, type Callee } from "../../src/wasm/binary-writer.js";
import { block, branch, branchIf, type Code, leave, loop, when, writeCode } from "../../src/wasm/code.js";
import { compiled, instance, memory } from "../../src/wasm/host.js";
import { f64, i32, i64, v128 } from "../../src/wasm/operations.js";

type Pair = Callee<readonly ["i32", "i32"], "i32">;
const number = i32.const;

/** Runs a program of two numbers over a function of two; once called, once written out. */
function both(
  body: Parameters<typeof BinaryWriter.prototype.inline<readonly ["i32", "i32"], "i32">>[2],
  program: (callee: Pair, a: Parameters<Pair["value"]>[0], b: Parameters<Pair["value"]>[1]) => Code,
  a: number,
  b: number,
): number[] {
  return (["add", "inline"] as const).map((how) => {
    const writer = new BinaryWriter(1);
    const callee =
      how === "add" ? writer.add("", ["i32", "i32"], "i32", body) : writer.inline(["i32", "i32"], "i32", body);
    writer.add("run", ["i32", "i32"], "i32", (_, first, second) => program(callee, first, second));
    return instance(compiled(writer.bytes()), memory(1)!, {})["run"]!(a, b);
  });
}

test("it leaves its own end, not the function around it, and from within blocks", () => {
  expect(
    both(
      (_, a, b) => [
        loop((head) => [
          when(i32.gtS(a, number(100)), leave(a)),
          a.set(i32.add(a, i32.or(b, number(1)))),
          block((end) => [branchIf(i32.ltS(a, number(50)), end), when(i32.eq(a, number(57)), leave(number(7)))]),
          branch(head),
        ]),
        number(-1).code,
      ],
      (callee, a, b) => i32.add(i32.mul(callee.value(a, b), number(1000)), callee.value(number(0), number(19))).code,
      1,
      40,
    ),
  ).toEqual([124_007, 124_007]);
});

test("what it sets in its parameters nobody else sees", () => {
  expect(
    both(
      (_, a, b) => [a.set(i32.add(a, number(1))), b.set(i32.mul(b, a)), b.code],
      (callee, a, b) => i32.sub(callee.value(a, b), i32.add(a, b)).code,
      5,
      7,
    ),
  ).toEqual([30, 30]);
});

test("a call's values may be calls of the same, written out with the same variables", () => {
  expect(
    both(
      (variables, a, b) => {
        const sum = variables.local("i32");
        return [sum.set(i32.add(i32.mul(a, number(10)), b)), sum.code];
      },
      (callee, a, b) => callee.value(callee.value(a, b), callee.value(b, callee.value(b, a))).code,
      1,
      2,
    ),
  ).toEqual([161, 161]);
});

test("its variables begin as 0 each time, of every type", () => {
  const kept = { i32: i32.store, i64: i64.store, f64: f64.store, v128: v128.store };
  const ones = {
    i32: () => number(-1),
    i64: () => i64.const(-1n),
    f64: () => f64.const(-1),
    v128: () => v128.splat32(number(-1)),
  };
  for (const type of ["i32", "i64", "f64", "v128"] as const) {
    const [zeros] = both(
      (variables, a, b) => {
        const own = variables.local(type);
        return [
          kept[type](number(8), own as never),
          own.set(ones[type]() as never),
          i32.or(i32.or(i32.load(number(8)), i32.load(number(12))), i32.and(a, b)).code,
        ];
      },
      (callee, a, b) => i32.or(callee.value(a, b), callee.value(a, b)).code,
      1,
      2,
    ).reverse();
    expect(zeros, type).toBe(0);
  }
});

test("one without a result is dropped by nobody", () => {
  const writer = new BinaryWriter(1);
  const write = writer.inline(["i32"], undefined, (_, value) => [
    when(i32.isZero(value), leave()),
    i32.store(number(8), value),
  ]);
  writer.add("run", ["i32", "i32"], "i32", (_, a, b) => [write.run(a), write.run(b), i32.load(number(8)).code]);
  const { run } = instance(compiled(writer.bytes()), memory(1)!, {});
  expect([run!(1, 2), run!(3, 0), run!(0, 0)]).toEqual([2, 3, 3]);
});

test("what is still a call that is to be written out is no code", () => {
  const callee = new BinaryWriter(1).inline([], undefined, () => []);
  expect(() => {
    writeCode(callee.run(), []);
  }).toThrow(RangeError);
});
