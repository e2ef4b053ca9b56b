/**
 * What one pass of __text_poke takes that no modelled memory access shows: the kernel's own instructions, counted in
 * recordings, and the instructions that wait for the whole pipeline, with whoever measured them.
 *
 * @source instruction traces of Linux 6.1.192 with the series ported to it, switched on and off (QEMU, 2 nodes): 78
 * pokes each. A function belongs to a pass where it runs a whole number of instructions a poke; scheduler, timers and
 * idle, which differ between any two recordings, do not. test/poke-pass.test.ts derives the table again.
 */
import type { Sourced } from "@kreplica/hw-x86";

/** Instructions, loads and stores of one function in one pass. */
export type Executed = readonly [instructions: number, loads: number, stores: number];
/** First: the only pass of a kernel with one copy. Further: what the series adds for each copy more. */
export interface PokeFunction {
  readonly name: string;
  readonly first: Executed;
  readonly further: Executed;
}

const NONE: Executed = [0, 0, 0];

/**
 * Two switches of the address space a pass; the entry is found, locked and set once, the frame looked up once a page
 * and pass.
 */
export const POKE_FUNCTIONS: readonly PokeFunction[] = [
  { name: "switch_mm_irqs_off", first: [158, 38, 28], further: [172, 44, 28] },
  { name: "__text_poke", first: [119, 32, 23], further: [102, 25, 10] },
  { name: "walk_to_page_node", first: [72, 8, 0], further: [92, 12, 6] },
  { name: "flush_tlb_mm_range", first: [53, 13, 14], further: [53, 13, 14] },
  { name: "walk_to_pmd", first: [45, 9, 2], further: NONE },
  { name: "__get_locked_pte", first: [44, 8, 7], further: NONE },
  { name: "cr4_update_irqsoff", first: [18, 4, 0], further: [18, 4, 0] },
  { name: "invalidate_user_asid", first: [4, 2, 0], further: [4, 2, 0] },
  { name: "memcpy_erms", first: [4, 2, 1], further: [4, 2, 1] },
  { name: "__x86_indirect_thunk_r13", first: [3, 1, 2], further: NONE },
  { name: "text_poke_memcpy", first: [2, 0, 0], further: [2, 0, 0] },
  { name: "__memcpy", first: [1, 0, 0], further: [1, 0, 0] },
  { name: "is_text_replicated", first: NONE, further: [6, 4, 0] },
];

const sum = (which: "first" | "further"): Executed =>
  POKE_FUNCTIONS.reduce<Executed>(
    (total, each) => [total[0] + each[which][0], total[1] + each[which][1], total[2] + each[which][2]],
    NONE,
  );

/** Instructions, loads and stores of a patch's first pass, all functions together. */
export const FIRST_PASS = sum("first");
/** The same of each further pass: one for every further copy. */
export const FURTHER_PASS = sum("further");
export const RECORDED_POKES =
  "counted in recordings of a 6.1 kernel with the series ported to it, 78 pokes, one pass and two; loads and stores taken to hit L1";

/**
 * MOV to CR3 that flushes. The alias is flushed by the next such load: of INVLPG the recorded kernel executes none, for
 * the poking space is no longer loaded when its range is flushed.
 */
export const CR3_WRITE_CYCLES: Sourced = {
  value: 124,
  low: 96,
  high: 366,
  source:
    "measured by others, __flush_tlb() in a loop: 124 cycles on a Haswell Xeon, 108 on Westmere, 96 and 251 (cold 366) on other Intel CPUs (linux-mm, June 2015, TLB flush multiple pages per IPI v5, Hansen and Molnar); other CPUs assumed within",
};

/** IRET to itself, by which sync_core() serialises. */
export const SYNC_CORE_CYCLES: Sourced = {
  value: 200,
  low: 50,
  high: 400,
  provisional: true,
  source:
    "assumed: Linux says that IRET to itself takes a bit more than twice the fastest way to serialise (asm/sync_core.h), and that takes about what a MOV to CR3 does; SERIALIZE, where there is one, is at the low end",
};
