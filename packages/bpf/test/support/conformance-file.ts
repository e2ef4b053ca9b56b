/**
 * Reader of the case files of the public conformance suite bpf_conformance: sections `-- asm`, `-- raw`, `-- mem`,
 * `-- result`, the assembly in uBPF's notation, which is turned into ours. The files themselves are not in this
 * repository; see conformance-files.test.ts.
 */
import { assemble } from "../../src/isa/assemble.js";
import { type Code, decode } from "../../src/isa/code.js";

export interface ConformanceCase {
  readonly code: Code;
  /** Bytes at r1; empty: r1 is 0. */
  readonly memory: Uint8Array;
  /** r0; undefined for cases that want an error. */
  readonly result: bigint | undefined;
}

const OPERATORS: Readonly<Record<string, string>> = {
  add: "+=",
  sub: "-=",
  mul: "*=",
  div: "/=",
  mod: "%=",
  sdiv: "s/=",
  smod: "s%=",
  or: "|=",
  and: "&=",
  xor: "^=",
  lsh: "<<=",
  rsh: ">>=",
  arsh: "s>>=",
  mov: "=",
};
const CONDITIONS: Readonly<Record<string, string>> = {
  jeq: "==",
  jne: "!=",
  jgt: ">",
  jge: ">=",
  jlt: "<",
  jle: "<=",
  jset: "&",
  jsgt: "s>",
  jsge: "s>=",
  jslt: "s<",
  jsle: "s<=",
};
const BITS: Readonly<Record<string, number>> = { b: 8, h: 16, w: 32, dw: 64 };

/** @throws Error for what is not in that notation, naming the line */
export function readConformanceFile(text: string): ConformanceCase {
  const sections = new Map<string, string[]>();
  let section: string[] = [];
  for (const line of text.split("\n").map((each) => each.replace(/#.*/, "").trim())) {
    const head = /^-- *(\w+)(.*)/.exec(line);
    if (head) sections.set(head[1]!, (section = head[2]!.trim() === "" ? [] : [head[2]!.trim()]));
    else if (line !== "") section.push(line);
  }
  const raw = sections.get("raw"),
    result = sections.get("result")?.join("");
  const memory = Uint8Array.from(
    (sections.get("mem") ?? [])
      .join(" ")
      .split(/\s+/)
      .filter((each) => each !== ""),
    (pair) => parseInt(pair, 16),
  );
  const code = raw
    ? decode(new Uint8Array(BigUint64Array.from(raw.join(" ").split(/[\s,]+/), BigInt).buffer))
    : assemble((sections.get("asm") ?? []).map(translate).join("\n"));
  return { code, memory, result: result === undefined ? undefined : BigInt.asUintN(64, BigInt(result)) };
}

/** One line of uBPF's notation in ours. */
export function translate(line: string): string {
  const fail = (): never => {
    throw new Error(`"${line}" is no line of the suite's notation`);
  };
  if (/^\w+:$/.test(line)) return line;
  const [, lock, name, rest] = /^(lock )?\s*([a-z_]+\d*)\s*(.*)$/.exec(line.replaceAll("%", "")) ?? fail();
  const parts = rest!.split(",").map((each) => each.trim()),
    [a = "", b = "", c = ""] = parts;
  const half = (register: string): string => register.replace(/^r(?=\d)/, "w"),
    immediate = (text: string): string =>
      /^r\d/.test(text) ? text : `${BigInt.asIntN(32, BigInt(text.startsWith("-") ? -BigInt(text.slice(1)) : text))}`;
  const place = (text: string, bits: number, sign = "u"): string => {
    const [, base, direction = "+", sum = "0"] = /^\[(r\d+)\s*(?:([+-])\s*(\w+))?\]$/.exec(text) ?? fail(),
      offset = Number(sum) * (direction === "-" ? -1 : 1);
    return `*(${sign}${bits} *)(${base} ${offset < 0 ? "-" : "+"} ${Math.abs(offset)})`;
  };
  const to = (label: string): string => (/^[+-]/.test(label) ? `${label[0]}${Number(label.slice(1))}` : label);
  const [, stem, digits] = /^([a-z_]+?)(\d*)$/.exec(name!)!,
    narrow = digits === "32";
  if (lock) {
    const bits = narrow ? 32 : 64,
      register = narrow ? half(b) : b,
      suffix = narrow ? "" : "64",
      at = place(a, bits),
      pointer = at.replace(/^\*\((u\d+) \*\)/, "($1 *)");
    if (stem === "cmpxchg")
      return `${narrow ? "w0" : "r0"} = atomic${suffix}_cmpxchg(${pointer}, ${narrow ? "w0" : "r0"}, ${register})`;
    if (stem === "xchg" || stem!.startsWith("fetch_"))
      return `${register} = atomic${suffix}_${stem}(${pointer}, ${register})`;
    return `lock ${at} ${OPERATORS[stem!] ?? fail()} ${register}`;
  }
  if (name === "exit") return "exit";
  if (stem === "ja") return `${narrow ? "gotol" : "goto"} ${to(a)}`;
  if (name === "call") return a.startsWith("local ") ? `call ${a.slice(6).trim()}` : `call ${Number(a)}`;
  if (name === "lddw")
    return `${a} = 0x${BigInt.asUintN(64, b.startsWith("-") ? -BigInt(b.slice(1)) : BigInt(b)).toString(16)} ll`;
  if (CONDITIONS[stem!])
    return `if ${narrow ? half(a) : a} ${CONDITIONS[stem!]} ${narrow ? half(immediate(b)) : immediate(b)} goto ${to(c)}`;
  if (stem === "movsx") {
    const from = /^(8|16|32)(32|64)$/.exec(digits!) ?? fail(),
      wide = from[2] === "64";
    return `${wide ? a : half(a)} = (s${from[1]})${wide ? b : half(b)}`;
  }
  if (/^(le|be|bswap|swap)$/.test(stem!)) return `${a} = ${stem === "swap" ? "bswap" : stem}${digits} ${a}`;
  if (stem === "neg") return narrow ? `${half(a)} = -${half(a)}` : `${a} = -${a}`;
  const access = /^(ldxs|ldx|stx|st)(b|h|w|dw)$/.exec(name!);
  if (access) {
    const bits = BITS[access[2]!]!;
    return access[1]!.startsWith("ldx")
      ? `${a} = ${place(b, bits, access[1] === "ldxs" ? "s" : "u")}`
      : `${place(a, bits)} = ${immediate(b)}`;
  }
  return narrow
    ? `${half(a)} ${OPERATORS[stem!] ?? fail()} ${half(immediate(b))}`
    : `${a} ${OPERATORS[stem!] ?? fail()} ${immediate(b)}`;
}
