/**
 * Boot patching on bytes made by hand: every form of every class, and tables that cannot be ones. The proof on a real
 * image is bench's.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  applyAlternatives,
  applyFtrace,
  applyJumpLabels,
  applyParavirt,
  applyRetpolines,
  applyReturns,
  applyStaticCalls,
  applyTrampolines,
  branch32,
  CALL,
  FEATURE,
  JMP32,
  nops,
  optimiseNops,
  type PatchState,
  readAlternatives,
  readJumpTable,
  readParavirt,
  readPointerSites,
  readRelativeSites,
  readStaticCalls,
  switchSmpLocks,
  TextPatchError,
} from "../src/api.js";
import { BASE, Flat, hex, RETURN_THUNK, THUNKS, state as flatState } from "./flat.js";

const state = (change: Partial<PatchState> = {}): PatchState => flatState({ cpus: 4, ...change });
const features = (...on: number[]): Partial<PatchState> => ({ has: (feature) => on.includes(feature) });

test("a kernel without __static_call_return0 (before 5.12) has no call patched to return 0", () => {
  const text = new Flat();
  const [address, key] = [BASE, BASE + 0x100n];
  for (const [staticCallReturn0, expected] of [
    [BASE + 0xa000n, "2e2e2e31c0"],
    [undefined, hex(branch32(CALL, address, BASE + 0xa000n))],
  ] as const) {
    text.put(address, branch32(CALL, address, BASE + 0x200n));
    applyStaticCalls(
      text,
      [{ address, key, tail: false, init: false }],
      state({ staticCallReturn0, staticCallTarget: () => BASE + 0xa000n }),
    );
    expect(text.hex(address, 5)).toBe(expected);
  }
});

describe("no-ops", () => {
  test("runs of one-byte no-ops become the fewest long ones; everything else stays", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom([0x90], [0x90], [0x48, 0x89, 0xc3], [0xb8, 0x90, 0x90, 0x90, 0x90], [0x0f, 0x01, 0xcb]),
          { maxLength: 40, size: "max" },
        ),
        (parts) => {
          const bytes = Uint8Array.from(parts.flat());
          // The slow way: count each run, and write it out.
          const expected: number[] = [];
          let run = 0;
          const flush = (): void => {
            for (; run > 8; run -= 8) expected.push(...nops(8));
            expected.push(...nops(run));
            run = 0;
          };
          for (const part of parts) {
            if (part.length === 1) run++;
            else {
              flush();
              expected.push(...part);
            }
          }
          flush();
          optimiseNops(bytes);
          expect([...bytes]).toEqual(expected);
        },
      ),
    );
  });
  test("what cannot be decoded, or reaches beyond the site, ends it", () => {
    const bytes = Uint8Array.of(0x06, 0x90, 0x90);
    optimiseNops(bytes);
    expect(hex(bytes)).toBe("069090");
  });
});

test("retpolines: by register, form and feature", () => {
  const site = BASE + 0x100n;
  const table: [number[], number, string, string][] = [
    // form, register, without anything, with LFENCE
    [[CALL], 0, "ffd00f1f00", "0faee8ffd0"],
    [[JMP32], 3, "ffe3cc6690", "0faee8ffe3"],
    [[0x2e, CALL], 11, "41ffd30f1f00", "0faee841ffd3"],
    [[0x2e, JMP32], 11, "41ffe3cc6690", "0faee841ffe3"],
    [[0x0f, 0x84], 2, "7504ffe2cc90", ""],
  ];
  for (const [form, register, plain, lfence] of table) {
    const target = THUNKS + BigInt(32 * register);
    const length = form.length + 4;
    const original = Uint8Array.of(...form, ...new Uint8Array(Int32Array.of(Number(target - site) - length).buffer));
    for (const [on, expected] of [
      [[], plain],
      [[FEATURE.retpoline, FEATURE.retpolineLfence], lfence],
      [[FEATURE.retpoline], ""],
    ] as const) {
      const text = new Flat();
      text.put(site, original);
      applyRetpolines(text, [site], state(features(...on)));
      expect(text.hex(site, length)).toBe(expected === "" ? hex(original) : expected);
    }
  }
  const text = new Flat();
  text.put(site, branch32(CALL, site, THUNKS + 8n));
  expect(() => applyRetpolines(text, [site], state())).toThrow(expect.objectContaining({ code: "unexpected-code" }));
});

test("returns, with and without a thunk; what another table already changed is left", () => {
  const text = new Flat();
  const [a, b] = [BASE + 0x200n, BASE + 0x220n];
  for (const site of [a, b]) text.put(site, branch32(JMP32, site, RETURN_THUNK));
  expect(applyReturns(text, [a, b], state({ returnThunk: (site) => (site === b ? BASE + 0xb000n : undefined) }))).toBe(
    2,
  );
  expect(text.hex(a, 5)).toBe("c3cccccccc");
  expect(text.hex(b, 5)).toBe(hex(branch32(JMP32, b, BASE + 0xb000n)));
  expect(applyReturns(text, [a], state())).toBe(0);
  expect(() => applyReturns(text, [b], state())).toThrow(TextPatchError);
});

test("alternatives: replaced by feature or its absence, branches aimed anew, short where near and forward", () => {
  const site = BASE + 0x300n;
  const replacement = BASE + 0x4000n;
  const run = (
    original: number[],
    bytes: Uint8Array | number[],
    change: { feature?: number; inverted?: boolean } = {},
    on: number[] = [7],
  ): string => {
    const text = new Flat();
    text.put(site, original);
    text.put(replacement, bytes);
    applyAlternatives(
      text,
      [
        {
          address: site,
          length: original.length,
          replacement,
          replacementLength: bytes.length,
          feature: change.feature ?? 7,
          inverted: change.inverted ?? false,
          directCall: false,
        },
      ],
      state(features(...on)),
    );
    return text.hex(site, original.length);
  };
  const seven = [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
  expect(run(seven, [0x0f, 0x01, 0xcb])).toBe("0f01cb0f1f4000");
  expect(run(seven, [0x0f, 0x01, 0xcb], {}, [])).toBe(hex(nops(7)));
  expect(run(seven, [0x0f, 0x01, 0xcb], { inverted: true }, [])).toBe("0f01cb0f1f4000");
  expect(run(seven, [0x0f, 0x01, 0xcb], { inverted: true })).toBe(hex(nops(7)));
  expect(run(seven, [])).toBe(hex(nops(7)));
  expect(run(seven, branch32(CALL, replacement, BASE + 0x50n))).toBe(`${hex(branch32(CALL, site, BASE + 0x50n))}6690`);
  expect(run(seven, branch32(JMP32, replacement, site + 40n))).toBe("eb260f1f006690");
  expect(run(seven, branch32(JMP32, replacement, site + 129n)).slice(0, 4)).toBe("eb7f");
  expect(run(seven, branch32(JMP32, replacement, site + 130n))).toBe(`${hex(branch32(JMP32, site, site + 130n))}6690`);
  expect(run(seven, branch32(JMP32, replacement, site - 40n))).toBe(`${hex(branch32(JMP32, site, site - 40n))}6690`);
});

test("paravirt, static calls, trampolines, jump labels, ftrace and lock prefixes", () => {
  const text = new Flat();
  const site = BASE + 0x500n;
  const target = BASE + 0x600n;
  const paravirt = (found: bigint | "nop" | undefined): string => {
    applyParavirt(
      text,
      [{ address: site, length: 7, type: 3 }],
      state({ paravirt: (type) => (type === 3 ? found : "nop") }),
    );
    return text.hex(site, 7);
  };
  expect(paravirt(target)).toBe(`${hex(branch32(CALL, site, target))}6690`);
  expect(paravirt("nop")).toBe(hex(nops(7)));
  expect(paravirt(undefined)).toBe("0f0b0f1f440000");

  const call = (old: Uint8Array, tail: boolean, to: bigint): string => {
    text.put(site, [...old, 0x90]);
    applyStaticCalls(text, [{ address: site, key: 1n, tail, init: false }], state({ staticCallTarget: () => to }));
    return text.hex(site, old.length);
  };
  const old = branch32(CALL, site, BASE);
  expect(call(old, false, target)).toBe(hex(branch32(CALL, site, target)));
  expect(call(old, false, 0n)).toBe(hex(nops(5)));
  expect(call(old, false, BASE + 0xa000n)).toBe("2e2e2e31c0");
  expect(call(branch32(JMP32, site, BASE), true, target)).toBe(hex(branch32(JMP32, site, target)));
  expect(call(branch32(JMP32, site, BASE), true, 0n)).toBe("c3cccccccc");
  expect(call(Uint8Array.of(0x0f, 0x84, 0, 0, 0, 0), true, target)).toBe(
    `0f84${hex(branch32(JMP32, site + 1n, target)).slice(2)}`,
  );
  expect(() => call(Uint8Array.of(1, 2, 3, 4, 5), false, target)).toThrow(TextPatchError);
  text.put(site, [0x0f, 0x84, 0, 0, 0, 0]);
  expect(() =>
    applyStaticCalls(
      text,
      [{ address: site, key: 1n, tail: true, init: false }],
      state({ defaultReturnThunk: undefined }),
    ),
  ).toThrow("a conditional static call of nothing");
  text.put(site, branch32(JMP32, site, BASE));
  applyTrampolines(text, [{ address: site, key: 1n }], state({ staticCallTarget: () => target }));
  expect(text.hex(site, 5)).toBe(hex(branch32(JMP32, site, target)));
  applyTrampolines(text, [{ address: site, key: 1n }], state());
  expect(text.hex(site, 5)).toBe("c3cccccccc");

  const label = (bytes: Uint8Array | readonly number[], branch: boolean, on: boolean): string => {
    text.put(site, [...bytes, 0, 0, 0]);
    applyJumpLabels(
      text,
      [{ address: site, target: site + 20n, key: 9n, branch, init: false }],
      state({ keyEnabled: () => on }),
    );
    return text.hex(site, bytes.length);
  };
  for (const [bytes, jump] of [
    [nops(5), hex(branch32(JMP32, site, site + 20n))],
    [[0x66, 0x90], "eb12"],
  ] as const) {
    for (const branch of [false, true])
      for (const on of [false, true])
        expect(label(bytes, branch, on)).toBe(branch !== on ? jump : hex(Uint8Array.from(bytes)));
  }
  expect(() => label([0x48, 0x89], false, true)).toThrow(TextPatchError);

  text.put(site, branch32(CALL, site, target));
  text.put(site + 16n, [1, 2, 3, 4, 5]);
  expect(applyFtrace(text, [site, site + 16n])).toBe(1);
  expect(text.hex(site, 5)).toBe(hex(nops(5)));
  expect(text.hex(site + 16n, 5)).toBe("0102030405");
  text.put(site, [0xf0, 0xff]);
  expect(switchSmpLocks(text, [site, site + 0x100n], 0x3e, (address) => address === site)).toBe(1);
  expect(text.hex(site, 1)).toBe("3e");
  expect(switchSmpLocks(text, [site], 0xf0, () => true)).toBe(1);
  expect(text.hex(site, 1)).toBe("f0");
});

test("tables: distances from their own place, flags in low bits, both layouts of alternatives, and refusals", () => {
  const table = BASE + 0x7000n;
  const words = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer);
  expect(readRelativeSites(words(-0x6000, 0, -0x5000), table, "t")).toEqual([
    table - 0x6000n,
    table + 4n,
    table + 8n - 0x5000n,
  ]);
  expect(readRelativeSites(words(-0x6000, 0), table, "t", true)).toEqual([table - 0x6000n]);
  expect(readPointerSites(new Uint8Array(BigUint64Array.of(BASE, 0n).buffer), table, "t")).toEqual([BASE]);
  expect(readStaticCalls(words(-16, 0x103), table)).toEqual([
    { address: table - 16n, key: table + 4n + 0x100n, tail: true, init: true },
  ]);
  expect(
    readJumpTable(Uint8Array.of(...words(-32, -64), ...new Uint8Array(BigInt64Array.of(0x201n).buffer)), table),
  ).toEqual([{ address: table - 32n, target: table + 4n - 64n, key: table + 8n + 0x200n, branch: true, init: false }]);
  expect(
    readParavirt(Uint8Array.of(...new Uint8Array(BigUint64Array.of(BASE).buffer), 5, 7, 0, 0, 0, 0, 0, 0), table),
  ).toEqual([{ address: BASE, type: 5, length: 7 }]);
  const possible = (address: bigint): boolean => address >= BASE && address < BASE + 0x1_0000n;
  const narrow = Uint8Array.of(...words(-0x1000, -0x2000), 0x10, 0x80, 5, 3);
  expect(readAlternatives(narrow, table, possible)).toEqual([
    {
      address: table - 0x1000n,
      replacement: table + 4n - 0x2000n,
      feature: 0x10,
      inverted: true,
      directCall: false,
      length: 5,
      replacementLength: 3,
    },
  ]);
  const wide = Uint8Array.of(...words(-0x1000, -0x2000), 0x10, 0, 1, 0, 5, 3);
  expect(readAlternatives(wide, table, possible)[0]).toMatchObject({
    feature: 0x10,
    inverted: true,
    length: 5,
    replacementLength: 3,
  });
  expect(() => readAlternatives(words(0x7000_0000, 0, 0), table, possible)).toThrow(
    expect.objectContaining({ code: "unknown-layout" }),
  );
  // Up to 5.10 the last entry has no padding.
  expect(
    readParavirt(
      Uint8Array.of(...new Uint8Array(BigUint64Array.of(BASE, 0x701n, BASE + 9n).buffer), 5, 7, 0xff, 1),
      table,
    ),
  ).toEqual([
    { address: BASE, type: 1, length: 7 },
    { address: BASE + 9n, type: 5, length: 7 },
  ]);
  expect(() => readParavirt(new Uint8Array(15), table)).toThrow(
    expect.objectContaining({ code: "bad-table", address: table }),
  );
});
