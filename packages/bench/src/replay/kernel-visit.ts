/**
 * Visits of the recorded kernel to the functions that the series makes do more: where the model's own work is spliced in.
 *
 * A visit begins at a jump to the function's first byte and ends at the byte behind the call. What it was about is read off its
 * accesses: the PGD from the page it fills or the page descriptor it touches, the slot from the store to the user half. A recording
 * made without KPTI shows no stores to a user half, so that its slots are not found; PGDs made and freed are.
 * Source: Linux 6.1 arch/x86/mm/pgtable.c, arch/x86/mm/pti.c and mm/memory.c for which function does what.
 */
import { Region, regionOf } from "../trace/guest.js";

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
  /** Recorded instructions from the first to the return, those of callees included. */
  readonly instructions: number;
}

/** Low halves of the functions' addresses in the recorded kernel; the upper half is all ones. */
export interface VisitedFunctions { readonly create: number; readonly free: number; readonly grow: readonly number[]; readonly slot: number }

/** @param symbol address by name in the recorded kernel @returns undefined when it has none of them */
export function visitedFunctions(symbol: (name: string) => bigint | undefined): VisitedFunctions | undefined {
  const low = (name: string): number => Number(BigInt.asUintN(32, symbol(name) ?? 0n));
  const found = { create: low("pgd_alloc"), free: low("pgd_free"), grow: [low("__pud_alloc"), low("__p4d_alloc")], slot: low("__pti_set_user_pgtbl") };
  return found.create === 0 ? undefined : found;
}

interface Open { readonly kind: VisitKind | typeof GROW; readonly returnTo: number; instructions: number; pgd: number; slot: number }

/** An open visit that is only looked at to tell filling from emptying. */
const GROW = -1;
const UPPER = 0xffff_ffff;
const DIRECT_MAP_HI = 0xffff_8880;
const VMEMMAP_HI = 0xffff_ea00;
/** Byte in a PGD at which the kernel's slots begin, 273 * 8: the first that pgd_alloc copies. */
const KERNEL_SLOTS = 0x888;
/** Visits inside one another; more are left behind by tasks that ended there. */
const DEPTH = 8;

/** Finds visits in the records of one recording; feed it every fetch and access of the kernel in order. */
export class VisitFinder {
  /** Visits open on any CPU: while there are none, accesses need not be told. */
  opened = 0;
  private readonly open: Open[][] = [];
  private readonly fetchedTo = new Float64Array(64);
  private readonly create: number;
  private readonly free: number;
  private readonly slot: number;
  private readonly grow: number;
  private readonly growToo: number;

  constructor(functions: VisitedFunctions) {
    ({ create: this.create, free: this.free, slot: this.slot } = functions);
    this.grow = functions.grow[0]!;
    this.growToo = functions.grow[1]!;
  }

  /** To be called before the fetch itself counts. @param bytes fetched from the address on @returns the visit that this fetch is behind */
  fetch(vcpu: number, lo: number, hi: number, instructions: number, bytes: number): KernelVisit | undefined {
    const before = this.fetchedTo[vcpu]!;
    this.fetchedTo[vcpu] = (lo + bytes) >>> 0;
    // Nearly always: nothing is open, and none of them begins here.
    if (this.opened === 0 && lo !== this.slot && lo !== this.grow && lo !== this.create && lo !== this.free && lo !== this.growToo) return undefined;
    return this.fetchMarked(before, vcpu, lo, hi, instructions, bytes);
  }

  private fetchMarked(before: number, vcpu: number, lo: number, hi: number, instructions: number, bytes: number): KernelVisit | undefined {
    const stack = this.open[vcpu] ??= [];
    const depth = stack.length;
    let done: KernelVisit | undefined;
    if (hi === UPPER) {
      done = this.close(stack, lo);
      const kind = lo === this.create ? VisitKind.Create : lo === this.free ? VisitKind.Free : lo === this.slot ? VisitKind.Set : lo === this.grow || lo === this.growToo ? GROW : undefined;
      if (kind !== undefined && bytes > 0) {
        if (stack.length === DEPTH) stack.length = 0;
        stack.push({ kind, returnTo: before, instructions: 0, pgd: -1, slot: -1 });
      }
    }
    this.opened += stack.length - depth;
    for (const each of stack) each.instructions += instructions;
    return done;
  }

  private close(stack: Open[], lo: number): KernelVisit | undefined {
    for (let at = stack.length - 1; at >= 0; at--) {
      const visit = stack[at]!;
      if (visit.returnTo !== lo) continue;
      stack.length = at;
      const { kind, pgd, slot, instructions } = visit;
      if (kind === GROW || (kind === VisitKind.Set && slot < 0)) return undefined;
      const filled = stack.some((each) => each.kind === GROW);
      return { kind: kind === VisitKind.Set && !filled ? VisitKind.Clear : kind, pgd, slot, instructions };
    }
    return undefined;
  }

  /** To be called for every load and store of the kernel half. */
  access(vcpu: number, lo: number, hi: number, store: boolean): void {
    const stack = this.open[vcpu];
    const visit = stack?.[stack.length - 1];
    if (!visit || visit.pgd >= 0) return;
    const region = regionOf(lo, hi);
    if (visit.kind === VisitKind.Free) {
      if (region === Region.Vmemmap) visit.pgd = (hi - VMEMMAP_HI) * 0x400_0000 + (lo >>> 6);
    } else if (store && region === Region.DirectMap) {
      const page = (hi - DIRECT_MAP_HI) * 0x10_0000 + (lo >>> 12);
      if (visit.kind === VisitKind.Create) {
        if ((lo & 4095) === KERNEL_SLOTS) visit.pgd = page;
      } else if (visit.kind === VisitKind.Set) {
        visit.pgd = page - (page % 2);
        visit.slot = (lo & 4095) >>> 3;
      }
    }
  }
}
