/** Operations that many paths begin with, as data. */
import type { PathStep } from "./bug.js";

/** A new process; the first is process 0. */
export const spawn = (cpu = 0): PathStep => ({ op: "spawn", cpu });
/** A thread of a process runs on a CPU. */
export const run = (cpu: number, p = 0): PathStep => ({ op: "run", p, cpu });
/** A kernel thread takes a CPU, whose tables stay loaded. */
export const idle = (cpu: number): PathStep => ({ op: "idle", cpu });
/** Pages of 4 KiB from a place; asked for on CPU 0. */
export const mmap = (page: number, pages: number, more: Readonly<Record<string, unknown>> = {}): PathStep => ({
  op: "mmap",
  p: 0,
  cpu: 0,
  page,
  pages,
  writable: true,
  large: false,
  locked: false,
  policy: 0,
  ...more,
});
export const munmap = (page: number, pages: number, cpu = 0): PathStep => ({ op: "munmap", p: 0, cpu, page, pages });
/** A user's access by whatever runs on the CPU. */
export const touch = (cpu: number, page: number, kind: "read" | "write" = "write"): PathStep => ({
  op: "touch",
  cpu,
  page,
  kind,
  value: 7,
});
export const readOnly = (page: number, pages: number): PathStep => ({
  op: "mprotect",
  p: 0,
  cpu: 0,
  page,
  pages,
  writable: false,
  executable: false,
});
