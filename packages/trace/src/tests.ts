/** The tests the marker in a recording can name, and the RFC's names and reported gains for seven of them. */

/** Upper half of every marker's immediate. */
export const MARKER = 0x5eed;
/** Phase of a marker, its low byte. */
export enum Phase {
  Start = 1,
  End = 2,
  Aux = 3,
}

/** One test: how recordings number it and what is known about it. */
export interface TraceTest {
  /** Number in the marker. */
  readonly id: number;
  /** The guest program's name for it. */
  readonly key: string;
  /** Name in the table: the cover letter's where it has one. */
  readonly name: string;
  /** Calls the RFC's authors made in one run of it. */
  readonly iterations: number;
  /** Function of the kernel that its system call runs once: a recording's calls are counted by it. */
  readonly call?: string;
  /** Gain of replication the authors reported, percent. @source PATCH RFC 00/12, 2 x E5-2690 */
  readonly reported?: { readonly hot: number; readonly cold: number };
}

/**
 * In the cover letter's order; the four without a reported figure follow.
 * @source PATCH RFC 00/12 x86 NUMA-aware kernel replication
 */
export const traceTests: readonly TraceTest[] = [
  { id: 1, key: "fork1", name: "fork-1", iterations: 1, call: "kernel_clone", reported: { hot: 2.3, cold: 42.7 } },
  {
    id: 2,
    key: "forkN",
    name: "fork-1024",
    iterations: 1024,
    call: "kernel_clone",
    reported: { hot: 10.8, cold: 17.1 },
  },
  {
    id: 3,
    key: "mmap",
    name: "mmap/munmap",
    iterations: 1024,
    call: "ksys_mmap_pgoff",
    reported: { hot: 0.4, cold: 0.4 },
  },
  {
    id: 4,
    key: "mlock",
    name: "mmap/lock",
    iterations: 1024,
    call: "ksys_mmap_pgoff",
    reported: { hot: 4.2, cold: 1.5 },
  },
  {
    id: 5,
    key: "open",
    name: "open/close",
    iterations: 1024,
    call: "do_sys_openat2",
    reported: { hot: 3.2, cold: 0.4 },
  },
  { id: 7, key: "kill", name: "kill", iterations: 1, call: "kill_something_info", reported: { hot: 4, cold: 26.1 } },
  { id: 6, key: "mount", name: "mount", iterations: 1, call: "path_mount", reported: { hot: 8.7, cold: 4.1 } },
  { id: 8, key: "poke", name: "poke", iterations: 1 },
  { id: 9, key: "insmod", name: "insmod", iterations: 1 },
  { id: 10, key: "touch", name: "touch", iterations: 1 },
];

/** The test a marker's immediate names, or undefined. */
export const testOfMarker = (immediate: number): TraceTest | undefined =>
  immediate >>> 16 === MARKER ? traceTests.find((each) => each.id === ((immediate >>> 8) & 0xff)) : undefined;
