/** A module's sites as the running kernel has its own: by the kernel's state, but for keys that are the module's. */
import { FEATURE, NO_TABLES, type PatchTables, plainPatchState } from "@kreplica/text-patch/api";
import { describe, expect, test } from "vitest";
import { ItsThunks, layoutModule, type MemoryType, ModuleImage, readModule } from "../src/index.js";
import { NoPatcher, TablePatcher } from "../src/patcher.js";
import { tinyHost, tinyModule } from "../src/testing.js";
import { said } from "./support/refused.js";

const BASE = -0x4000_0000;
const FUNCTION = 0xffff_ffff_8100_1000n;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
const address = (signed: number): bigint => BigInt.asUintN(64, BigInt(signed));

/** A branch of five bytes from a place. */
const branch = (code: number, from: bigint, to: bigint): number[] => {
  const bytes = new Uint8Array(5);
  new DataView(bytes.buffer).setInt32(1, Number(BigInt.asIntN(64, to - from - 5n)), true);
  bytes[0] = code;
  return [...bytes];
};

/** An image with bytes in text, at the start of a section of its own, and a section of data for keys. */
function imageWith(text: readonly number[], keys = 16) {
  const file = readModule(
    tinyModule({
      sections: [
        { name: ".text.odd", flags: 6, bytes: Uint8Array.from(text), align: 64 },
        { name: ".data.keys", flags: 3, bytes: new Uint8Array(keys), align: 8 },
      ],
    }),
  );
  const layout = layoutModule(file);
  const image = new ModuleImage<MemoryType>(
    file,
    layout.places.map((place) => place && { part: place.type, offset: place.offset }),
    layout.bytes,
    (type) =>
      BASE +
      ["text", "data", "rodata", "ro-after-init", "init-text", "init-data", "init-rodata"].indexOf(type) * 0x10_0000,
  );
  const section = (name: string) => image.section(name)!;
  const at = (name: string): bigint => address(image.sectionAddress[section(name).index]!);
  const data = image.bytesOf(section(".data.keys"))!;
  return {
    image,
    code: at(".text.odd"),
    keys: at(".data.keys"),
    key: new DataView(data.buffer, data.byteOffset, data.length),
    bytes: (): number[] => [...image.bytesOf(section(".text.odd"))!],
  };
}

const tablesOf = (some: Partial<PatchTables>): PatchTables => ({ ...NO_TABLES, ...some });
type State = typeof plainPatchState;
const patcher = (state: Partial<State> = {}, staticCallKey: (key: bigint) => bigint | undefined = () => undefined) =>
  new TablePatcher({ ...tinyHost([], { ...plainPatchState, ...state }), staticCallKey });

test("without the kernel's state there is nothing to patch to, and a patcher that leaves all as it is", () => {
  const { image } = imageWith([0x90]);
  expect(said(() => new TablePatcher(tinyHost()).finalize(image, NO_TABLES))).toBe(
    "bad-site: tiny: this kernel does not say what its code is patched to: bind the noPatching plugin, or give its state (-ENOEXEC)",
  );
  expect(new NoPatcher().finalize()).toEqual({});
  expect(patcher().finalize(image, NO_TABLES)).toEqual({
    paravirt: 0,
    retpoline: 0,
    return: 0,
    alternative: 0,
    "smp-lock": 0,
    ftrace: 0,
    "jump-label": 0,
    "static-call": 0,
  });
});

describe("a jump label", () => {
  const label = (key: (made: ReturnType<typeof imageWith>) => bigint, state: Partial<State> = {}, value = 0) => {
    const made = imageWith([...NOP5, 0xc3]);
    made.key.setInt32(0, value, true);
    const site = { address: made.code, target: made.code + 64n, key: key(made), branch: false, init: false };
    const counts = patcher(state).finalize(made.image, tablesOf({ jumpLabels: [site] }));
    return [counts["jump-label"], made.bytes()[0]];
  };
  test("goes by the module's own key where that is in it, which is on from 1 up", () => {
    const on = { keyEnabled: () => true };
    for (const [value, byte] of [
      [1, 0xe9],
      [7, 0xe9],
      [0, NOP5[0]],
      [-1, NOP5[0]],
    ] as const)
      for (const state of [{}, on]) expect(label(({ keys }) => keys, state, value)[1], `${value}`).toBe(byte);
    expect(label(({ keys }) => keys, {}, 1)).toEqual([1, 0xe9]);
    // A key of which two bytes are missing is none of the module's.
    const cut = ({ image }: ReturnType<typeof imageWith>): bigint => {
      const { base, bytes } = image.parts.find(({ part }) => part === "data")!;
      return address(base + bytes.length - 2);
    };
    expect([label(cut, on, 0)[1], label(cut, {}, 1)[1]]).toEqual([0xe9, NOP5[0]]);
  });
  test("goes by the kernel's key in any other case", () => {
    const asked: bigint[] = [];
    const keyEnabled = (key: bigint): boolean => {
      asked.push(key);
      return key === FUNCTION;
    };
    expect([label(() => FUNCTION, { keyEnabled }), label(() => FUNCTION + 8n, { keyEnabled })]).toEqual([
      [1, 0xe9],
      [0, NOP5[0]],
    ]);
    expect(asked).toEqual([FUNCTION, FUNCTION + 8n]);
  });
});

describe("a static call", () => {
  const call = (
    key: (made: ReturnType<typeof imageWith>) => bigint,
    state: Partial<State> = {},
    staticCallKey?: (key: bigint) => bigint | undefined,
  ) => {
    const made = imageWith([...NOP5, 0x90]);
    made.key.setBigUint64(0, FUNCTION + 0x40n, true);
    const site = { address: made.code, key: key(made), tail: false, init: false };
    patcher(state, staticCallKey).finalize(made.image, tablesOf({ staticCalls: [site] }));
    return { bytes: made.bytes().slice(0, 5), to: (target: bigint) => branch(0xe8, made.code, target) };
  };
  test("of the module's own key calls what stands there; of the kernel's, what the kernel calls", () => {
    const own = call(({ keys }) => keys, { staticCallTarget: () => FUNCTION });
    expect(own.bytes).toEqual(own.to(FUNCTION + 0x40n));
    const kernels = call(() => FUNCTION + 8n, {
      staticCallTarget: (key) => (key === FUNCTION + 8n ? FUNCTION + 0x80n : 0n),
    });
    expect(kernels.bytes).toEqual(kernels.to(FUNCTION + 0x80n));
    const nothing = call(() => FUNCTION + 8n);
    expect(nothing.bytes).toEqual(NOP5);
  });
  test("that names a trampoline has the key the kernel knows for it; its own key is never looked up", () => {
    const asked: bigint[] = [];
    const known = (key: bigint): bigint | undefined => {
      asked.push(key);
      return key === FUNCTION ? FUNCTION + 8n : undefined;
    };
    const staticCallTarget = (key: bigint): bigint =>
      key === FUNCTION + 8n ? FUNCTION + 0x80n : key === FUNCTION + 16n ? FUNCTION + 0xc0n : 0n;
    const named = call(() => FUNCTION, { staticCallTarget }, known);
    expect(named.bytes).toEqual(named.to(FUNCTION + 0x80n));
    const unknown = call(() => FUNCTION + 16n, { staticCallTarget }, known);
    expect(unknown.bytes).toEqual(unknown.to(FUNCTION + 0xc0n));
    expect(asked).toEqual([FUNCTION, FUNCTION + 16n]);
    asked.length = 0;
    const own = call(({ keys }) => keys, {}, known);
    expect([own.bytes, asked]).toEqual([own.to(FUNCTION + 0x40n), []]);
  });
  test("of __static_call_return0 returns 0 in place", () => {
    const zero = { staticCallTarget: () => FUNCTION, staticCallReturn0: FUNCTION };
    expect(call(() => FUNCTION + 8n, zero).bytes).toEqual([0x2e, 0x2e, 0x2e, 0x31, 0xc0]);
  });
});

describe("branches and calls go by the kernel's state", () => {
  const THUNKS = 0xffff_ffff_8180_0000n;
  const RETURN = 0xffff_ffff_8190_0000n;
  test("ftrace's calls become no-ops; LOCK goes where there is one CPU, in the module's memory", () => {
    const made = imageWith([...branch(0xe8, 0n, 0n), 0xf0, 0x90]);
    const tables = tablesOf({ ftrace: [made.code], smpLocks: [made.code + 5n, FUNCTION] });
    expect(patcher().finalize(made.image, tables)).toMatchObject({ ftrace: 1, "smp-lock": 0 });
    expect(made.bytes()).toEqual([...NOP5, 0xf0, 0x90]);
    expect(patcher({ cpus: 1 }).finalize(made.image, tables)).toMatchObject({ ftrace: 0, "smp-lock": 1 });
    expect(made.bytes()).toEqual([...NOP5, 0x3e, 0x90]);
  });
  test("paravirt calls call what pv_ops has, by their type", () => {
    const made = imageWith(new Array<number>(16).fill(0x90));
    const paravirt = [1, 2].map((type, nth) => ({ address: made.code + BigInt(8 * nth), length: 7, type }));
    const asked = (type: number): bigint | "nop" => (type === 1 ? FUNCTION : "nop");
    expect(patcher({ paravirt: asked }).finalize(made.image, tablesOf({ paravirt })).paravirt).toBe(2);
    expect(made.bytes().slice(0, 5)).toEqual(branch(0xe8, made.code, FUNCTION));
    expect(made.bytes().slice(8, 10)).not.toEqual([0x90, 0x90]);
  });
  test("returns go to the thunk the CPU needs at their place, or are plain", () => {
    const made = imageWith([0xe9, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0]);
    const view = made.image.bytesOf(made.image.section(".text.odd")!)!;
    for (const nth of [0, 5]) view.set(branch(0xe9, made.code + BigInt(nth), RETURN), nth);
    const returnThunk = (site: bigint): bigint | undefined => (site === made.code ? FUNCTION : undefined);
    const counts = patcher({ defaultReturnThunk: RETURN, returnThunk }).finalize(
      made.image,
      tablesOf({ returns: [made.code, made.code + 5n] }),
    );
    expect(counts.return).toBe(2);
    expect(made.bytes()).toEqual([...branch(0xe9, made.code, FUNCTION), 0xc3, 0xcc, 0xcc, 0xcc, 0xcc]);
  });
  /** A call through the thunk of a register, at the start of a line, where its last byte is in the lower half. */
  const indirect = (register: number, state: Partial<State>, thunks?: ItsThunks) => {
    const made = imageWith(new Array<number>(5).fill(0));
    made.image.bytesOf(made.image.section(".text.odd")!)!.set(branch(0xe8, made.code, THUNKS + BigInt(register) * 32n));
    const counts = patcher({ indirectThunks: THUNKS, ...state }).finalize(
      made.image,
      tablesOf({ retpolines: [made.code] }),
      thunks,
    );
    return { bytes: made.bytes(), count: counts.retpoline, to: (target: bigint) => branch(0xe8, made.code, target) };
  };
  test("indirect branches are plain ones, or stay where the CPU needs retpolines", () => {
    expect(indirect(3, {}).bytes.slice(0, 2)).toEqual([0xff, 0xd3]);
    const kept = indirect(3, { has: (feature) => feature === FEATURE.retpoline });
    expect([kept.count, kept.bytes]).toEqual([0, kept.to(THUNKS + 96n)]);
  });
  test("with ITS each has a thunk of the module's own; the kernel's where no page is to be had, or none is asked for", () => {
    const shared = { indirectItsThunk: (register: number): bigint => RETURN + BigInt(register) * 64n };
    const area = { start: 0xffff_ffff_c080_0000n } as NonNullable<ReturnType<ItsThunks["take"]>> & never;
    const own = indirect(3, shared, new ItsThunks(() => area));
    expect(own.bytes).toEqual(own.to(0xffff_ffff_c080_0020n));
    const none = indirect(3, shared, new ItsThunks(() => undefined));
    expect(none.bytes).toEqual(none.to(RETURN + 192n));
    const unasked = indirect(3, shared);
    expect(unasked.bytes).toEqual(unasked.to(RETURN + 192n));
    let taken = 0;
    const unneeded = indirect(
      3,
      {},
      new ItsThunks(() => {
        taken++;
        return undefined;
      }),
    );
    expect([unneeded.bytes.slice(0, 2), taken]).toEqual([[0xff, 0xd3], 0]);
  });
});

describe("what cannot be patched is refused in the module's name", () => {
  const jumpTo = (site: bigint) => ({ address: site, target: site + 8n, key: FUNCTION, branch: true, init: false });
  test("a site outside its memory, and one that holds something else", () => {
    const made = imageWith([0xcc, 0xcc, 0xcc, 0xcc, 0xcc]);
    expect(said(() => patcher().finalize(made.image, tablesOf({ jumpLabels: [jumpTo(FUNCTION)] })))).toBe(
      "bad-site: tiny: 0xffffffff81001000 is not in the module (-ENOEXEC)",
    );
    expect(said(() => patcher().finalize(made.image, tablesOf({ jumpLabels: [jumpTo(made.code)] })))).toMatch(
      /^bad-site: tiny: unexpected-code: 0x[0-9a-f]+: a jump label holds neither jump nor no-op \(-ENOEXEC\)$/,
    );
  });
  test("a patch that would leave it: the longest form of a site may only be read beyond its last page", () => {
    const made = imageWith([0x90]);
    const part = made.image.parts.find(({ part: name }) => name === "text")!;
    const end = address(part.base + part.bytes.length);
    part.bytes.set([0x66, 0x90], part.bytes.length - 2);
    const short = tablesOf({ jumpLabels: [jumpTo(end - 2n)] });
    expect(patcher().finalize(made.image, short)["jump-label"]).toBe(1);
    expect([...part.bytes.subarray(-2)]).toEqual([0xeb, 6]);
    const long = { address: end - 3n, length: 7, type: 0 };
    expect(said(() => patcher().finalize(made.image, tablesOf({ paravirt: [long] })))).toBe(
      `bad-site: tiny: a patch of 7 bytes at 0x${(end - 3n).toString(16)} leaves the module (-ENOEXEC)`,
    );
  });
});
