/** The last distance that a branch reaches, the first byte that is no site of anybody's, and what a refusal says. */
import { type AddressRange, bytesAt } from "@kreplica/hw-x86/api";
import { InvariantError } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import {
  type AlternativeSite,
  applyAlternatives,
  applyRetpolines,
  applyReturns,
  applyStaticCalls,
  branch32,
  branchesInto,
  CALL,
  DebuggerBreakpoints,
  emulationOf,
  fillNops,
  Ftrace,
  INT3,
  isStaticCall,
  JMP32,
  JMP8,
  jump8,
  JumpLabels,
  jumpLabelLength,
  Kprobes,
  moveInstruction,
  moveRun,
  NO_TABLES,
  nops,
  patchAlternatives,
  patchEarly,
  patchFtrace,
  patchTrampolines,
  type PokeStep,
  readAlternatives,
  readJumpTable,
  readPointerSites,
  readRelativeSites,
  readStaticCalls,
  RET,
  returnAt,
  setRelative,
  StaticCalls,
  staticCallBytes,
  switchSmpLocks,
  targetOf,
  TextPatchError,
} from "../src/api.js";
import { noOpRuns } from "../src/boot/optimise-nops.js";
import { areasOn } from "./areas.js";
import { makeKernel, type PatchKernel, SHARED, TEXT, YOUNG } from "./kernel.js";
import { BASE, Flat, hex, THUNKS, state } from "./flat.js";

const refusalOf = (run: () => unknown): TextPatchError => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(TextPatchError);
    return error as TextPatchError;
  }
  throw new Error("nothing was refused");
};

describe("instructions that are written", () => {
  test("short jumps reach 128 bytes back and 127 ahead, long ones 2 GiB, and say how far it would be", () => {
    expect([...jump8(BASE, BASE + 129n)]).toEqual([JMP8, 127]);
    expect([...jump8(BASE, BASE - 126n)]).toEqual([JMP8, 128]);
    for (const [to, distance] of [
      [BASE + 130n, 128],
      [BASE - 127n, -129],
    ] as const) {
      const { code, address, message } = refusalOf(() => jump8(BASE, to));
      expect([code, address]).toEqual(["out-of-reach", BASE]);
      expect(message).toContain(`is ${distance} bytes away, a short jump reaches 127`);
    }
    const ahead = BASE + 5n + 0x7fff_ffffn;
    expect([...branch32(CALL, BASE, BigInt.asUintN(64, ahead))]).toEqual([CALL, 0xff, 0xff, 0xff, 0x7f]);
    expect([...branch32(JMP32, BASE, BASE + 5n - 0x8000_0000n)]).toEqual([JMP32, 0, 0, 0, 0x80]);
    const far = refusalOf(() => branch32(CALL, BASE, BigInt.asUintN(64, ahead + 1n)));
    expect(far.message).toMatch(/^out-of-reach: 0xffffffff81000005: 0x[0-9a-f]+ is more than 2 GiB away$/);
    expect(far.name).toBe("TextPatchError");
    expect(refusalOf(() => branch32(CALL, BASE, BASE + 4n - 0x8000_0000n)).code).toBe("out-of-reach");
  });

  test("distances are read and written where they stand, in a part of an array too", () => {
    const whole = new Uint8Array(12);
    const part = whole.subarray(3);
    setRelative(part, 2, BASE, BASE - 2n);
    expect([...whole]).toEqual([0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0, 0, 0]);
    expect(targetOf(part, 2, BASE)).toBe(BASE - 2n);
    expect(targetOf(part, 2, 1n)).toBe(0xffff_ffff_ffff_ffffn);
  });

  test("no-ops fill what is asked for, the longest first, and nothing beside it", () => {
    const bytes = new Uint8Array(20);
    fillNops(bytes, 1, 18);
    expect(hex(bytes)).toBe("000f1f8400000000000f1f840000000000900000");
    expect(nops(0).length).toBe(0);
    expect(hex(nops(9))).toBe("0f1f84000000000090");
  });

  test("runs of one-byte no-ops begin and end where they do; data behind the last instruction ends the search", () => {
    expect(noOpRuns(Uint8Array.of(0x90, 0x48, 0x89, 0xc3, 0x90, 0x90))).toEqual([
      { at: 0, end: 1 },
      { at: 4, end: 6 },
    ]);
    expect(noOpRuns(Uint8Array.of(0xe8, 0, 0))).toEqual([]);
    expect(noOpRuns(Uint8Array.of(0x90, 0x90))).toEqual([{ at: 0, end: 2 }]);
  });
});

describe("what a CPU does instead of the instruction", () => {
  test("conditions, and targets below and above, up to the end of the address space", () => {
    expect(emulationOf(TEXT, Uint8Array.of(0x7f, 0x7f))).toEqual({
      kind: "conditional",
      condition: 15,
      to: TEXT + 129n,
      otherwise: TEXT + 2n,
    });
    expect(emulationOf(TEXT, Uint8Array.of(0x0f, 0x8c, 0xff, 0xff, 0xff, 0xff))).toMatchObject({
      condition: 12,
      to: TEXT + 5n,
    });
    expect(emulationOf(0n, Uint8Array.of(0x70, 0x80))).toMatchObject({ condition: 0, to: 0xffff_ffff_ffff_ff82n });
    expect(emulationOf(0n, Uint8Array.of(JMP8, 0x80))).toEqual({ kind: "jump", to: 0xffff_ffff_ffff_ff82n });
    expect(emulationOf(TEXT, branch32(JMP32, TEXT, SHARED))).toEqual({ kind: "jump", to: SHARED });
    for (let length = 1; length <= 8; length++)
      expect(emulationOf(TEXT, nops(length))).toEqual({ kind: "jump", to: TEXT + BigInt(length) });
  });

  test("nothing, where the bytes are of another length or another instruction", () => {
    for (const bytes of [
      [INT3, INT3],
      [CALL, 0, 0, 0, 0, 0x90],
      [JMP32, 0, 0, 0],
      [0x0f, 0x84, 0, 0, 0, 0, 0x90],
      [0x0f, 0x94, 0, 0, 0, 0],
      [0x74, 0, 0x90],
      [0x0f, 0x1f, 0x01],
      [...nops(8), 0x90],
    ]) {
      const { code, address, message } = refusalOf(() => emulationOf(TEXT, Uint8Array.from(bytes)));
      expect([code, address]).toEqual(["unexpected-code", TEXT]);
      const said = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      expect(message).toContain(`${said} can not be emulated`);
    }
  });
});

describe("instructions that are moved", () => {
  const INC = [0x48, 0xff, 0xc0];
  const flowOf = (...bytes: number[]) => {
    const { flow, target, length } = moveInstruction(Uint8Array.from(bytes), TEXT, TEXT);
    return { flow, target, length };
  };

  test("go on, branch, call, return, or do none of these", () => {
    expect(flowOf(...INC, 0xc3)).toEqual({ flow: "next", target: undefined, length: 3 });
    expect(flowOf(CALL, 1, 0, 0, 0)).toEqual({ flow: "call", target: TEXT + 6n, length: 5 });
    expect(flowOf(0xff, 0xd0)).toEqual({ flow: "call", target: undefined, length: 2 });
    expect(flowOf(RET)).toEqual({ flow: "return", target: undefined, length: 1 });
    expect(flowOf(JMP8, 0x10)).toEqual({ flow: "branch", target: TEXT + 18n, length: 2 });
    expect(flowOf(0x74, 0x10)).toEqual({ flow: "branch", target: TEXT + 18n, length: 2 });
    expect(flowOf(0xff, 0xe0)).toEqual({ flow: "branch", target: undefined, length: 2 });
    expect(flowOf(INT3)).toEqual({ flow: "other", target: undefined, length: 1 });
  });

  test("as many as cover what is wanted, each whole, with a jump back behind the last", () => {
    const { code, displaced } = moveRun(Uint8Array.of(...INC, ...INC, ...INC), TEXT, TEXT + 0x100n, 4);
    expect(displaced).toBe(6);
    expect(hex(code)).toBe(hex(Uint8Array.of(...INC, ...INC, ...branch32(JMP32, TEXT + 0x106n, TEXT + 6n))));
    expect(moveRun(Uint8Array.of(...INC, ...INC), TEXT, TEXT + 0x100n, 3).displaced).toBe(3);
    const { code: why, address, message } = refusalOf(() => moveRun(Uint8Array.of(...INC, RET), TEXT, TEXT, 4));
    expect([why, address]).toEqual(["unexpected-code", TEXT + 3n]);
    expect(message).toContain("cannot be displaced");
    expect(refusalOf(() => moveInstruction(Uint8Array.of(0x06, 0x1), TEXT, TEXT)).message).toContain(
      "06 01 is no instruction",
    );
  });

  test("a branch leads into a run only behind its first byte and before its end", () => {
    // jmp to each of the four bytes behind it in turn.
    const into = (to: number): boolean =>
      branchesInto(Uint8Array.of(0x90, JMP8, to - 3, 0x90, 0x90, 0x90, 0x90), TEXT, {
        start: TEXT + 3n,
        end: TEXT + 6n,
      });
    expect([3, 4, 5, 6].map(into)).toEqual([false, true, true, false]);
  });
});

describe("tables", () => {
  const table = BASE + 0x7000n;
  const words = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer);

  test("that are cut off say whose they are and how long, whatever they are of", () => {
    const cut: [string, number, () => unknown][] = [
      ["__x", 4, () => readRelativeSites(new Uint8Array(6), table, "__x")],
      ["__y", 8, () => readPointerSites(new Uint8Array(12), table, "__y")],
      ["__jump_table", 16, () => readJumpTable(new Uint8Array(24), table)],
      [".static_call_sites", 8, () => readStaticCalls(new Uint8Array(4), table)],
    ];
    for (const [name, entry, read] of cut) {
      const { code, address, message } = refusalOf(read);
      expect([code, address]).toEqual(["bad-table", table]);
      expect(message).toContain(`${name} has `);
      expect(message).toContain(`not a multiple of ${entry}`);
    }
  });

  test("have several entries, each counted from its own place", () => {
    expect(readPointerSites(new Uint8Array(BigUint64Array.of(0n, BASE, BASE + 8n).buffer), table, "t")).toEqual([
      BASE,
      BASE + 8n,
    ]);
    expect(readStaticCalls(words(0, 0x10, 8, 0x12), table)).toEqual([
      { address: table, key: table + 0x14n - (table % 4n), tail: false, init: false },
      { address: table + 16n, key: table + 12n + 0x10n, tail: false, init: true },
    ]);
    const labels = readJumpTable(
      Uint8Array.of(
        ...words(4, 8),
        ...new Uint8Array(BigInt64Array.of(0x100n).buffer),
        ...words(-4, -8),
        ...new Uint8Array(BigInt64Array.of(-0xfen).buffer),
      ),
      table,
    );
    expect(labels).toEqual([
      { address: table + 4n, target: table + 12n, key: table + 0x108n, branch: false, init: false },
      { address: table + 12n, target: table + 12n, key: table + 24n - 0x100n, branch: false, init: true },
    ]);
    expect(readRelativeSites(words(1), 0xffff_ffff_ffff_fff0n, "t")).toEqual([0xffff_ffff_ffff_fff1n]);
  });

  test("of alternatives are of the layout in which every entry is possible, and of neither otherwise", () => {
    const possible = (address: bigint): boolean => address >= BASE && address < BASE + 0x1_0000n;
    const read = (...tail: number[]) =>
      readAlternatives(Uint8Array.of(...words(-0x1000, -0x2000), ...tail), table, possible);
    expect(read(0xff, 0x07, 5, 5)[0]).toMatchObject({ feature: 2047, inverted: false, directCall: false });
    expect(read(0, 0, 2, 0, 5, 5)[0]).toMatchObject({ inverted: false, directCall: true });
    expect(read(0x10, 0, 1, 0, 5, 5)[0]).toMatchObject({ feature: 16, inverted: true, directCall: false });
    // Longer than what it replaces, and a feature that is none.
    for (const tail of [
      [0, 0, 5, 6],
      [0, 8, 5, 5],
      [0, 0, 0, 0, 5, 6],
    ]) {
      const { code, address } = refusalOf(() => read(...tail));
      expect([code, address]).toEqual(["unknown-layout", table]);
    }
    // Without a replacement it does not matter where that would be.
    const nowhere = Uint8Array.of(...words(-0x1000, 0x7000_0000), 0, 0, 5, 0);
    expect(readAlternatives(nowhere, table, possible)).toHaveLength(1);
    nowhere[11] = 1;
    expect(refusalOf(() => readAlternatives(nowhere, table, possible)).code).toBe("unknown-layout");
    // Seven narrow entries are as long as six wide ones: a later one decides.
    const many = new Uint8Array(84);
    for (let at = 0; at < 84; at += 14) many.set(Uint8Array.of(...words(-0x1000 - at, -0x2000), 0, 0, 0, 0, 5, 3), at);
    expect(readAlternatives(many, table, possible)).toHaveLength(6);
    expect(readAlternatives(new Uint8Array(0), table, possible)).toEqual([]);
  });
});

describe("boot patching", () => {
  const alternative = (change: Partial<AlternativeSite> = {}): AlternativeSite => ({
    address: BASE + 0x300n,
    length: 6,
    replacement: BASE + 0x4000n,
    replacementLength: 0,
    feature: 7,
    inverted: false,
    directCall: false,
    ...change,
  });

  test("an alternative that is a direct call goes where the pointer leads, and is refused where there is no such call", () => {
    const text = new Flat();
    const site = alternative({ directCall: true, length: 7 });
    text.put(site.address, [0xff, 0x15, 0xfa, 0x0c, 0, 0, 0x90]);
    text.put(BASE + 0x1000n, new Uint8Array(BigUint64Array.of(BASE + 0x2000n).buffer));
    expect(applyAlternatives(text, [site], state({ has: () => true }))).toBe(1);
    expect(text.hex(site.address, 7)).toBe(`${hex(branch32(CALL, site.address, BASE + 0x2000n))}6690`);
    for (const [bytes, length] of [
      [[0xff, 0x15, 0, 0, 0], 5],
      [[0xff, 0x25, 0, 0, 0, 0], 6],
      [[0xfe, 0x15, 0, 0, 0, 0], 6],
    ] as const) {
      text.put(site.address, bytes);
      const wrong = alternative({ directCall: true, length });
      expect(refusalOf(() => applyAlternatives(text, [wrong], state({ has: () => true }))).message).toContain(
        "is not an indirect call",
      );
    }
  });

  test("an alternative that changes nothing is not written, and is counted only where it is replaced", () => {
    const text = new Flat();
    text.put(BASE + 0x300n, nops(6));
    expect(applyAlternatives(text, [alternative()], state())).toBe(0);
    expect(applyAlternatives(text, [alternative()], state({ has: () => true }))).toBe(1);
    expect(text.why).toEqual([]);
    text.put(BASE + 0x4000n, [0xfa]);
    expect(applyAlternatives(text, [alternative({ replacementLength: 1 })], state({ has: () => true }))).toBe(1);
    expect(text.why).toEqual(["alternative 768"]);
    // A branch that is not alone in its replacement is not aimed anew.
    text.put(BASE + 0x4000n, [CALL, 1, 0, 0, 0, 0x90]);
    applyAlternatives(text, [alternative({ replacementLength: 6 })], state({ has: () => true }));
    expect(text.hex(BASE + 0x300n, 6)).toBe("e80100000090");
    // Forward, but not by two bytes: the short jump's own length is between.
    text.put(BASE + 0x4000n, branch32(JMP32, BASE + 0x4000n, BASE + 0x300n));
    applyAlternatives(text, [alternative({ replacementLength: 5 })], state({ has: () => true }));
    expect(text.hex(BASE + 0x300n, 2)).toBe("ebfe");
  });

  test("retpolines: what is no branch to one of the sixteen is refused, by its place", () => {
    const site = BASE + 0x100n;
    const apply = (bytes: Uint8Array | number[]): number => {
      const text = new Flat();
      text.put(site, bytes);
      return applyRetpolines(text, [site], state());
    };
    expect(apply(branch32(CALL, site, THUNKS + 15n * 32n))).toBe(1);
    // r8 is the first that needs a prefix of its own.
    for (const [register, bytes] of [
      [7n, "ffd70f1f00"],
      [8n, "41ffd06690"],
    ] as const) {
      const text = new Flat();
      text.put(site, branch32(CALL, site, THUNKS + register * 32n));
      applyRetpolines(text, [site], state());
      expect(text.hex(site, 5)).toBe(bytes);
    }
    for (const target of [THUNKS + 16n * 32n, THUNKS - 32n, THUNKS + 1n]) {
      const { address, message } = refusalOf(() => apply(branch32(CALL, site, target)));
      expect(address).toBe(site);
      expect(message).toContain(`goes to 0x${target.toString(16)}, which is no thunk of the sixteen`);
    }
    const none = refusalOf(() => apply([0x55, 0, 0, 0, 0]));
    expect(none.code).toBe("unexpected-code");
    expect(none.message).toContain("a retpoline site holds 55, not a call or jump");
    expect(refusalOf(() => apply([0x0f, 0x94, 0, 0, 0, 0])).message).toContain("holds f,");
  });

  test("retpolines: where the branch would end in the lower half of a line, a thunk of its own is called (ITS)", () => {
    const thunk = BASE + 0xc000n;
    const asked: number[] = [];
    const its = state({
      indirectItsThunk: (register) => {
        asked.push(register);
        return thunk;
      },
    });
    const apply = (site: bigint, form: readonly number[], register: number): string => {
      const text = new Flat();
      const length = form.length + 4;
      const away = Number(THUNKS + BigInt(32 * register) - site) - length;
      text.put(site, Uint8Array.of(...form, ...new Uint8Array(Int32Array.of(away).buffer)));
      expect(applyRetpolines(text, [site], its)).toBe(1);
      return text.hex(site, length);
    };
    // ff d0 ends in the byte behind the site: 0x1f is below, 0x20 above.
    expect(apply(BASE + 0x11en, [CALL], 0)).toBe(hex(branch32(CALL, BASE + 0x11en, thunk)));
    expect(apply(BASE + 0x11fn, [CALL], 0)).toBe("ffd00f1f00");
    expect(apply(BASE + 0x13en, [CALL], 0)).toBe("ffd00f1f00");
    expect(apply(BASE + 0x13fn, [JMP32], 0)).toBe(hex(branch32(JMP32, BASE + 0x13fn, thunk)));
    // 41 ff d3 is one longer.
    expect(apply(BASE + 0x11dn, [0x2e, CALL], 11)).toBe(`2e${hex(branch32(CALL, BASE + 0x11en, thunk))}`);
    expect(apply(BASE + 0x11en, [0x2e, CALL], 11)).toBe("41ffd30f1f00");
    // Behind the short jump of a conditional one.
    const conditional = BASE + 0x11cn;
    expect(apply(conditional, [0x0f, 0x84], 2)).toBe(
      `0f84${hex(branch32(JMP32, conditional + 1n, thunk).subarray(1))}`,
    );
    expect(apply(BASE + 0x11dn, [0x0f, 0x84], 2)).toBe("7504ffe2cc90");
    expect(asked).toEqual([0, 0, 11, 2]);
  });

  test("returns: as long as they are, or a jump to the thunk; those that are right already are not written", () => {
    expect(hex(returnAt(BASE, 1, state()))).toBe("c3");
    expect(hex(returnAt(BASE, 3, state()))).toBe("c3cccc");
    const text = new Flat();
    text.put(BASE, branch32(JMP32, BASE, BASE + 0x9000n));
    expect(applyReturns(text, [BASE], state({ returnThunk: () => BASE + 0x9000n }))).toBe(0);
    text.put(BASE, branch32(JMP32, BASE, BASE + 0x9001n));
    expect(refusalOf(() => applyReturns(text, [BASE], state())).message).toContain("does not jump to the return thunk");
    expect(text.why).toEqual([]);
  });

  test("lock prefixes of text that stays, once each way", () => {
    const text = new Flat();
    for (const at of [1n, 2n, 3n]) text.put(BASE + at, [0xf0]);
    const stays = (address: bigint): boolean => address !== BASE + 2n;
    const sites = [1n, 2n, 3n, 4n].map((at) => BASE + at);
    expect(switchSmpLocks(text, sites, 0x3e, stays)).toBe(2);
    expect(text.hex(BASE + 1n, 4)).toBe("3ef03e00");
    expect(switchSmpLocks(text, sites, 0xf0, stays)).toBe(2);
    expect(text.hex(BASE + 1n, 4)).toBe("f0f0f000");
    const none = { ...NO_TABLES, smpLocks: [BASE + 1n] };
    const locks = (cpus: number) => patchAlternatives(text, none, state({ cpus }), () => true)["smp-lock"];
    expect([locks(2), locks(1), locks(1)]).toEqual([0, 1, 0]);
  });

  test("static calls: what a site may hold, and what a conditional one of nothing leads to", () => {
    const holds = (...bytes: number[]): boolean => isStaticCall(Uint8Array.of(...bytes, 0, 0, 0, 0, 0));
    expect([holds(CALL), holds(JMP32), holds(RET), holds(0x0f, 0x80), holds(0x0f, 0x8f)]).toEqual(Array(5).fill(true));
    expect([holds(0x0f, 0x1f, 0x44), holds(0x2e, 0x2e, 0x2e, 0x31, 0xc0)]).toEqual([true, true]);
    expect([holds(0x0f, 0x90), holds(0x0f, 0x1f, 0x45), holds(0x2e, 0x2e, 0x2e, 0x31, 0xc1)]).toEqual(
      Array(3).fill(false),
    );
    const site = { address: BASE, key: BASE + 0x10n, tail: true, init: false };
    const jcc = Uint8Array.of(0x0f, 0x84, 0, 0, 0, 0);
    expect(hex(staticCallBytes(site, jcc, 0n, state()))).toBe(
      `0f84${hex(branch32(JMP32, BASE + 1n, BASE + 0x9000n).subarray(1))}`,
    );
    expect(hex(staticCallBytes(site, jcc, 0n, state({ returnThunk: () => BASE + 0x100n })))).toBe(
      `0f84${hex(branch32(JMP32, BASE + 1n, BASE + 0x100n).subarray(1))}`,
    );
    expect(refusalOf(() => staticCallBytes(site, jcc, 0n, state({ defaultReturnThunk: undefined }))).message).toContain(
      "without a return thunk to lead it to",
    );
    // A tail call of what returns 0 is a jump there.
    expect(hex(staticCallBytes(site, nops(6), BASE + 0xa000n, state()))).toBe(
      hex(branch32(JMP32, BASE, BASE + 0xa000n)),
    );
    const text = new Flat();
    text.put(BASE, [0x55]);
    expect(refusalOf(() => applyStaticCalls(text, [site], state())).address).toBe(BASE);
  });

  test("each class says how many sites it changed, of which none is left to be changed then", () => {
    const text = new Flat();
    const key = BASE + 0x10n;
    const sites = [0n, 8n, 16n].map((at) => text.put(BASE + 0x100n + at, branch32(CALL, BASE + 0x100n + at, BASE)));
    const trampolines = [0n, 8n].map((at) => ({ address: BASE + 0x200n + at, key }));
    for (const { address } of trampolines) text.put(address, branch32(JMP32, address, BASE));
    text.put(BASE + 0x300n, nops(5));
    const tables = {
      ...NO_TABLES,
      jumpLabels: [{ address: BASE + 0x300n, target: BASE + 0x340n, key, branch: true, init: false }],
      staticCalls: sites.slice(0, 2).map((address) => ({ address, key, tail: false, init: false })),
      trampolines,
      ftrace: sites.slice(2),
    };
    const aimed = state({ staticCallTarget: () => BASE + 0x800n });
    expect(patchEarly(text, tables, aimed)).toEqual({ "jump-label": 1, "static-call": 2 });
    expect(patchTrampolines(text, tables, aimed)).toEqual({ "static-call": 2 });
    expect(patchFtrace(text, tables)).toEqual({ ftrace: 1 });
    expect(patchEarly(text, tables, aimed)).toEqual({ "jump-label": 0, "static-call": 0 });
    expect(patchTrampolines(text, tables, aimed)).toEqual({ "static-call": 0 });
    expect(patchFtrace(text, tables)).toEqual({ ftrace: 0 });
    expect(text.why).toEqual([
      "jump-label 768",
      "static-call 256",
      "static-call 264",
      "static-call 512",
      "static-call 520",
      "ftrace 272",
    ]);
  });

  test("jump labels are two bytes or five, and nothing else", () => {
    const length = (...bytes: number[]): number => jumpLabelLength(Uint8Array.of(...bytes, 0, 0, 0, 0), BASE);
    expect([length(JMP8), length(0x66, 0x90), length(JMP32), length(0x0f, 0x1f, 0x44)]).toEqual([2, 2, 5, 5]);
    for (const bytes of [
      [0x66, 0x91],
      [0x67, 0x90],
      [0x0f, 0x1f, 0x40],
    ])
      expect(refusalOf(() => length(...bytes)).message).toContain("holds neither jump nor no-op");
  });
});

describe("at run time", () => {
  const HOLDERS = [0, 1];

  test("each refusal names its site and what would do", () => {
    const kernel = makeKernel(HOLDERS);
    const { poke } = kernel;
    const five = nops(5);
    const cases: [string, bigint, string, () => unknown][] = [
      [
        "unsorted",
        TEXT,
        "sort them, or use queue",
        () => {
          poke.batch([
            { address: TEXT, bytes: five },
            { address: TEXT, bytes: five },
          ]);
        },
      ],
      [
        "not-mapped",
        TEXT + 0x10_0000n,
        "on node 0; map it",
        () => {
          poke.batch([{ address: TEXT + 0x10_0004n, bytes: five }]);
        },
      ],
      [
        "not-executable",
        YOUNG,
        "not executable on node 0",
        () => {
          poke.batch([{ address: YOUNG, bytes: five }]);
        },
      ],
      [
        "cleared",
        TEXT,
        "use poke or batch",
        () => {
          poke.early(TEXT, five);
        },
      ],
      [
        "too-long",
        TEXT,
        "4097 bytes; a poke reaches at most two pages",
        () => {
          poke.poke(TEXT, new Uint8Array(4097));
        },
      ],
      [
        "too-long",
        TEXT,
        "257 sites; a batch has at most 256",
        () =>
          poke
            .batchSteps(Array.from({ length: 257 }, (_, i) => ({ address: TEXT + BigInt(8 * i), bytes: five })))
            .next(),
      ],
      [
        "not-text",
        kernel.image.etext + kernel.layout.imageOffset - 1n,
        "use batch",
        () => {
          poke.copy(kernel.image.etext + kernel.layout.imageOffset - 1n, five);
        },
      ],
    ];
    for (const [code, address, part, act] of cases) {
      const refusal = refusalOf(act);
      expect([refusal.code, refusal.address]).toEqual([code, address]);
      expect(refusal.message).toContain(part);
    }
    expect(poke.cost).toMatchObject({ framesWritten: 0, bytesWritten: 0, syncs: 0, rootSwitches: 0 });
    poke.poke(TEXT, new Uint8Array(4096));
    poke.batch([]);
    poke.finish();
    expect(poke.cost).toMatchObject({ framesWritten: 2, bytesWritten: 2 * 4096, syncs: 0, interrupts: 0 });
  });

  test("who meets another's patch is told to wait, and text is as it was when that is given up", () => {
    const { poke } = makeKernel(HOLDERS);
    const steps = poke.batchSteps([{ address: TEXT, bytes: nops(5) }]);
    steps.next();
    expect(poke.underWay).toEqual([{ start: TEXT, end: TEXT + 5n }]);
    expect(
      refusalOf(() => {
        poke.poke(TEXT + 64n, nops(1));
      }).message,
    ).toContain("another patch is under way; wait for it");
    expect(
      refusalOf(() => {
        poke.batch([{ address: TEXT + 64n, bytes: nops(1) }]);
      }).message,
    ).toContain("a batch meets another");
    expect(
      refusalOf(() => {
        poke.pokeStopped(TEXT + 64n, nops(1));
      }).message,
    ).toContain("when the machine stopped");
    steps.return();
    expect([poke.underWay, poke.breakpoint(TEXT)]).toEqual([[], undefined]);
    poke.poke(TEXT + 64n, nops(1));
  });

  test("every site of a batch is answered for at its own address, and no other is", () => {
    const { poke } = makeKernel(HOLDERS);
    const sites = [0n, 8n, 24n, 40n, 48n].map((at) => TEXT + at);
    const steps = poke.batchSteps(
      sites.map((address) => ({ address, bytes: nops(5), emulate: branch32(JMP32, address, address + 99n) })),
    );
    steps.next();
    expect(sites.map((site) => poke.breakpoint(site))).toEqual(sites.map((site) => ({ kind: "jump", to: site + 99n })));
    for (const at of [-8n, 1n, 16n, 32n, 44n, 56n]) expect(poke.breakpoint(TEXT + at)).toBeUndefined();
    steps.return();
  });

  test("a batch of 257 sites is two, and so is what is gathered beyond 256 or does not ascend", () => {
    const { poke } = makeKernel([0]);
    const sites = Array.from({ length: 257 }, (_, i) => ({ address: TEXT + BigInt(8 * i), bytes: nops(5) }));
    const syncs = (work: () => void): number => {
      const before = poke.cost.syncs;
      work();
      return poke.cost.syncs - before;
    };
    expect(
      syncs(() => {
        poke.batch(sites);
      }),
    ).toBe(6);
    expect(
      syncs(() => {
        poke.batch(sites.slice(1));
      }),
    ).toBe(3);
    expect(
      syncs(() => {
        for (const site of sites) poke.queue(site);
      }),
    ).toBe(3);
    expect(
      syncs(() => {
        poke.finish();
      }),
    ).toBe(3);
    expect(
      syncs(() => {
        poke.queue(sites[3]!);
        poke.queue(sites[3]!);
      }),
    ).toBe(3);
    expect(
      syncs(() => {
        poke.finish();
      }),
    ).toBe(3);
  });

  test("steps say what was written where: bytes one by one in every copy, a synchronisation after each phase", () => {
    const { poke } = makeKernel(HOLDERS);
    const said = (steps: Iterable<PokeStep>): string[] =>
      [...steps].map(({ phase, address, node, synchronised }) =>
        synchronised === true ? `sync ${phase}` : `${phase} ${address - TEXT} on ${node}`,
      );
    expect(said(poke.batchSteps([{ address: TEXT, bytes: Uint8Array.of(JMP8, 0x10) }]))).toEqual([
      "int3 0 on 0",
      "int3 0 on 1",
      "sync int3",
      "tail 1 on 0",
      "tail 1 on 1",
      "sync tail",
      "first 0 on 0",
      "first 0 on 1",
      "sync first",
    ]);
    expect(said(poke.batchSteps([{ address: TEXT, bytes: nops(1) }]))).toEqual([
      "int3 0 on 0",
      "int3 0 on 1",
      "sync int3",
      "first 0 on 0",
      "first 0 on 1",
      "sync first",
    ]);
    expect(poke.cost.interrupts).toBe(3 * poke.cost.syncs);
  });

  test("a byte that differs is said by node and place, and what is read is of the lowest holder, over pages", () => {
    const kernel = makeKernel(HOLDERS);
    const { poke } = kernel;
    const bytes = Uint8Array.from({ length: 8 }, (_, i) => i + 1);
    poke.copy(TEXT + 4092n, bytes);
    expect([...poke.read(bytesAt(TEXT + 4090n, 12))]).toEqual([0, 0, ...bytes, 0, 0]);
    poke.verify(TEXT + 4092n, bytes);
    kernel.machine.memory.writeBytes((BigInt(kernel.frame(1, 1)) << 12n) + 1n, Uint8Array.of(0xee));
    expect(() => {
      poke.verify(TEXT + 4092n, bytes);
    }).toThrow(InvariantError);
    expect(() => {
      poke.verify(TEXT + 4092n, bytes);
    }).toThrow(`the copy of node 1 holds 0xee at 0x${(TEXT + 4097n).toString(16)}, not 0x6`);
    expect([...poke.read(bytesAt(TEXT + 4096n, 3))]).toEqual([5, 6, 7]);
  });

  test("text that is written, or waits to be, is somebody's: to its last byte, and no further", () => {
    const { poke, textUsers } = makeKernel(HOLDERS);
    const refused = (start: bigint, length: number): string => {
      try {
        textUsers.release([bytesAt(start, length)]);
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    };
    poke.queue({ address: TEXT + 16n, bytes: nops(5) });
    expect(refused(TEXT + 20n, 1)).toContain("is queued: finish it first");
    expect([refused(TEXT + 21n, 1), refused(TEXT, 16)]).toEqual(["", ""]);
    poke.finish();
    expect(refused(TEXT + 16n, 5)).toBe("");
    const steps = poke.batchSteps([{ address: TEXT + 32n, bytes: nops(5) }]);
    steps.next();
    expect(textUsers.writing).toBe(true);
    expect(refused(TEXT + 36n, 1)).toContain("is under way: let it finish first");
    expect([refused(TEXT + 37n, 1), refused(TEXT + 31n, 1)]).toEqual(["", ""]);
    steps.return();
    expect(textUsers.writing).toBe(false);
  });
});

describe("those who patch", () => {
  function start(): PatchKernel & ReturnType<typeof areasOn> {
    const kernel = makeKernel([0, 1]);
    return { ...kernel, ...areasOn(kernel) };
  }
  const goes = (start: bigint, length: number): AddressRange => bytesAt(start, length);

  test("slots: as many as fit a page, INT3 until they are written and when they are given back", () => {
    const { pages, poke } = start();
    const slots = pages(2048);
    const [first, second, third] = [slots.take(), slots.take(), slots.take()];
    expect([second - first, slots.areas.length]).toEqual([2048n, 2]);
    expect(third).not.toBe(first);
    slots.write(first, new Uint8Array(2048).fill(0x90));
    expect(poke.read(bytesAt(first + 2046n, 3))).toEqual(Uint8Array.of(0x90, 0x90, INT3));
    const long = refusalOf(() => {
      slots.write(first, new Uint8Array(2049));
    });
    expect([long.code, long.address]).toEqual(["too-long", first]);
    expect(long.message).toContain("2049 bytes do not fit a slot of 2048");
    slots.give(first);
    expect(poke.read(bytesAt(first, 2048)).every((byte) => byte === INT3)).toBe(true);
    for (const wrong of [first, first + 1n, third + 2048n, third + 4096n, third - 1n]) {
      const { code, address } = refusalOf(() => {
        slots.give(wrong);
      });
      expect([code, address]).toEqual(["no-slot", wrong]);
    }
    expect(slots.take()).toBe(first);
  });

  test("static keys: counted from what they were, switched by the first and the last user alone", () => {
    const { poke } = start();
    const label = (at: bigint, key: bigint, branch = false, init = false) => ({
      address: TEXT + at,
      target: TEXT + at + 16n,
      key,
      branch,
      init,
    });
    poke.poke(TEXT, nops(5));
    poke.poke(TEXT + 8n, nops(2));
    const keys = new JumpLabels(poke, [label(8n, 1n), label(0n, 1n), label(32n, 2n, false, true)], (key) =>
      key === 2n ? 3 : 0,
    );
    expect([keys.keys, keys.enabled(1n), keys.enabled(2n), keys.enabled(3n)]).toEqual([[1n, 2n], false, true, false]);
    expect(keys.sitesOf(1n).map(({ address }) => address)).toEqual([TEXT, TEXT + 8n]);
    expect([...keys.sites()]).toEqual([TEXT, TEXT + 8n]);
    keys.increment(1n);
    expect([hex(poke.read(bytesAt(TEXT, 5))), hex(poke.read(bytesAt(TEXT + 8n, 2)))]).toEqual(["e90b000000", "eb0e"]);
    const { syncs } = poke.cost;
    keys.increment(1n);
    keys.decrement(1n);
    keys.decrement(2n);
    expect([poke.cost.syncs, keys.enabled(1n)]).toEqual([syncs, true]);
    keys.decrement(1n);
    expect([hex(poke.read(bytesAt(TEXT, 5))), hex(poke.read(bytesAt(TEXT + 8n, 2)))]).toEqual([hex(nops(5)), "6690"]);
    expect(
      refusalOf(() => {
        keys.decrement(1n);
      }).message,
    ).toContain("the key is off already");
    expect(
      refusalOf(() => {
        keys.increment(7n);
      }).message,
    ).toContain("no jump label has this key");
    keys.forget(goes(TEXT + 8n, 1));
    expect(keys.sitesOf(1n).map(({ address }) => address)).toEqual([TEXT]);
    keys.forget(goes(2n, 1));
    expect(keys.keys).toEqual([1n]);
    keys.forget(goes(TEXT + 1n, 64));
    expect(keys.keys).toEqual([1n]);
    keys.forget(goes(TEXT, 1));
    expect(keys.keys).toEqual([]);
  });

  test("static calls: init text is left alone, trampolines follow, and only text that stays keeps what it is aimed at", () => {
    const { poke } = start();
    const [site, init, trampoline, key] = [TEXT, TEXT + 16n, TEXT + 32n, 0x1000n];
    for (const at of [site, init, trampoline]) poke.poke(at, branch32(at === trampoline ? JMP32 : CALL, at, SHARED));
    const calls = new StaticCalls(
      poke,
      [
        { address: site, key, tail: false, init: false },
        { address: init, key, tail: false, init: true },
      ],
      [{ address: trampoline, key }],
      state(),
    );
    const target = TEXT + 0x800n;
    calls.update(key, target);
    expect([site, init, trampoline].map((at) => targetOf(poke.read(bytesAt(at, 5)), 1, at + 5n))).toEqual([
      target,
      SHARED,
      target,
    ]);
    expect([...calls.sites()].sort((a, b) => Number(a - b))).toEqual([site, trampoline, target]);
    expect(calls.refusal(goes(target, 1))).toContain(`is aimed at 0x${target.toString(16)}: aim it elsewhere first`);
    expect([calls.refusal(goes(target + 1n, 8)), calls.refusal(goes(TEXT, 0x1000))]).toEqual([undefined, undefined]);
    expect(
      refusalOf(() => {
        calls.update(0x2000n, target);
      }).message,
    ).toContain("no static call has this key");
    poke.poke(site, Uint8Array.of(0x55));
    expect(
      refusalOf(() => {
        calls.update(key, SHARED);
      }).message,
    ).toContain("holds no call, jump, return or no-op");
    calls.forget(goes(trampoline, 1));
    expect([...calls.sites()]).not.toContain(trampoline);
    expect(calls.keys).toEqual([key]);
    calls.forget(goes(key, 1));
    expect([calls.keys, [...calls.sites()]]).toEqual([[], []]);
  });

  test("traced functions: all sites are looked at before the first is written", () => {
    const { poke, pages } = start();
    for (const at of [0n, 16n]) poke.poke(TEXT + at, nops(5));
    const ftrace = new Ftrace(poke, pages(64), [TEXT, TEXT + 16n]);
    const trampoline = ftrace.trampoline(() => Uint8Array.of(RET));
    const { code, address } = refusalOf(() => {
      ftrace.enable([TEXT, TEXT + 8n], trampoline);
    });
    expect([code, address]).toEqual(["no-site", TEXT + 8n]);
    expect([ftrace.target(TEXT), hex(poke.read(bytesAt(TEXT, 5)))]).toEqual([undefined, hex(nops(5))]);
    ftrace.enable([TEXT + 16n, TEXT, TEXT], trampoline);
    expect([ftrace.target(TEXT), ftrace.target(TEXT + 16n)]).toEqual([trampoline, trampoline]);
    const used = refusalOf(() => {
      ftrace.dropTrampoline(trampoline);
    });
    expect([used.code, used.message.includes("still calls this trampoline")]).toEqual(["taken", true]);
    poke.poke(TEXT, nops(5));
    expect(
      refusalOf(() => {
        ftrace.disable([TEXT]);
      }).message,
    ).toContain("neither the no-op nor the call");
    ftrace.forget(goes(TEXT + 16n, 1));
    expect([ftrace.target(TEXT + 16n), [...ftrace.sites()]]).toEqual([undefined, [TEXT]]);
    expect(
      refusalOf(() => {
        ftrace.trampoline(() => new Uint8Array(65));
      }).code,
    ).toBe("too-long");
  });

  test("probes: none where one is, none where a breakpoint is, and each refusal leaves the text", () => {
    const { poke, pages } = start();
    // inc rax, twice, then a call through a register, then a return.
    const code = Uint8Array.of(0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0xff, 0xd0, RET);
    poke.poke(TEXT, code);
    const [slots, detours] = [pages(32), pages(128)];
    const probes = new Kprobes(poke, slots, detours);
    probes.arm(TEXT + 6n);
    expect(probes.hit(TEXT + 6n)).toMatchObject({ kind: "single-step", next: TEXT + 8n });
    expect(probes.hit(TEXT + 7n)).toBeUndefined();
    probes.arm(TEXT + 8n);
    expect(probes.hit(TEXT + 8n)).toEqual({ kind: "emulate", effect: { kind: "return" } });
    for (const at of [6n, 8n]) probes.disarm(TEXT + at);
    expect([hex(poke.read(bytesAt(TEXT, 9))), slots.areas.length]).toEqual([hex(code), 0]);
    expect(
      refusalOf(() => {
        probes.unoptimise(TEXT);
      }).message,
    ).toContain("no probe is armed there");
    expect(
      refusalOf(() => {
        probes.optimise(TEXT, code, TEXT, 9);
      }).code,
    ).toBe("no-site");
    probes.arm(TEXT);
    // Six bytes would be covered: a function that ends before keeps its INT3, one that ends there does not.
    expect(
      refusalOf(() => {
        probes.optimise(TEXT, new Uint8Array(0), TEXT, 5);
      }).message,
    ).toMatch(/^(unexpected|not-deco)/);
    probes.optimise(TEXT, new Uint8Array(0), TEXT, 6);
    expect(poke.read(bytesAt(TEXT, 1))[0]).toBe(JMP32);
    expect(detours.areas.length).toBe(1);
    probes.optimise(TEXT, new Uint8Array(0), TEXT, 6);
    probes.unoptimise(TEXT);
    probes.unoptimise(TEXT);
    expect([hex(poke.read(bytesAt(TEXT, 9))), detours.areas.length]).toEqual([`cc${hex(code.subarray(1))}`, 0]);
    probes.disarm(TEXT);
    const points = new DebuggerBreakpoints(poke);
    points.set(TEXT);
    expect(
      refusalOf(() => {
        points.set(TEXT);
      }).message,
    ).toContain("has a breakpoint already");
    expect(
      refusalOf(() => {
        probes.arm(TEXT);
      }).message,
    ).toContain("holds a breakpoint already");
    expect([...points.sites()]).toEqual([TEXT]);
    points.forget(goes(TEXT + 1n, 9));
    points.remove(TEXT);
    expect(
      refusalOf(() => {
        points.remove(TEXT);
      }).message,
    ).toContain("has no breakpoint");
    points.set(TEXT);
    points.forget(goes(TEXT, 1));
    expect([...points.sites()]).toEqual([]);
  });
});
