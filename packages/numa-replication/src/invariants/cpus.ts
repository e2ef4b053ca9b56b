/** Invariants of group G: CPUs, CR3, TLB. The sentences are those of the project's own list; which of them are checked, the checker says. */
import type { Invariant } from "./invariant.js";

export const CPUS: readonly Invariant[] = [
  { id: "G1", where: ["state", "run"], when: "after bring-up", sentence: "steady state: CR3.base(cpu) = pgd_numa[node(cpu)] of loaded_mm, except loaded_mm ∈ {poking_mm, efi_mm}" },
  { id: "G2", where: ["run"], when: "KPTI", sentence: "CR3 bit 12/11 toggle moves within the same node pair; base above bit 12 unchanged by entry/exit" },
  { id: "G3", where: ["run"], when: "always", sentence: "a context switch between threads of the same mm on one CPU writes no CR3 and changes no root" },
  { id: "G4", where: ["run"], when: "always", sentence: "thread migration node a→b changes kernel frames used, never user frames, and needs no page-table write" },
  { id: "G5", where: ["run"], when: "always", sentence: "(cpu, PCID, va) → at most one translation; PCID reuse never exposes another node's frame with different bytes" },
  { id: "G6", where: ["run"], when: "always", sentence: "after flush_tlb_kernel_range / flush_tlb_all completes no CPU holds a stale entry for any replica of the range" },
  { id: "G7", where: ["run"], when: "hotplug", sentence: "AP runs on node root before its first use of per-mm TLB state; re-onlined CPU likewise" },
  { id: "G8", where: ["run"], when: "DEBUG_VM", sentence: "debug check \"CR3 == expected root\" uses the node's root" },
  { id: "G9", where: ["run"], when: "runtime", sentence: "spurious kernel fault is recognised on every node (stale RO→RW entry in W)" },
  { id: "G10", where: ["state"], when: "after boot", sentence: "steady-state instruction/rodata fetch from core text on node n hits only node-n memory (remote kernel-ifetch count = 0), except documented node-0 users: efi, poking window, KPTI entry text" },
  { id: "G11", where: ["state"], when: "KPTI, after pti_finalize", sentence: "entry text that the user half of node n's pair maps lies on node n: what a CPU of n fetches on its way into the kernel, and keeps as a global translation in it, is its own node's frame" },
];
