/** ldt-exec: a new program starts with the old one's descriptors. */
import { overlay } from "@kreplica/di";
import { addressOfFrame, Machine } from "@kreplica/hw-x86/api";
import { Processes } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const LDT_EXEC: Bug = {
  id: "ldt-exec",
  room: "KPTI and LDT",
  sentence: "a program that was just started has the descriptors of the one before",
  happened:
    "The LDT was copied whenever an address space was made for a process that has one, at fork and at exec alike: a new program ran with segments it had not asked for.",
  mended: "In 4.15 (December 2017), before KPTI, copying moved to where fork copies areas; exec starts without.",
  commits: [{ id: "a4828f81037f", subject: "x86/ldt: Prevent LDT inheritance on exec" }],
  invariant: "F7",
  kernel: {},
  path: [spawn(), { op: "ldt", p: 0, cpu: 0, entry: 0, value: 7 }, { op: "exec", p: 0, cpu: 0 }],
  copies: { without: "F7", with: "F7", words: "The same: descriptors belong to the process." },
  overlays: [
    overlay(Processes, (processes, get) => {
      const machine = get(Machine);
      const exec = processes.exec.bind(processes);
      processes.exec = (process, cpu) => {
        const { ldt } = process;
        const first = ldt && machine.memory.read64(addressOfFrame(ldt.frames[0]!));
        const done = exec(process, cpu);
        if (done && first !== undefined) processes.modifyLdt(process, 0, first, cpu);
        return done;
      };
      return processes;
    }),
  ],
};
