/**
 * Visits of the recorded kernel to the functions that the series makes do more: where the model's own work is spliced
 * in.
 *
 * A visit begins at a jump to the function's first byte and ends at the byte behind the call. What it was about is read
 * off its accesses: the PGD from the page it fills or the page descriptor it touches, the slot from the store to the
 * user half. A recording made without KPTI shows no stores to a user half, so that its slots are not found; PGDs made
 * and freed are.
 *
 * Between the two, the CPU may do what is not the visit's: interrupts (from their entry to the IRET), the scheduler
 * (__schedule to its return), other tasks (another stack after __switch_to_asm), and batches of pages that the
 * allocator moves between a CPU's list and the node's: one visit in hundreds meets a batch that all the pages freed
 * since the last one brought about. Source: Linux 6.1 arch/x86/mm/pgtable.c, arch/x86/mm/pti.c and mm/memory.c for
 * which function does what.
 */
import { MAPPINGS, Region, regionsOf, shippedGuest } from "@kreplica/trace";

/** What the visited function did. */
export const enum VisitKind {
  /** pgd_alloc: a PGD was made. */
  Create = 0,
  /** pgd_free. */
  Free = 1,
  /** A top-level slot was filled: the entry function was called below __pud_alloc or __p4d_alloc. */
  Set = 2,
  /** A top-level slot was emptied. */
  Clear = 3,
}

/** One visit, after it returned. */
export interface KernelVisit {
  readonly kind: VisitKind;
  /** Physical page of the recorded PGD, of the kernel half under KPTI; -1 when the visit did not show it. */
  readonly pgd: number;
  /** Top-level slot of the recorded kernel, 0 to 255; -1 for a whole PGD. */
  readonly slot: number;
  /**
   * Recorded instructions from the first to the return, those of callees included, those of interrupts and other tasks
   * not.
   */
  readonly instructions: number;
  /**
   * What the function and its callees loaded and stored beside the PGD, its page descriptors and the table it was
   * copied from: operations of the program it was recorded in, as the series repeats them for each further PGD. Absent
   * where there were none.
   */
  readonly accesses?: readonly number[];
}

/** Low halves of the functions' addresses in the recorded kernel; the upper half is all ones. */
export interface VisitedFunctions {
  readonly create: number;
  readonly free: number;
  readonly grow: readonly number[];
  readonly slot: number;
  /** The table a PGD is copied from, and the lock that is taken once for all; 0 for none. */
  readonly source?: number;
  readonly lock?: number;
  /** Where a visit is left for something else; what is absent is not noticed. */
  readonly leaving?: {
    readonly entries: ReadonlySet<number>;
    readonly iret: number;
    readonly asides: ReadonlySet<number>;
    readonly switchTo: number;
  };
}

/**
 * Where interrupts and exceptions enter the kernel; what a kernel does not have is passed over. Source: Linux 6.1
 * arch/x86/include/asm/idtentry.h.
 */
const ENTRIES = [
  "asm_common_interrupt",
  "asm_spurious_interrupt",
  ...[
    "apic_timer_interrupt",
    "call_function",
    "call_function_single",
    "irq_work",
    "reboot",
    "reschedule_ipi",
    "x86_platform_ipi",
    "spurious_apic_interrupt",
    "error_interrupt",
    "thermal",
    "threshold",
    "deferred_error",
    "kvm_asyncpf_interrupt",
    "kvm_posted_intr_ipi",
    "kvm_posted_intr_wakeup_ipi",
    "hyperv_callback",
    "hyperv_stimer0",
    "hyperv_reenlightenment",
    "xen_hvm_callback",
    "acrn_hv_callback",
  ].map((name) => `asm_sysvec_${name}`),
  ...[
    "page_fault",
    "int3",
    "debug",
    "general_protection",
    "invalid_op",
    "device_not_available",
    "divide_error",
    "coprocessor_error",
    "simd_coprocessor_error",
  ].map((name) => `asm_exc_${name}`),
];

/** Functions whose work is not that of who calls them. Source: Linux 6.1 kernel/sched/core.c, mm/page_alloc.c. */
const ASIDES = ["__schedule", "rmqueue_bulk", "free_pcppages_bulk"];

/** @param symbol address by name in the recorded kernel @returns undefined when it has none of them */
export function visitedFunctions(symbol: (name: string) => bigint | undefined): VisitedFunctions | undefined {
  const low = (name: string): number => Number(BigInt.asUintN(32, symbol(name) ?? 0n));
  const named = (names: readonly string[]): ReadonlySet<number> =>
    new Set(names.map(low).filter((address) => address !== 0));
  const found = {
    create: low("pgd_alloc"),
    free: low("pgd_free"),
    grow: [low("__pud_alloc"), low("__p4d_alloc")],
    slot: low("__pti_set_user_pgtbl"),
    source: low("init_top_pgt"),
    lock: low("pgd_lock"),
    leaving: {
      entries: named(ENTRIES),
      iret: low("native_irq_return_iret"),
      asides: named(ASIDES),
      switchTo: low("__switch_to_asm"),
    },
  };
  return found.create === 0 ? undefined : found;
}

interface Open {
  readonly kind: VisitKind | typeof GROW;
  readonly returnTo: number;
  instructions: number;
  pgd: number;
  slot: number;
  /** Its task's stack; UNKNOWN until the first access to one. */
  stack: number;
  /** Another task runs. */
  away: boolean;
  /** Interrupts one inside the other. */
  interrupts: number;
  /** Where one of {@link ASIDES} returns to, while it runs; UNKNOWN otherwise. */
  aside: number;
  /** Operations, and the page of the direct map each is about; -1 for others. */
  readonly accesses: number[];
  readonly pages: number[];
}

/** An open visit that is only looked at to tell filling from emptying. */
const GROW = -1;
const UPPER = 0xffff_ffff;
const UNKNOWN = -1;
/** {@link VisitFinder.left} behind __switch_to_asm, until its first push shows which stack is left. */
const ANY = -2;
/** Byte in a PGD at which the kernel's slots begin, 273 * 8: the first that pgd_alloc copies. */
const KERNEL_SLOTS = 0x888;
/** First slot of the kernel half: no process has it. */
const KERNEL_HALF = 256;
/** Visits inside one another; more are left behind by tasks that ended there. */
const DEPTH = 8;

/** What the CPU does now is the visit's. */
const runs = (visit: Open): boolean => !visit.away && visit.interrupts === 0 && visit.aside === UNKNOWN;

/** Finds visits in the records of one recording; feed it every fetch and access of the kernel in order. */
export class VisitFinder {
  /** Visits open on any CPU: while there are none, accesses need not be told. */
  opened = 0;
  private readonly open: Open[][] = [];
  private readonly fetchedTo = new Float64Array(64);
  /** By CPU: the stack that __switch_to_asm leaves, while it runs; UNKNOWN otherwise. */
  private readonly left = new Float64Array(64).fill(UNKNOWN);
  private readonly leaving: NonNullable<VisitedFunctions["leaving"]>;
  private readonly create: number;
  private readonly free: number;
  private readonly slot: number;
  private readonly grow: number;
  private readonly growToo: number;
  private readonly regionOf: ReturnType<typeof regionsOf>;
  // Upper halves of where the recorded kernel's mappings begin.
  private readonly directMapHi: number;
  private readonly vmallocHi: number;
  private readonly vmemmapHi: number;
  private readonly source: number;
  private readonly lock: number;

  /** @param levels of the recorded kernel's page tables */
  constructor(functions: VisitedFunctions, levels: 4 | 5 = 4) {
    this.regionOf = regionsOf({ levels, image: shippedGuest.image });
    [this.directMapHi, this.vmallocHi, this.vmemmapHi] = [
      MAPPINGS[levels].pageOffset,
      MAPPINGS[levels].vmallocStart,
      MAPPINGS[levels].vmemmapStart,
    ].map((base) => Number(base >> 32n)) as [number, number, number];
    ({ create: this.create, free: this.free, slot: this.slot } = functions);
    this.grow = functions.grow[0]!;
    this.growToo = functions.grow[1]!;
    this.source = functions.source ?? 0;
    this.lock = functions.lock ?? 0;
    this.leaving = functions.leaving ?? { entries: new Set(), iret: 0, asides: new Set(), switchTo: 0 };
  }

  /**
   * To be called before the fetch itself counts.
   * @param bytes fetched from the address on
   * @returns the visit that this fetch is behind
   */
  fetch(vcpu: number, lo: number, hi: number, instructions: number, bytes: number): KernelVisit | undefined {
    const before = this.fetchedTo[vcpu]!;
    this.fetchedTo[vcpu] = (lo + bytes) >>> 0;
    // Nearly always: nothing is open, and none of them begins here.
    if (
      this.opened === 0 &&
      lo !== this.slot &&
      lo !== this.grow &&
      lo !== this.create &&
      lo !== this.free &&
      lo !== this.growToo
    )
      return undefined;
    return this.fetchMarked(before, vcpu, lo, hi, instructions, bytes);
  }

  private fetchMarked(
    before: number,
    vcpu: number,
    lo: number,
    hi: number,
    instructions: number,
    bytes: number,
  ): KernelVisit | undefined {
    const stack = (this.open[vcpu] ??= []);
    const depth = stack.length;
    let done: KernelVisit | undefined;
    if (hi === UPPER) {
      if (bytes > 0) this.leave(stack, vcpu, before, lo);
      done = this.close(stack, lo);
      const kind =
        lo === this.create
          ? VisitKind.Create
          : lo === this.free
            ? VisitKind.Free
            : lo === this.slot
              ? VisitKind.Set
              : lo === this.grow || lo === this.growToo
                ? GROW
                : undefined;
      if (kind !== undefined && bytes > 0) {
        if (stack.length === DEPTH) stack.length = 0;
        stack.push({
          kind,
          returnTo: before,
          instructions: 0,
          pgd: -1,
          slot: -1,
          stack: UNKNOWN,
          away: false,
          interrupts: 0,
          aside: UNKNOWN,
          accesses: [],
          pages: [],
        });
      }
    }
    this.opened += stack.length - depth;
    for (const each of stack) {
      if (runs(each)) each.instructions += instructions;
      // The IRET itself is the interrupt's.
      if (
        this.leaving.iret !== 0 &&
        hi === UPPER &&
        !each.away &&
        each.interrupts > 0 &&
        lo <= this.leaving.iret &&
        this.leaving.iret < lo + bytes
      )
        each.interrupts--;
    }
    return done;
  }

  /** What a fetch says of where the open visits are: left, or come back to. */
  private leave(stack: readonly Open[], vcpu: number, before: number, lo: number): void {
    const { entries, asides, switchTo } = this.leaving;
    const interrupted = entries.has(lo);
    for (const each of stack) {
      if (each.away) continue;
      if (interrupted) each.interrupts++;
      else if (each.interrupts > 0) continue;
      else if (lo === each.aside) each.aside = UNKNOWN;
      else if (each.aside === UNKNOWN && asides.has(lo)) each.aside = before;
    }
    if (lo === switchTo && switchTo !== 0) this.left[vcpu] = ANY;
  }

  /** An access to a task's stack, perhaps the first one after a switch to it. */
  private onStack(stack: readonly Open[], vcpu: number, lo: number, hi: number): void {
    // 16 KiB, aligned to its length. Source: Linux 6.1 arch/x86/include/asm/page_64_types.h, THREAD_SIZE.
    const touched = (hi - this.vmallocHi) * 0x4_0000 + (lo >>> 14);
    const left = this.left[vcpu]!;
    if (left === ANY) this.left[vcpu] = touched;
    else if (left !== UNKNOWN && touched !== left) {
      this.left[vcpu] = UNKNOWN;
      for (const each of stack) each.away = each.stack !== touched;
    }
    for (const each of stack) if (each.stack === UNKNOWN && !each.away) each.stack = touched;
  }

  /** The table that is copied, whose lines the model's own copying loads; the lock. */
  private isOnce(lo: number, hi: number): boolean {
    return (
      hi === UPPER &&
      ((this.source !== 0 && lo >= this.source && lo < this.source + 8192) ||
        (this.lock !== 0 && lo >>> 6 === this.lock >>> 6))
    );
  }

  private close(stack: Open[], lo: number): KernelVisit | undefined {
    for (let at = stack.length - 1; at >= 0; at--) {
      const visit = stack[at]!;
      // A function of ASIDES that was jumped to, not called, returns to the visit's own caller.
      if (visit.returnTo !== lo || visit.away || visit.interrupts > 0) continue;
      // Those inside it never returned; those of other tasks will.
      for (let inner = stack.length - 1; inner >= at; inner--)
        if (!stack[inner]!.away && stack[inner]!.interrupts === 0) stack.splice(inner, 1);
      const { kind, pgd, slot, instructions } = visit;
      if (kind === GROW || (kind === VisitKind.Set && slot < 0)) return undefined;
      const filled = stack.some((each) => each.kind === GROW);
      // The pair of the PGD itself is the model's own to clear, fill and change.
      const accesses = visit.accesses.filter((_, i) => pgd < 0 || visit.pages[i]! >>> 1 !== pgd >>> 1);
      return {
        kind: kind === VisitKind.Set && !filled ? VisitKind.Clear : kind,
        pgd,
        slot,
        instructions,
        ...(accesses.length > 0 ? { accesses } : {}),
      };
    }
    return undefined;
  }

  /**
   * To be called for every load and store of the kernel half.
   * @param operation of the program; -1 for none to be kept
   */
  access(vcpu: number, lo: number, hi: number, store: boolean, operation = -1): void {
    const stack = this.open[vcpu];
    if (!stack) return;
    const region = this.regionOf(lo, hi);
    if (region === Region.Vmalloc) this.onStack(stack, vcpu, lo, hi);
    const visit = stack.findLast(runs);
    if (!visit) return;
    if (operation >= 0 && visit.kind !== GROW && region !== Region.Vmemmap && !this.isOnce(lo, hi)) {
      visit.accesses.push(operation);
      visit.pages.push(region === Region.DirectMap ? (hi - this.directMapHi) * 0x10_0000 + (lo >>> 12) : UNKNOWN);
    }
    if (visit.pgd >= 0) return;
    if (visit.kind === VisitKind.Free) {
      if (region === Region.Vmemmap) visit.pgd = (hi - this.vmemmapHi) * 0x400_0000 + (lo >>> 6);
    } else if (store && region === Region.DirectMap) {
      const page = (hi - this.directMapHi) * 0x10_0000 + (lo >>> 12);
      if (visit.kind === VisitKind.Create) {
        if ((lo & 4095) === KERNEL_SLOTS) visit.pgd = page;
      } else if (visit.kind === VisitKind.Set) {
        const slot = (lo & 4095) >>> 3;
        if (slot >= KERNEL_HALF) return;
        visit.pgd = page - (page % 2);
        visit.slot = slot;
      }
    }
  }
}
