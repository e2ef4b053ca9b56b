/**
 * Random instruction instances: for each family a generator of assembler text, operands of every size and addressing
 * form, and of the states to run it in. The text goes through gas, so the encoding is not ours to get wrong.
 */
import {
  CODE,
  DATA,
  CONDITIONS,
  SIZES,
  WIDE,
  name,
  Registers,
  u64,
  address,
  memory,
  type Operand,
  type Shape,
  type State,
} from "./instance-operands.js";
import type { Random } from "./random.js";

const nothing = (): void => undefined;
const immediate = (r: Random, bits: number): string => {
  const width = bits === 64 ? 32 : bits;
  const raw = BigInt.asIntN(width, r.value());
  return String(r.chance(40) ? BigInt.asIntN(8, raw) : raw);
};
const prefixed = (r: Random, text: string): string =>
  r.chance(30) ? `${r.pick(["{load}", "{store}"])} ${text}` : text;

type Family = (r: Random) => Shape;

/** dst, src in all four forms. */
const binary =
  (mnemonic: string, forms: string, sizes: readonly number[] = SIZES, feature?: string, lock = false): Family =>
  (r) => {
    const bits = r.pick(sizes);
    const registers = new Registers(r, bits);
    const form = r.pick([...forms]);
    const extra = feature === undefined ? {} : { feature };
    const make = (text: string, m?: Operand): Shape => ({
      text,
      mnemonic,
      bits,
      ...extra,
      prepare: m?.prepare ?? nothing,
      ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
    });
    if (form === "r") return make(prefixed(r, `${mnemonic} ${registers.operand(bits)}, ${registers.operand(bits)}`));
    if (form === "i") return make(`${mnemonic} ${registers.operand(bits)}, ${immediate(r, bits)}`);
    const m = memory(r, bits, registers);
    if (form === "l") return make(`${mnemonic} ${registers.operand(bits)}, ${m.text}`, m);
    const prefix = lock && r.chance(40) ? "lock " : "";
    if (form === "s") return make(`${prefix}${mnemonic} ${m.text}, ${registers.operand(bits)}`, m);
    return make(`${prefix}${mnemonic} ${m.text}, ${immediate(r, bits)}`, m);
  };

const unary =
  (
    mnemonic: string,
    sizes: readonly number[] = SIZES,
    lock = false,
    settle?: (state: State, r: Random, bits: number) => void,
  ): Family =>
  (r) => {
    const bits = r.pick(sizes);
    const registers = new Registers(r, bits);
    if (r.chance(50))
      return {
        text: `${mnemonic} ${registers.operand(bits)}`,
        mnemonic,
        bits,
        prepare: (s, q) => settle?.(s, q, bits),
      };
    const m = memory(r, bits, registers);
    return {
      text: `${lock && r.chance(40) ? "lock " : ""}${mnemonic} ${m.text}`,
      mnemonic,
      bits,
      ...(m.codeAt ? { codeAt: m.codeAt } : {}),
      prepare: (s, q) => {
        settle?.(s, q, bits);
        m.prepare(s, q);
      },
    };
  };

/** Dividends that mostly fit, so that both results and faults are seen. */
const dividend =
  (signed: boolean) =>
  (state: State, r: Random, bits: number): void => {
    if (r.chance(25)) return;
    if (r.chance(30)) {
      // At the edge of what fits: plus or minus the smallest quotient, divided by 1 or -1.
      const edge = (1n << BigInt(signed ? bits - 1 : bits)) + BigInt(r.below(3) - 1);
      const whole = BigInt.asUintN(2 * bits, r.chance(50) ? edge : -edge);
      for (const n of [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) state.registers[n] = r.chance(50) ? 1n : u64(-1n);
      state.registers[0] = bits === 8 ? whole : BigInt.asUintN(bits, whole);
      if (bits !== 8) state.registers[2] = whole >> BigInt(bits);
      return;
    }
    if (bits === 8) state.registers[0] = BigInt(r.below(r.chance(50) ? 0x100 : 0x10000));
    else
      state.registers[2] = signed
        ? BigInt.asIntN(bits, state.registers[0]!) < 0n
          ? u64(-1n)
          : 0n
        : BigInt(r.below(r.pick([1, 100, 1 << 30])));
  };

const shiftFamily =
  (mnemonic: string): Family =>
  (r) => {
    const bits = r.pick(SIZES);
    const registers = new Registers(r, bits);
    const m = r.chance(50) ? memory(r, bits, registers) : undefined;
    const destination = m?.text ?? registers.operand(bits);
    const common = { mnemonic, bits, prepare: m?.prepare ?? nothing, ...(m?.codeAt ? { codeAt: m.codeAt } : {}) };
    if (r.chance(40)) return { text: `${mnemonic} ${destination}, cl`, ...common };
    const count = r.pick([1, 1, r.below(bits), r.below(256)]);
    return { text: `${mnemonic} ${destination}, ${count}`, count, ...common };
  };

const doubleShift =
  (mnemonic: string): Family =>
  (r) => {
    const bits = r.pick(WIDE);
    const registers = new Registers(r, bits);
    const m = r.chance(50) ? memory(r, bits, registers) : undefined;
    const operands = `${m?.text ?? registers.operand(bits)}, ${registers.operand(bits)}`;
    const common = { mnemonic, bits, prepare: m?.prepare ?? nothing, ...(m?.codeAt ? { codeAt: m.codeAt } : {}) };
    if (r.chance(40)) return { text: `${mnemonic} ${operands}, cl`, ...common };
    const count = r.pick([1, r.below(bits), r.below(256)]);
    return { text: `${mnemonic} ${operands}, ${count}`, count, ...common };
  };

const extension =
  (mnemonic: string, pairs: readonly (readonly [number, number])[]): Family =>
  (r) => {
    const [bits, from] = r.pick(pairs);
    const registers = new Registers(r, from === 8 && bits !== 64 ? 8 : 32);
    const m = r.chance(50) ? memory(r, from, registers) : undefined;
    const destination = registers.legacy ? name(r.below(8), bits) : name(registers.number(), bits);
    return {
      text: `${mnemonic} ${destination}, ${m?.text ?? registers.operand(from)}`,
      mnemonic,
      bits,
      prepare: m?.prepare ?? nothing,
      ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
    };
  };

const bitTest =
  (mnemonic: string): Family =>
  (r) => {
    const bits = r.pick(WIDE);
    const registers = new Registers(r, bits);
    if (r.chance(30))
      return {
        text: `${mnemonic} ${registers.operand(bits)}, ${r.chance(50) ? registers.operand(bits) : r.below(256)}`,
        mnemonic,
        bits,
        prepare: nothing,
      };
    const m = memory(r, bits, registers);
    const lock = mnemonic !== "bt" && r.chance(40) ? "lock " : "";
    const codeAt = m.codeAt ? { codeAt: m.codeAt } : {};
    if (r.chance(40))
      return { text: `${lock}${mnemonic} ${m.text}, ${r.below(256)}`, mnemonic, bits, ...codeAt, prepare: m.prepare };
    const offset = registers.number();
    return {
      text: `${lock}${mnemonic} ${m.text}, ${name(offset, bits)}`,
      mnemonic,
      bits,
      ...codeAt,
      prepare: (state, s) => {
        m.prepare(state, s);
        // Within some hundred bytes either way, unless the register is part of the address.
        const small = u64(BigInt(s.below(6000) - 3000));
        if (!new RegExp(`\\b[er]?${name(offset, 64).slice(1)}\\b|\\b${name(offset, 32)}\\b`).test(m.text))
          state.registers[offset] =
            bits === 64 ? small : u64((s.wide() & ~((1n << BigInt(bits)) - 1n)) | BigInt.asUintN(bits, small));
      },
    };
  };

/** dst, src, src2 of BMI: one source may be memory. @param memoryAt 1 or 2 */
const vex =
  (mnemonic: string, operands: 2 | 3, memoryAt: 1 | 2, feature: string): Family =>
  (r) => {
    const bits = r.pick([32, 64]);
    const registers = new Registers(r, bits);
    const m = r.chance(45) ? memory(r, bits, registers) : undefined;
    const list = Array.from({ length: operands }, (_, n) =>
      n === memoryAt && m !== undefined ? m.text : registers.operand(bits),
    );
    return {
      text: `${mnemonic} ${list.join(", ")}`,
      mnemonic,
      bits,
      feature,
      prepare: m?.prepare ?? nothing,
      ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
    };
  };

const rorx: Family = (r) => {
  const bits = r.pick([32, 64]);
  const registers = new Registers(r, bits);
  const m = r.chance(45) ? memory(r, bits, registers) : undefined;
  return {
    text: `rorx ${registers.operand(bits)}, ${m?.text ?? registers.operand(bits)}, ${r.below(256)}`,
    mnemonic: "rorx",
    bits,
    feature: "bmi2",
    prepare: m?.prepare ?? nothing,
    ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
  };
};

const lone =
  (text: string, mnemonic = text, feature?: string): Family =>
  () => ({ text, mnemonic, bits: 64, prepare: nothing, ...(feature ? { feature } : {}) });

/** String instructions: pointers into the page, a count now and then beyond its end. */
const stringFamily =
  (stem: string, repeats: readonly string[]): Family =>
  (r) => {
    const size = r.pick(["b", "w", "d", "q"]);
    const bits = { b: 8, w: 16, d: 32, q: 64 }[size]!;
    const prefix = r.pick(repeats);
    const narrow = r.chance(20);
    return {
      text: `${prefix === "" ? "" : `${prefix} `}${narrow ? "addr32 " : ""}${stem}${size}`,
      mnemonic: stem,
      bits,
      prepare: (state, s) => {
        const near = (): bigint => {
          const at = s.chance(85)
            ? DATA + 256n + BigInt(s.below(3500))
            : narrow
              ? DATA + 4096n - BigInt(s.below(64))
              : address(s, 8, true);
          return narrow ? at | (BigInt(s.word()) << 32n) : at;
        };
        state.registers[6] = near();
        state.registers[7] = s.chance(40) ? u64(state.registers[6]! + BigInt(s.below(40) - 20)) : near();
        state.registers[1] = BigInt(s.below(24)) | (narrow ? BigInt(s.word()) << 32n : 0n);
        if (s.chance(30)) state.flags |= 0x400n;
        if (s.chance(40)) {
          // Equal stretches, so that comparisons run on.
          state.pokeAt = DATA + 256n + BigInt(s.below(3500));
          state.pokeBytes = 32;
          state.poke = [0n, 0n, 0n, 0n];
          state.registers[7] = state.pokeAt + 16n;
          if (s.chance(50)) state.registers[6] = state.pokeAt;
          if (s.chance(50)) state.registers[0] = 0n;
          if (narrow && s.chance(50)) state.registers[7] = state.pokeAt;
        }
      },
    };
  };

/** Puts the stack pointer (register 4) into the page. */
const onStack = (state: State, r: Random): void => {
  state.registers[4] = r.chance(90) ? DATA + 256n + BigInt(r.below(3500)) : address(r, 8, true);
};

const pushPop: Family = (r) => {
  const registers = new Registers(r, 64);
  const bits = r.pick([16, 64, 64]);
  const kind = r.below(8);
  if (kind === 0)
    return {
      text: bits === 16 ? `pushw ${r.below(0x7fff)}` : `push ${immediate(r, 64)}`,
      mnemonic: "push",
      bits,
      prepare: onStack,
    };
  if (kind === 1 || kind === 2) {
    const m = memory(r, bits, registers);
    return {
      text: `${kind === 1 ? "push" : "pop"} ${m.text}`,
      mnemonic: "push",
      bits,
      ...(m.codeAt ? { codeAt: m.codeAt } : {}),
      prepare: (s, q) => {
        onStack(s, q);
        m.prepare(s, q);
      },
    };
  }
  return { text: `${r.pick(["push", "pop"])} ${name(r.below(16), bits)}`, mnemonic: "push", bits, prepare: onStack };
};

/** POPF: TF would trap in the middle of the exit code, AC could fault there. */
const popf: Family = (r) => {
  const bits = r.pick([16, 64]);
  return {
    text: bits === 16 ? "popfw" : "popfq",
    mnemonic: "popf",
    bits,
    prepare: (state, s) => {
      state.registers[4] = DATA + 256n + BigInt(s.below(3500));
      state.pokeAt = state.registers[4]!;
      state.pokeBytes = 8;
      state.poke = [s.wide() & ~0x4_0100n, 0n, 0n, 0n];
    },
  };
};

const frame: Family = (r) => {
  const kind = r.below(3);
  if (kind === 0)
    return {
      text: `enter ${r.below(300)}, ${r.chance(50) ? 0 : r.below(8)}`,
      mnemonic: "enter",
      bits: 64,
      prepare: (s, q) => {
        onStack(s, q);
        if (q.chance(30)) s.registers[4] = DATA + 8n + BigInt(q.below(400));
        s.registers[5] = DATA + 512n + BigInt(q.below(3000));
      },
    };
  return {
    text: kind === 1 ? "leave" : "leavew",
    mnemonic: "leave",
    bits: 64,
    prepare: (s, q) => {
      onStack(s, q);
      s.registers[5] = address(q, 8, true);
    },
  };
};

/** Bytes from the end of the instruction to the "taken" stub: see native/runner.c. */
const TAKEN = 14;
const relative =
  (mnemonic: string, counts: boolean): Family =>
  (r) => {
    const wide = !counts && r.chance(40);
    const addressed = counts && r.chance(30);
    // @ stands for the address after the instruction: assemble.ts puts a label there.
    const text = `${wide ? "{disp32} " : ""}${addressed ? "addr32 " : ""}${mnemonic} @+${TAKEN}`;
    return {
      text,
      mnemonic,
      bits: 64,
      prepare: (state, s) => {
        onStack(state, s);
        if (counts)
          state.registers[1] = s.chance(70)
            ? BigInt(s.below(3)) | (s.chance(40) ? BigInt(s.below(2)) << 32n : 0n)
            : s.value();
      },
    };
  };

const indirect: Family = (r) => {
  const registers = new Registers(r, 64);
  const what = r.pick(["jmp", "call"]);
  const at = CODE + 32n + BigInt(r.below(8000));
  const fit = (length: number): bigint => at - BigInt(length);
  const target = (s: Random): bigint =>
    s.chance(90) ? at + BigInt(TAKEN) : s.pick([0x8000_0001_0000n, u64(-(1n << 47n) - 0x1_0001n), at + BigInt(TAKEN)]);
  if (r.chance(50)) {
    const n = registers.number();
    return {
      text: `${what} ${name(n, 64)}`,
      mnemonic: what,
      bits: 64,
      codeAt: fit,
      prepare: (s, q) => {
        onStack(s, q);
        s.registers[n] = target(q);
      },
    };
  }
  let m = memory(r, 64, registers);
  while (m.codeAt) m = memory(r, 64, registers);
  return {
    text: `${what} ${m.text}`,
    mnemonic: what,
    bits: 64,
    codeAt: fit,
    prepare: (s, q) => {
      onStack(s, q);
      m.prepare(s, q);
      s.poke[0] = target(q);
    },
  };
};

const ret: Family = (r) => {
  const at = CODE + 32n + BigInt(r.below(8000));
  return {
    text: r.chance(50) ? "ret" : `ret ${r.below(200)}`,
    mnemonic: "ret",
    bits: 64,
    codeAt: (length) => at - BigInt(length),
    prepare: (state, s) => {
      onStack(state, s);
      if (state.registers[4]! < DATA || state.registers[4]! > DATA + 4088n) return;
      state.pokeAt = state.registers[4]!;
      state.pokeBytes = 8;
      state.poke = [s.chance(90) ? at + BigInt(TAKEN) : 0x1234_5678_9abc_def0n, 0n, 0n, 0n];
    },
  };
};

const movFamily: Family = (r) => {
  const bits = r.pick(SIZES);
  if (bits === 64 && r.chance(20))
    return {
      text: `movabs ${name(r.below(16), 64)}, ${BigInt.asIntN(64, r.value())}`,
      mnemonic: "mov",
      bits,
      prepare: nothing,
    };
  if (r.chance(8)) {
    const accumulator = name(0, bits);
    const at = DATA + 64n + BigInt(r.below(3900));
    return {
      text: r.chance(50) ? `movabs ${accumulator}, ds:[${at}]` : `movabs ds:[${at}], ${accumulator}`,
      mnemonic: "mov",
      bits,
      prepare: nothing,
    };
  }
  return binary("mov", "riislm".replace("s", "ss"))(r);
};

const lea: Family = (r) => {
  const bits = r.pick(WIDE);
  const registers = new Registers(r, bits);
  const m = memory(r, bits, registers, true, "");
  return {
    text: `lea ${name(registers.number(), bits)}, ${m.text.replace("gs:", "")}`,
    mnemonic: "lea",
    bits,
    prepare: m.prepare,
    ...(m.codeAt ? { codeAt: m.codeAt } : {}),
  };
};

const pairExchange: Family = (r) => {
  const wide = r.chance(50);
  const registers = new Registers(r, 64);
  const m = memory(r, wide ? 128 : 64, registers);
  return {
    text: `${r.chance(50) ? "lock " : ""}${wide ? "cmpxchg16b" : "cmpxchg8b"} ${m.text}`,
    mnemonic: "cmpxchg8b",
    bits: 64,
    ...(m.codeAt ? { codeAt: m.codeAt } : {}),
    prepare: (state, s) => {
      m.prepare(state, s);
      if (s.chance(60) && !/r[ad]x|e[ad]x/.test(m.text)) {
        state.registers[0] = wide ? state.poke[0]! : BigInt.asUintN(32, state.poke[0]!);
        state.registers[2] = wide ? state.poke[1]! : state.poke[0]! >> 32n;
      }
    },
  };
};

const compareExchange: Family = (r) => {
  const shape = binary("cmpxchg", "rss", SIZES, undefined, true)(r);
  return {
    ...shape,
    prepare: (state, s) => {
      shape.prepare(state, s);
      if (s.chance(50) && !/\[.*(ax|al)\b/.test(shape.text))
        state.registers[0] = state.pokeBytes > 0 ? state.poke[0]! : state.registers[s.below(16)]!;
    },
  };
};

const crc: Family = (r) => {
  const bits = r.pick(SIZES);
  const registers = new Registers(r, bits === 64 ? 64 : bits);
  const m = r.chance(50) ? memory(r, bits, registers) : undefined;
  const to = bits === 64 || (bits === 8 && !registers.legacy && r.chance(30)) ? 64 : 32;
  return {
    text: `crc32 ${registers.legacy ? name(r.below(8), 32) : name(registers.number(), to)}, ${m?.text ?? registers.operand(bits)}`,
    mnemonic: "crc32",
    bits,
    feature: "sse4_2",
    prepare: m?.prepare ?? nothing,
    ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
  };
};

const triple: Family = (r) => {
  const bits = r.pick(WIDE);
  const registers = new Registers(r, bits);
  const m = r.chance(50) ? memory(r, bits, registers) : undefined;
  return {
    text: `imul ${registers.operand(bits)}, ${m?.text ?? registers.operand(bits)}, ${immediate(r, bits)}`,
    mnemonic: "imul",
    bits,
    prepare: m?.prepare ?? nothing,
    ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
  };
};

const conditional =
  (stem: "set" | "cmov"): Family =>
  (r) => {
    const code = r.pick(CONDITIONS);
    return stem === "set"
      ? { ...unary(`set${code}`, [8])(r), mnemonic: "setcc" }
      : { ...binary(`cmov${code}`, "rl", WIDE)(r), mnemonic: "cmovcc" };
  };

const segmentMove: Family = (r) => {
  const registers = new Registers(r, 64);
  const m = r.chance(40) ? memory(r, 16, registers) : undefined;
  return {
    text: `mov ${m?.text ?? name(registers.number(), r.pick(WIDE))}, ${r.pick(["cs", "ss", "ds", "es", "fs"])}`,
    mnemonic: "mov",
    bits: 16,
    prepare: m?.prepare ?? nothing,
    ...(m?.codeAt ? { codeAt: m.codeAt } : {}),
  };
};

/**
 * Selectors whose descriptors Linux and the model's tables have alike: null, user code and data, kernel code and data,
 * and beyond the table.
 */
const lookup: Family = (r) => {
  const n = r.below(16);
  const mnemonic = r.pick(["lar", "lsl", "verr", "verw"]);
  const operands = mnemonic.startsWith("ver") ? name(n, 16) : `${name(r.below(16), r.pick(WIDE))}, ${name(n, 16)}`;
  return {
    text: `${mnemonic} ${operands}`,
    mnemonic,
    bits: 16,
    prepare: (s, q) => {
      s.registers[n] =
        (s.registers[n]! & ~0xffffn) | BigInt(q.pick([0, 3, 0x33, 0x30, 0x2b, 0x28, 0x10, 0x18, 0xfff8]));
    },
  };
};

/** Single-stepped: the trap flag is set before the instruction. */
const stepped =
  (family: Family): Family =>
  (r) => {
    const shape = family(r);
    return {
      ...shape,
      prepare: (s, q) => {
        shape.prepare(s, q);
        s.flags |= 0x100n;
      },
    };
  };

const PRIVILEGED = [
  "hlt",
  "cli",
  "sti",
  "rdmsr",
  "wrmsr",
  "clts",
  "invd",
  "wbinvd",
  "swapgs",
  "mov cr0, rax",
  "mov rax, cr3",
  "mov dr0, rax",
  "lgdt [rax]",
  "lidt [rax]",
  "lldt ax",
  "ltr ax",
  "lmsw ax",
  "invlpg [rax]",
  "sysretq",
  "in al, dx",
  "in eax, 5",
  "out dx, ax",
  "out 9, al",
  "clac",
  "stac",
];
const IDLE = [
  "nop",
  "pause",
  "endbr64",
  "lfence",
  "mfence",
  "sfence",
  "prefetcht0 [rax]",
  "prefetchw [rcx]",
  "prefetchnta [rsi]",
  "nop word ptr [rax+rax]",
  "xchg ax, ax",
  "data16 nop",
];

/** Families with their weights: how many of a hundred thousand shapes they get, relatively. */
export const families: readonly (readonly [weight: number, Family])[] = [
  ...["add", "adc", "sub", "sbb", "and", "or", "xor"].map(
    (m) => [4, binary(m, "rilsm", SIZES, undefined, false)] as const,
  ),
  ...["add", "adc", "sub", "sbb", "and", "or", "xor"].map((m) => [1, binary(m, "sm", SIZES, undefined, true)] as const),
  [4, binary("cmp", "rilsm")],
  [4, binary("test", "rism")],
  ...["inc", "dec", "neg", "not"].map((m) => [3, unary(m, SIZES, true)] as const),
  [8, movFamily],
  [3, lea],
  [2, segmentMove],
  [
    4,
    extension("movzx", [
      [16, 8],
      [32, 8],
      [64, 8],
      [32, 16],
      [64, 16],
    ]),
  ],
  [
    4,
    extension("movsx", [
      [16, 8],
      [32, 8],
      [64, 8],
      [32, 16],
      [64, 16],
    ]),
  ],
  [2, extension("movsxd", [[64, 32]])],
  [4, binary("xchg", "rsl")],
  [4, binary("xadd", "rs", SIZES, undefined, true)],
  [5, compareExchange],
  [4, pairExchange],
  ...["shl", "shr", "sar", "rol", "ror", "rcl", "rcr"].map((m) => [4, shiftFamily(m)] as const),
  [4, doubleShift("shld")],
  [4, doubleShift("shrd")],
  [4, unary("mul")],
  [4, unary("imul")],
  [4, binary("imul", "rl", WIDE)],
  [4, triple],
  [5, unary("div", SIZES, false, dividend(false))],
  [5, unary("idiv", SIZES, false, dividend(true))],
  ...["bt", "bts", "btr", "btc"].map((m) => [4, bitTest(m)] as const),
  ...["bsf", "bsr"].map((m) => [3, binary(m, "rl", WIDE)] as const),
  [3, binary("popcnt", "rl", WIDE, "popcnt")],
  [3, binary("tzcnt", "rl", WIDE, "bmi1")],
  [3, binary("lzcnt", "rl", WIDE, "abm")],
  [2, vex("andn", 3, 2, "bmi1")],
  [3, vex("bextr", 3, 1, "bmi1")],
  [2, vex("blsi", 2, 1, "bmi1")],
  [2, vex("blsr", 2, 1, "bmi1")],
  [2, vex("blsmsk", 2, 1, "bmi1")],
  [3, vex("bzhi", 3, 1, "bmi2")],
  [3, vex("pdep", 3, 2, "bmi2")],
  [3, vex("pext", 3, 2, "bmi2")],
  [3, vex("mulx", 3, 2, "bmi2")],
  [2, vex("shlx", 3, 1, "bmi2")],
  [2, vex("shrx", 3, 1, "bmi2")],
  [2, vex("sarx", 3, 1, "bmi2")],
  [2, rorx],
  [2, binary("adcx", "rl", [32, 64], "adx")],
  [2, binary("adox", "rl", [32, 64], "adx")],
  [3, crc],
  [2, binary("movbe", "ls", WIDE, "movbe")],
  [1, (r) => ({ text: `bswap ${name(r.below(16), r.pick([32, 64]))}`, mnemonic: "bswap", bits: 64, prepare: nothing })],
  [2, binary("movnti", "s", [32, 64])],
  [1, binary("movdiri", "s", [32, 64], "movdiri")],
  [4, conditional("set")],
  [5, conditional("cmov")],
  ...["cbw", "cwde", "cdqe", "cwd", "cdq", "cqo", "lahf", "sahf", "clc", "stc", "cmc", "cld", "std"].map(
    (m) => [0.4, lone(m)] as const,
  ),
  [
    0.5,
    (r) => ({
      text: "xlatb",
      mnemonic: "xlatb",
      bits: 8,
      prepare: (s, q) => {
        s.registers[3] = address(q, 1, true);
        void r;
      },
    }),
  ],
  [5, pushPop],
  [1, (r) => ({ text: r.pick(["pushfq", "pushfw"]), mnemonic: "pushf", bits: 64, prepare: onStack })],
  [1, popf],
  [2, frame],
  ...CONDITIONS.map((code) => [0.5, relative(`j${code}`, false)] as const),
  [0.5, relative("jmp", false)],
  [1, relative("call", false)],
  [0.7, relative("jrcxz", true)],
  [0.7, relative("loop", true)],
  [0.7, relative("loope", true)],
  [0.7, relative("loopne", true)],
  [3, indirect],
  [2, ret],
  [3, stringFamily("movs", ["", "rep", "rep"])],
  [3, stringFamily("stos", ["", "rep", "rep"])],
  [2, stringFamily("lods", ["", "rep"])],
  [3, stringFamily("cmps", ["", "repe", "repne"])],
  [3, stringFamily("scas", ["", "repe", "repne"])],
  [1, stepped(stringFamily("movs", ["", "rep"]))],
  [0.6, stepped(stringFamily("scas", ["repe", "repne"]))],
  [1, stepped(binary("add", "rilsm"))],
  [0.5, stepped(relative("jmp", false))],
  [1, lookup],
  ...["ud2", "int3", "int1", "int 0x2e", "int 0x3"].map((m) => [0.3, lone(m, "int")] as const),
  ...PRIVILEGED.map((m) => [0.1, lone(m, "privileged")] as const),
  ...IDLE.map((m) => [0.1, lone(m, "idle")] as const),
  [0.3, lone("rdgsbase rax", "rdgsbase", "fsgsbase")],
  [0.2, lone("clflush [rsp]", "idle")],
];

/** Draws one shape. */
export function drawShape(r: Random): Shape {
  const total = families.reduce((sum, [weight]) => sum + weight, 0);
  let at = (r.word() / 2 ** 32) * total;
  for (const [weight, family] of families) {
    at -= weight;
    if (at < 0) return family(r);
  }
  return families[0]![1](r);
}

/** Draws a state for a shape. */
export function drawState(shape: Shape, r: Random): State {
  const state: State = {
    registers: Array.from({ length: 16 }, () => r.value()),
    flags: 0x202n | (BigInt(r.word()) & 0x8d5n),
    pokeAt: DATA,
    poke: [0n, 0n, 0n, 0n],
    pokeBytes: 0,
  };
  state.registers[4] = DATA + 2048n;
  if (shape.mnemonic === "idle") for (const n of [0, 1, 6]) state.registers[n] = DATA + 128n;
  shape.prepare(state, r);
  return state;
}
