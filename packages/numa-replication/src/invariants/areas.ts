/** Invariants of group E: vmalloc, modules, bpf. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const AREAS: readonly Invariant[] = [
  { id: "E1", where: ["areas"], when: "always", sentence: "area in W is either mapped on all nodes or on none (no node-dependent holes) when no operation is in flight" },
  { id: "E2", where: ["areas"], when: "always", sentence: "SHARED area: same pfn for page i on all nodes; REPLICATED area: #R distinct pfns, equal bytes, base copy on area.node" },
  { id: "E3", where: ["areas"], when: "module load", sentence: "replicate is called only after the last direct write and before the area becomes executable or RO" },
  { id: "E4", where: ["areas"], when: "module load", sentence: "relocated words and alternatives in module TEXT are identical in all replicas when state becomes COMING" },
  { id: "E5", where: ["areas"], when: "always", sentence: "module DATA / RO_AFTER_INIT / INIT_* are never REPLICATED" },
  { id: "E6", where: ["areas"], when: "unload", sentence: "after vfree: no node maps the range, every frame (base + replicas) is freed exactly once, direct-map permissions of all of them restored, counters (nr_vmalloc, memcg) return to start" },
  { id: "E7", where: ["areas"], when: "OOM", sentence: "failure to allocate any replica leaves the area SHARED, fully mapped, executable, nothing leaked" },
  { id: "E8", where: ["areas"], when: "always", sentence: "vmalloc_to_page(va) = node-0 frame; for any va in vmalloc range result independent of node" },
  { id: "E9", where: ["areas"], when: "stress", sentence: "load+unload of the same module m times leaves page-table and frame counts bounded (no monotone growth beyond cached PTE pages)" },
  { id: "E10", where: ["areas"], when: "always", sentence: "BPF image/trampoline/struct_ops page: executable & RO on every node after publish; writable & NX on every node during regenerate" },
  { id: "E11", where: ["areas"], when: "always", sentence: "kprobe insn slots, ftrace trampolines, JIT pages callable from a CPU on every node" },
  { id: "E12", where: ["areas"], when: "always", sentence: "area is SHARED exactly if it lies in W, and the leak tracker knows every allocated area, at once or, where who asks wants to tell it himself, from then on; what one flag of a request asks for, no other does" },
];
