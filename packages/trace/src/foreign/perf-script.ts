/**
 * What `perf script` prints, of two kinds:
 *
 *     perf mem record; perf script -F comm,tid,cpu,time,event,addr,ip,data_src
 *       ls 123 [001] 12.3456:   cpu/mem-loads,ldlat=30/P:   7ffd1234 |OP LOAD|LVL L1 hit|...   5581ab
 *     perf record -e intel_pt//; perf script --itrace=i1 -F comm,tid,cpu,time,ip
 *       ls 123 [001] 12.3456:     7f00a1b2c3d4 _dl_start+0x4 (/lib/ld.so)
 *
 * A line with an event of memory is a load or store at the first address, by the instruction at the last; data_src says
 * which ("OP LOAD", "OP STORE"), else the event's name. Every other line with a time is an instruction. Samples are no
 * whole program: between two of perf mem's, nothing is known.
 *
 * @source perf-script(1), perf-mem(1), perf-intel-pt(1)
 */
import { TraceError } from "../trace-error.js";
import type { ImportWriter } from "./import-writer.js";

/** Up to the time: command, process or thread, CPU. */
const HEAD = /^\s*\S.*?\s\d+(?:\/\d+)?\s+(?:\[\d+\]\s+)?\d+\.\d+:\s*/;
/** A period, an event of memory, the address it is about, and the rest. */
const MEMORY =
  /^(?:\d+\s+)?(\S*(?:mem-loads|mem-stores|mem_trans_retired|mem_inst_retired|mem_uops_retired|ibs_op|ldlat)\S*):\s+([0-9a-f]{1,16})\s+(.*)$/i;
/** A period, an event, flags of a branch, all of which may be missing: the instruction's address. */
const INSTRUCTION =
  /^(?:\d+\s+)?(?:[a-z]\S*:\s+)?(?:(?:tr strt|tr end|call|jmp|jcc|return|int|iret|syscall|sysret|async)\s+)*([0-9a-f]{3,16})(?:\s|$)/i;
const halves = (digits: string): [lo: number, hi: number] => [
  Number.parseInt(digits.slice(-8), 16),
  digits.length > 8 ? Number.parseInt(digits.slice(0, -8), 16) : 0,
];

/** @param at byte it begins at @throws TraceError bad-line */
export function perfScriptLine(text: string, line: number, at: number, file: string, to: ImportWriter): void {
  if (/^\s*(?:#.*)?$/.test(text)) return;
  const head = HEAD.exec(text);
  const rest = head ? text.slice(head[0].length) : undefined;
  const memory = rest === undefined ? null : MEMORY.exec(rest);
  if (memory) {
    const [, event, address, behind] = memory as unknown as [string, string, string, string];
    // Behind data_src, whose words stand between bars, and before symbol and file: weights, then the instruction.
    const words = behind.slice(behind.lastIndexOf("|") + 1).replace(/\s\(.*$/, "");
    const instruction = [...words.matchAll(/(?:^|\s)([0-9a-f]{6,16})(?=\s|$)/gi)].at(-1);
    if (instruction) to.instruction(...halves(instruction[1]!), 0, at);
    const store = /OP STORE/.test(behind) || (!/OP LOAD/.test(behind) && /store/i.test(event));
    to.reference(store, ...halves(address), 0, at);
    return;
  }
  const instruction = rest === undefined ? null : INSTRUCTION.exec(rest);
  if (!instruction)
    throw new TraceError(
      "bad-line",
      file,
      at,
      `line ${line} is ${JSON.stringify(text.slice(0, 40))}, which has no time and address`,
      "print it with `perf script -F comm,tid,cpu,time,ip` (--itrace=i1 for Intel PT), or `-F comm,tid,cpu,time,event,addr,ip,data_src` for perf mem",
    );
  to.instruction(...halves(instruction[1]!), 0, at);
}
