/**
 * What a person sees of a kernel at one moment: plain values, made by the worker and drawn by the page. Frames are
 * numbers of 4 KiB pages; addresses and 64-bit words are hexadecimal texts with 0x.
 */

/** A moment of a story: how many steps are done, and of the next one how many single stores. */
export interface Moment {
  /** 0: nothing done; then the steps of the boot, the operations, and last the end of the run. */
  readonly step: number;
  /** Stores of the step after `step` that are done; 0 when it has not begun. */
  readonly store: number;
}

/** One step of a story, as the list beside the picture shows it. */
export interface StoryStep {
  readonly kind: "boot" | "operation" | "end";
  /** `numa-replicate-kernel`, `fork`. */
  readonly name: string;
  /** What it does, in a sentence. */
  readonly words: string;
  /** The series' own step of the boot. */
  readonly fromSeries: boolean;
}

/** A run of entries of one table that say the same of consecutive pages, or one entry that leads to a table. */
export interface EntryRun {
  readonly first: number;
  readonly last: number;
  /** Frame of the table below, or the first frame mapped. */
  readonly frame: number;
  readonly node: number;
  /** Whether it leads to a table. */
  readonly table: boolean;
  /** `rw x user global accessed dirty large`, as far as set. */
  readonly flags: string;
}

/** A page of a page table. */
export interface TableView {
  readonly frame: number;
  /** Node its frame lies on. */
  readonly node: number;
  /** 1 PTE, 2 PMD, 3 PUD, 4 P4D or PGD, 5 PGD. */
  readonly level: number;
  readonly entries: readonly EntryRun[];
}

/** A top-level table with what it is. */
export interface RootView {
  /** `kernel node 1`, `process 2 node 0`. */
  readonly name: string;
  /** Process, counted as operations count them, from 0; absent for the kernel's own. */
  readonly process?: number;
  /** Node whose CPUs load it. */
  readonly serves: number;
  /** What CPUs load in user mode under KPTI. */
  readonly userHalf?: true;
  readonly frame: number;
}

/** An entry of a CPU's TLB or of its paging-structure caches. */
export interface CachedView {
  readonly address: string;
  readonly structure: boolean;
  readonly level: number;
  readonly pcid: number;
  readonly frame: number;
  readonly node: number;
  readonly flags: string;
}

/** A CPU, and what its CR3 says. */
export interface CpuView {
  readonly id: number;
  readonly node: number;
  readonly online: boolean;
  readonly cr3: string;
  readonly root: number;
  /** What it runs. */
  readonly runs: string;
  readonly cached: readonly CachedView[];
}

/** Memory of a node. */
export interface NodeView {
  readonly id: number;
  readonly holder: boolean;
  readonly master: boolean;
  readonly freeFrames: number;
  readonly tableFrames: number;
}

/** One store: of a page-table entry, or of bytes anywhere else. */
export interface ChangeView {
  /** Which of the step's stores, from 1. */
  readonly nth: number;
  readonly frame: number;
  readonly node: number;
  /** Entry of a table; absent for bytes. */
  readonly index?: number;
  /** Of bytes: where in the page. */
  readonly offset?: number;
  readonly before: string;
  readonly after: string;
}

/** A rule that does not hold. */
export interface BrokenRule {
  readonly id: string;
  readonly sentence: string;
  readonly detail: string;
  /** Since the boot, or broken by the step just done. */
  readonly since: "boot" | "now";
}

/** An entry on the way to an address; nothing more is said of one that is not present. */
export interface EntryView {
  readonly level: number;
  /** The table it stands in. */
  readonly frame: number;
  readonly index: number;
  /** Frame of the table below, or the frame mapped. */
  readonly to?: number;
  readonly node?: number;
  readonly flags?: string;
}

/** Where an address that a broken rule names leads: from each root, and in what CPUs have cached. */
export interface LeadView {
  readonly address: string;
  readonly ways: readonly { readonly root: string; readonly entries: readonly EntryView[] }[];
  readonly cached: readonly (CachedView & { readonly cpu: number })[];
}

/** A copy of a page on a node, as it is reached from that node's root. */
export interface CopyView {
  readonly nodes: readonly number[];
  readonly frame: number;
  readonly lies: number;
  /** 64 bytes a line, hexadecimal. */
  readonly bytes: string;
  readonly code: readonly { readonly address: string; readonly bytes: string; readonly text: string }[];
}

/** The page that is looked into. */
export interface PageView {
  readonly address: string;
  /** The symbol it is in: `do_syscall_64+0x10`; absent where none is. */
  readonly name?: string;
  readonly copies: readonly CopyView[];
}

/** One reference of a recording, as it was answered. */
export interface PlayedReference {
  readonly nth: number;
  readonly cpu: number;
  readonly kind: "fetch" | "load" | "store";
  /** Of the line, in this kernel. */
  readonly address: string;
  /** `do_syscall_64+0x40`; absent where no symbol is known. */
  readonly name?: string;
  readonly region: string;
  readonly frame: number;
  /** Node its frame lies on; -1 for no memory. */
  readonly node: number;
  /** What answered it: `L2`, `memory of node 0, far`. */
  readonly from: string;
  /** Over a link between nodes: the line itself, or an entry on the walk to it. */
  readonly far: boolean;
  readonly translation: "TLB" | "second TLB" | "walk";
  /** Entries of tables that the walk read over a link. */
  readonly farWalks: number;
  /** The first of a visit to the kernel. */
  readonly enters: boolean;
}

/** What the measured CPU's references came to so far, by where lines came from. */
export interface PlayedTotals {
  readonly caches: number;
  readonly near: number;
  readonly far: number;
  readonly walks: number;
  readonly farWalks: number;
}

/** A recording at one of its references. */
export interface PlayedView {
  readonly name: string;
  readonly kernel: string;
  /** Whether functions have names: whoever opened the recorded kernel sees them. */
  readonly named: boolean;
  readonly machine: string;
  readonly nodes: readonly number[];
  /** CPU that runs what was measured. */
  readonly cpu: number;
  /** Its node. */
  readonly on: number;
  readonly length: number;
  /** Reference that is looked at. */
  readonly at: number;
  readonly rows: readonly PlayedReference[];
  readonly totals: PlayedTotals;
  /** The nearest far reference, and the nearest entry into the kernel, before and behind it. */
  readonly before: { readonly far?: number; readonly entry?: number };
  readonly behind: { readonly far?: number; readonly entry?: number };
}

/** All that is seen at a moment. */
export interface View {
  readonly moment: Moment;
  /** Stores that the step under way, or the one just done, makes in all. */
  readonly stores: number;
  readonly levels: 4 | 5;
  readonly nodes: readonly NodeView[];
  readonly cpus: readonly CpuView[];
  readonly roots: readonly RootView[];
  readonly tables: readonly TableView[];
  /** Parts of the address space that have a name; `end` is the first address beyond. */
  readonly regions: readonly { readonly name: string; readonly start: string; readonly end: string }[];
  /** Places worth looking into: text, rodata and what processes touch. */
  readonly places: readonly { readonly name: string; readonly address: string }[];
  /** The first stores of the last step that changed anything; {@link stores} says how many there are in all. */
  readonly changes: readonly ChangeView[];
  /** Entries of tables that the step changed, all of them, as frame * 512 + index. */
  readonly stored: readonly number[];
  readonly broken: readonly BrokenRule[];
  /** The entries behind {@link broken}. */
  readonly leads: readonly LeadView[];
  /** Rules that were looked at. */
  readonly checked: number;
  readonly page?: PageView;
}
