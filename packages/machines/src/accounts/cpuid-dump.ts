/**
 * Reads CPUID's answers as tools dump them, leaf by leaf and CPU by CPU:
 *
 *     CPU 0:                                                          cpuid -r; with -1: `CPU:`
 *        0x00000004 0x03: eax=0x7c07c163 ebx=0x04c0003f ecx=0x00005fff edx=0x00000006
 *
 *     ------[ CPUID Registers / Logical CPU #0 ]------                InstLatx64, AIDA64; also `CPU#000 AffMask: ...`
 *     CPUID 00000004: 7C07C163-04C0003F-00005FFF-00000006 [SL 03]     older ones number no sub-leaves: they come in order
 *
 * Everything else in such files is passed over.
 *
 * @source cpuid(1), "-r"; InstLatx64 and AIDA64 dumps as published
 */
import type { TextLines } from "@kreplica/inputs";
import { quoted } from "@kreplica/inputs";
import { MOST_CPU } from "./account.js";

/** Registers that CPUID gave back. */
export interface CpuidLeaf {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
  /** From 1. */
  readonly line: number;
}

/** All leaves of one logical CPU. */
export class CpuidOfCpu {
  private readonly leaves = new Map<string, CpuidLeaf>();

  /** @returns undefined where the dump has no such leaf */
  leaf(number: number, sub = 0): CpuidLeaf | undefined {
    return this.leaves.get(`${number >>> 0} ${sub}`);
  }

  /** Sub-leaves from 0, as far as the dump has them. */
  subLeaves(number: number): CpuidLeaf[] {
    const all: CpuidLeaf[] = [];
    for (let leaf = this.leaf(number); leaf; leaf = this.leaf(number, all.length)) all.push(leaf);
    return all;
  }

  /** @returns false where it was there and said something else */
  add(number: number, sub: number, leaf: CpuidLeaf): boolean {
    const key = `${number >>> 0} ${sub}`;
    const before = this.leaves.get(key);
    if (before) return (["eax", "ebx", "ecx", "edx"] as const).every((name) => before[name] === leaf[name]);
    this.leaves.set(key, leaf);
    return true;
  }

  get size(): number {
    return this.leaves.size;
  }
}

const TOOL = /^\s*0x([0-9a-f]{8}) 0x([0-9a-f]{2,8}): (.*)$/i;
const TOOL_REGISTERS = /^eax=0x([0-9a-f]{8}) ebx=0x([0-9a-f]{8}) ecx=0x([0-9a-f]{8}) edx=0x([0-9a-f]{8})\s*$/i;
const DUMP = /^\s*CPUID ([0-9a-f]{8})(?::|\s)\s*(.*)$/i;
const DUMP_REGISTERS =
  /^([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})(?:\s*\[(?:SL ([0-9a-f]{2})|[^\]]*)\])?/i;
const OF_CPU = /^CPU(?: (\d{1,5}))?:\s*$|CPU ?#(\d{1,5})\b/;
const OF_GROUP = /^\s*Group: 0x[0-9a-f]+ Affinity mask: 0x/i;
const WHOLE = "give the whole output of `cpuid -r`, or the whole dump";

/** Whether the text is such a dump. */
export const isCpuidDump = (text: string): boolean =>
  /^[ \t]*0x[0-9a-f]{8} 0x[0-9a-f]{2,8}: eax=0x/im.test(text) ||
  /^[ \t]*CPUID [0-9a-f]{8}(?::|[ \t])[ \t]*[0-9a-f]{8}-/im.test(text);

/** @returns leaves by CPU, in the order of the text @throws InputError naming the line of every fault */
export function parseCpuidDump(text: TextLines): Map<number, CpuidOfCpu> {
  const cpus = new Map<number, CpuidOfCpu>();
  let cpu: CpuidOfCpu | undefined;
  let counted = new Map<number, number>();
  const begin = (id: number): void => {
    cpu = cpus.get(id) ?? new CpuidOfCpu();
    cpus.set(id, cpu);
    counted = new Map();
  };
  for (const [index, line] of text.lines.entries()) {
    const tool = TOOL.exec(line);
    const dump = tool ? undefined : DUMP.exec(line);
    if (!tool && !dump) {
      const named = OF_CPU.exec(line);
      if (named && !/MSR/.test(line)) {
        const id = Number(named[1] ?? named[2] ?? 0);
        if (id > MOST_CPU) throw text.fault(index, "CPU", `CPU numbers go to ${MOST_CPU}`, "leave the CPUs above out");
        begin(id);
      } else if (OF_GROUP.test(line)) begin(cpu === undefined ? 0 : cpus.size);
      continue;
    }
    if (!cpu) begin(0);
    const number = Number.parseInt((tool ?? dump)![1]!, 16);
    const registers = tool ? TOOL_REGISTERS.exec(tool[3]!) : DUMP_REGISTERS.exec(dump![2]!);
    const field = `leaf 0x${number.toString(16).padStart(8, "0")}`;
    if (!registers) {
      text.report(index, field, `${quoted((tool?.[3] ?? dump![2])!)} are not four registers`, WHOLE);
      continue;
    }
    const [eax, ebx, ecx, edx] = registers.slice(1, 5).map((each) => Number.parseInt(each, 16)) as [
      number,
      number,
      number,
      number,
    ];
    // Without a number the sub-leaves come in order; leaves 0 and 1 have none.
    const next = counted.get(number) ?? 0;
    const sub =
      number <= 1
        ? 0
        : tool
          ? Number.parseInt(tool[2]!, 16)
          : registers[5] === undefined
            ? next
            : Number.parseInt(registers[5], 16);
    counted.set(number, next + 1);
    if (!cpu!.add(number, sub, { eax, ebx, ecx, edx, line: index + 1 }))
      text.report(index, field, "given twice, with different registers", "keep the dump of one machine");
  }
  text.settle();
  return cpus;
}
