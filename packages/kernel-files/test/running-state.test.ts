/** What kernels of different ages knew when they patched themselves: some symbols came late. */
import { expect, test } from "vitest";
import { type KernelFile, stateOf } from "../src/index.js";

const BASE = 0xffff_ffff_8100_0000n;
const RETHUNK = 11 * 32 + 14;
const at = (offset: number): bigint => BASE + BigInt(offset);
const OLD = { boot_cpu_data: at(0), __x86_indirect_thunk_array: at(0x200) };

/** A kernel of these symbols alone, whose boot CPU has long mode, and the features of word 11 given. */
function kernel(symbols: Record<string, bigint>, word11 = 0): readonly [KernelFile, Uint8Array, bigint] {
  const memory = new Uint8Array(4096);
  const view = new DataView(memory.buffer);
  // x86_capability from byte 16 of boot_cpu_data on.
  view.setUint32(16, 0x0700_8171 | (1 << 13), true);
  view.setUint32(20, 1 << 29, true);
  view.setUint32(16 + 4 * 11, word11, true);
  view.setBigUint64(0x300, at(0x500), true);
  return [{ file: "vmlinux", symbol: (name: string) => symbols[name] } as KernelFile, memory, BASE];
}

test("a kernel without a return thunk has none, and no return that needs one", () => {
  const state = stateOf(...kernel(OLD));
  expect(state.defaultReturnThunk).toBeUndefined();
  expect(state.staticCallReturn0).toBeUndefined();
  expect(state.returnThunk(at(0x40))).toBeUndefined();
  expect(stateOf(...kernel(OLD, 1 << 14)).returnThunk(at(0x40))).toBeUndefined();
});

test("one with it says where, and where the CPU needs another", () => {
  const symbols = { ...OLD, __x86_return_thunk: at(0x400) };
  expect(stateOf(...kernel(symbols)).defaultReturnThunk).toBe(at(0x400));
  expect(stateOf(...kernel(symbols, 1 << 14)).has(RETHUNK)).toBe(true);
  expect(stateOf(...kernel(symbols, 1 << 14)).returnThunk(at(0x40))).toBe(at(0x400));
  expect(stateOf(...kernel({ ...symbols, x86_return_thunk: at(0x300) }, 1 << 14)).returnThunk(at(0x40))).toBe(
    at(0x500),
  );
});

test("what every kernel has is named when it is missing", () => {
  const { boot_cpu_data: _, ...rest } = OLD;
  expect(() => stateOf(...kernel(rest))).toThrow("boot_cpu_data");
});
