/** Group E, as far as no subsystem brings it: generated code. vmalloc and modules bring the rest. */
import type { Invariant } from "./invariant.js";
import type { Subject } from "./subject.js";

export const GENERATED_CODE: readonly Invariant<Subject>[] = [
  {
    id: "E10",
    when: "always",
    where: ["run", "test packages/bpf/test/kernel.test.ts"],
    sentence:
      "BPF image/trampoline/struct_ops page: executable & RO on every node after publish; writable & NX on " +
      "every node during regenerate",
  },
  {
    id: "E11",
    when: "always",
    where: ["run"],
    sentence: "kprobe insn slots, ftrace trampolines, JIT pages callable from a CPU on every node",
  },
];
