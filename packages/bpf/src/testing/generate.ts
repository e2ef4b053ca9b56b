/**
 * Random programs of which the verifier accepts a good part: arithmetic of every kind, memory of every kind at fixed
 * and at computed offsets, branches, bounded loops, atomics, local functions. Some instructions are wild on purpose.
 *
 * Context: {@link CONTEXT_BYTES} writable bytes (type syscall). Map 0: {@link VALUE_BYTES} bytes of global data.
 */
import { hex } from "@kreplica/hw-x86/api";
import { assemble } from "../isa/assemble.js";
import type { Code } from "../isa/code.js";
import type { MapDefinition } from "../object/program-type.js";
import { Random } from "./random.js";

/** Bytes of context that a generated program may read and write. */
export const CONTEXT_BYTES = 64;
/** Bytes of the one value of map 0, the global data. */
export const VALUE_BYTES = 64;
/** The maps that generated programs refer to. */
export const generatorMaps: readonly MapDefinition[] = [
  {
    name: ".data",
    kind: "array",
    keyBytes: 4,
    valueBytes: VALUE_BYTES,
    entries: 1,
    flags: 0,
    initial: new Uint8Array(VALUE_BYTES),
  },
];

const ALU = ["+=", "-=", "*=", "/=", "%=", "s/=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "="];
const COND = ["==", "!=", ">", ">=", "<", "<=", "&", "s>", "s>=", "s<", "s<="];
const NUMBERS = ["0", "2", "3", "4", "5", "8", "9"];

/** How long and how wild a generated program is. */
export interface GenerateOptions {
  /** Lines of the main body. Default 24. */
  readonly length?: number;
  /** Percent of wild lines. Default 1. */
  readonly wild?: number;
  /** Helpers by number that take five numbers, to call now and then. */
  readonly helpers?: readonly number[];
  /**
   * Accesses that stay inside what they may touch, loops that end: nearly every program is accepted. Default: some do
   * not.
   */
  readonly careful?: boolean;
}

/** The program of a seed, as text (for messages) and as code. */
export function generateProgram(seed: number, options: GenerateOptions = {}): { text: string; code: Code } {
  const random = new Random(seed);
  const lines = ["r6 = r1", `r7 = map_index_value 0 ${8 * random.below(3)} ll`];
  for (const r of NUMBERS)
    lines.push(
      random.chance(70) ? `r${r} = *(u64 *)(r6 + ${8 * random.below(8)})` : `r${r} = ${hex(random.word())} ll`,
    );
  for (let i = 1; i <= 4; i++)
    lines.push(`*(u64 *)(r10 - ${8 * i}) = ${random.chance(50) ? `r${random.pick(NUMBERS)}` : random.below(100)}`);
  const functions = random.chance(30) ? 1 : 0;
  body(random, lines, options.length ?? 24, functions > 0, options);
  lines.push(`r0 = r${random.pick(NUMBERS)}`, "exit");
  if (lines.includes("call sub")) {
    lines.push("sub: r6 = r1", "r7 = r2", "r0 = r3", "r2 = r4", "r3 = r5", "r4 = 4", "r5 = 5", "r8 = 8", "r9 = r3");
    for (let i = 1; i <= 4; i++) lines.push(`*(u64 *)(r10 - ${8 * i}) = r${random.pick(NUMBERS)}`);
    body(random, lines, 8, false, options);
    lines.push("exit");
  }
  const text = lines.join("\n");
  return { text, code: assemble(text) };
}

function body(random: Random, lines: string[], count: number, mayCall: boolean, options: GenerateOptions): void {
  const prefix = lines.length;
  const pending: { label: string; at: number }[] = [];
  let labels = 0;
  for (let i = 0; i < count; i++) {
    for (const each of pending.filter((p) => p.at <= i)) {
      lines.push(`${each.label}:`);
      pending.splice(pending.indexOf(each), 1);
    }
    const label = (): string => {
      const name = `l${prefix}_${labels++}`;
      pending.push({ label: name, at: i + 1 + random.below(6) });
      return name;
    };
    lines.push(...statement(random, label, `${prefix}_${i}`, mayCall, options));
  }
  for (const { label } of pending) lines.push(`${label}:`);
}

function statement(
  random: Random,
  label: () => string,
  name: string,
  mayCall: boolean,
  options: GenerateOptions,
): string[] {
  const r = (): string => random.pick(NUMBERS),
    letter = (): string => random.pick(["r", "w"]),
    size = (): number => random.pick([1, 2, 4, 8]);
  const condition = (): string => {
    const l = letter();
    return `if ${l}${r()} ${random.pick(COND)} ${random.chance(50) ? `${l}${r()}` : random.immediate()} goto ${label()}`;
  };
  if (random.chance(options.wild ?? 1)) {
    return [
      random.pick([
        `r${r()} = *(u64 *)(r${r()} + 0)`,
        `r7 += r${r()}`,
        `r10 += 8`,
        `*(u64 *)(r10 - 520) = 1`,
        `r${r()} = r6`,
        `*(u8 *)(r7 + ${random.below(80)}) = r6`,
        `r${r()} = *(u64 *)(r10 - ${8 * random.below(12)})`,
        `r6 = r${r()}`,
      ]),
    ];
  }
  switch (random.below(15)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const op = random.pick(ALU),
        l = letter(),
        shift = /<<|>>/.test(op),
        divide = /[/%]/.test(op);
      const imm = shift
        ? random.below(l === "r" ? 64 : 32)
        : divide
          ? random.chance(20)
            ? -1
            : random.immediate() || 1
          : random.immediate();
      return [`${l}${r()} ${op} ${random.chance(50) ? `${l}${r()}` : imm}`];
    }
    case 4: {
      const x = r(),
        l = letter();
      return [
        random.pick([
          `${l}${x} = -${l}${x}`,
          `r${x} = bswap${random.pick([16, 32, 64])} r${x}`,
          `r${x} = ${random.pick(["le", "be"])}${random.pick([16, 32, 64])} r${x}`,
          `r${x} = (s${random.pick([8, 16, 32])})r${r()}`,
          `w${x} = (s${random.pick([8, 16])})w${r()}`,
        ]),
      ];
    }
    case 5:
    case 6:
    case 7:
      return [condition()];
    case 8: {
      const n = size(),
        at = n * random.below(64 / n),
        base = random.pick(["r6", "r7"]),
        sign = n < 8 && random.chance(30) ? "s" : "u";
      const offset = base === "r7" ? at % 48 : at;
      return [
        random.chance(50)
          ? `r${r()} = *(${sign}${8 * n} *)(${base} + ${offset})`
          : random.chance(70)
            ? `*(u${8 * n} *)(${base} + ${offset}) = r${r()}`
            : `*(u${8 * n} *)(${base} + ${offset}) = ${random.immediate()}`,
      ];
    }
    case 9: {
      const n = size(),
        at = -n * (1 + random.below(32 / n)),
        sign = n < 8 && random.chance(30) ? "s" : "u";
      return [
        random.chance(50) ? `r${r()} = *(${sign}${8 * n} *)(r10 - ${-at})` : `*(u${8 * n} *)(r10 - ${-at}) = r${r()}`,
      ];
    }
    case 10: {
      // computed offset, bounded by a mask, a comparison or both; sometimes a little too far
      const { careful } = options,
        x = r(),
        p = r(),
        base = random.pick(["r7", "r7", "r10"]),
        n = careful && base === "r10" ? 1 : size(),
        bound = random.pick(careful ? [3, 7, 15] : [3, 7, 15, 31, 39]);
      const guard = random.chance(careful ? 85 : 60)
        ? [`r${x} &= ${bound}`]
        : random.chance(50)
          ? [`if r${x} > ${bound} goto ${label()}`]
          : [
              `r${x} <<= 32`,
              `r${x} ${random.pick([">>=", "s>>="])} 32`,
              `if r${x} s> ${bound} goto ${label()}`,
              `if w${x} s< ${-random.below(3)} goto ${label()}`,
            ];
      if (p === x) return guard;
      const back = base === "r10" ? 32 : 0;
      const access = random.chance(50)
        ? `r${p} = *(u${8 * n} *)(r${p} + ${random.below(12)})`
        : `*(u${8 * n} *)(r${p} + ${random.below(12)}) = ${random.chance(50) ? `r${x}` : 7}`;
      return [...guard, `r${p} = ${base}`, `r${p} += ${-back}`, `r${p} += r${x}`, access, `r${p} = ${random.below(9)}`];
    }
    case 11: {
      // atomics
      const wide = random.chance(50),
        n = wide ? 64 : 32,
        s = wide ? "64" : "",
        l = wide ? "r" : "w",
        base = random.pick(["r7 + 0", "r7 + 8", "r10 - 8", "r10 - 16"]),
        x = r();
      // Comparisons that succeed are rare among random numbers: first load what is there, with whatever lies above it.
      const first = random.chance(40) ? [`r0 = *(u64 *)(${base})`] : [];
      return [
        ...first,
        random.pick([
          `lock *(u${n} *)(${base}) ${random.pick(["+=", "|=", "&=", "^="])} ${l}${x}`,
          `${l}${x} = atomic${s}_fetch_${random.pick(["add", "or", "and", "xor"])}((u${n} *)(${base}), ${l}${x})`,
          `${l}${x} = atomic${s}_xchg((u${n} *)(${base}), ${l}${x})`,
          `${l}0 = atomic${s}_cmpxchg((u${n} *)(${base}), ${l}0, ${l}${x})`,
        ]),
      ];
    }
    case 12: {
      // a bounded loop, its counter on the stack or in a register
      const x = r(),
        y = r();
      if (x === y) return [condition()];
      return [
        `r${x} = 0`,
        `loop${name}: r${y} ${random.pick(["+=", "^=", "*="])} r${x}`,
        `r${x} += ${1 + random.below(3)}`,
        `if ${random.pick(["r", "w"])}${x} ${random.pick(["<", "<=", "s<", "!="])} ${options.careful || random.chance(85) ? 6 : 5} goto loop${name}`,
      ];
    }
    case 13: {
      if (!mayCall) return [`r${r()} = ${random.immediate()}`];
      return [
        "r1 = r6",
        "r2 = r7",
        `r3 = r${random.pick(["0", "8", "9"])}`,
        `r4 = ${random.chance(50) ? "r8" : "r9"}`,
        `r5 = ${random.chance(70) ? 5 : "r9"}`,
        "call sub",
        "r2 = r0",
        "r3 = 3",
        "r4 = r8",
        "r5 = r0",
      ];
    }
    default: {
      if (!options.helpers?.length) return [`r${r()} = ${hex(random.word())} ll`];
      return [`r1 = r${r()}`, `call ${random.pick(options.helpers)}`, "r2 = r0", "r3 = 3", "r4 = r8", "r5 = r9"];
    }
  }
}
