/** Invariants of group A: placement and content. The sentences are those of the project's own list; codes that check them are in this folder. */
import type { Invariant } from "./invariant.js";

export const PLACEMENT: readonly Invariant[] = [
  { id: "A1", where: ["state"], when: "from end of numa_replicate_kernel forever, outside an open patch phase", sentence: "∀n∈R, va∈TEXT: walk(T(n),va) is present and bytes equal bytes through T(m) for all m∈R" },
  { id: "A2", where: ["state"], when: "after boot (TEXT: after step 7, RO: after step 15)", sentence: "∀n∈R, va∈TEXT∪RO: node(frame(n,va)) = n" },
  { id: "A3", where: ["state"], when: "after boot", sentence: "∀n≠m∈R, va∈TEXT∪RO: frame(n,va) ≠ frame(m,va) (copies really used; catches \"mapped the source frame\" bug of 2003 v0)" },
  { id: "A4", where: ["state"], when: "always", sentence: "∀n,m∈R, va∈W outside TEXT, RO and replicated module areas: walk(T(n),va) and walk(T(m),va) give the same pfn (or both hole)" },
  { id: "A5", where: ["state", "boot"], when: "after step 15", sentence: "RO bytes equal across R, and equal to master's bytes as of mark_rodata_ro" },
  { id: "A6", where: ["state"], when: "after boot", sentence: "master node's TEXT/RO frames are the originally booted frames (no extra copy)" },
  { id: "A7", where: ["state"], when: "always", sentence: "No writable-data frame (.data, .bss, brk, percpu) is replicated; a store on node n is visible to a load on node m at the same VA" },
  { id: "A8", where: ["state"], when: "after step 7", sentence: "memoryless node k: pgd_numa[k] is the same pointer as pgd_numa[near(k)], near(k) minimises node_distance over R (lowest id on ties)" },
  { id: "A9", where: ["state"], when: "after step 7", sentence: "Replica frames are 2 MiB aligned and contiguous when mapped by PMD leaves" },
  { id: "A10", where: ["state"], when: "always", sentence: "__pa(va), virt_to_page(va) for va∈TEXT∪RO name the master frame on every CPU" },
  { id: "A11", where: ["state"], when: "always", sentence: "#R=1 ⇒ zero extra text/rodata frames and zero extra per-mm PGDs (cost on single-node machine)" },
];
