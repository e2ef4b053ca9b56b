/** What a check run consists of: operations as plain data, drawn from a seed, printed so that a kernel person can follow, replayable. */
import type { AccessKind, seededRandom } from "@kreplica/mm-core";

/** `p` counts processes alive, `cpu` CPUs on line, both modulo; `page` is a place below {@link PLACES}. */
export type Operation =
  | { readonly op: "spawn"; readonly cpu: number }
  | { readonly op: "fork"; readonly p: number; readonly cpu: number }
  | { readonly op: "exec"; readonly p: number; readonly cpu: number }
  | { readonly op: "exit"; readonly p: number }
  | { readonly op: "run"; readonly p: number; readonly cpu: number }
  | { readonly op: "idle"; readonly cpu: number }
  | { readonly op: "mmap"; readonly p: number; readonly cpu: number; readonly page: number; readonly pages: number; readonly writable: boolean; readonly large: boolean; readonly locked: boolean; readonly policy: number }
  | { readonly op: "munmap"; readonly p: number; readonly cpu: number; readonly page: number; readonly pages: number }
  | { readonly op: "mprotect"; readonly p: number; readonly cpu: number; readonly page: number; readonly pages: number; readonly writable: boolean; readonly executable: boolean }
  | { readonly op: "mremap"; readonly p: number; readonly cpu: number; readonly page: number; readonly pages: number; readonly to: number }
  | { readonly op: "mlock"; readonly p: number; readonly cpu: number; readonly page: number; readonly pages: number; readonly on: boolean }
  | { readonly op: "brk"; readonly p: number; readonly cpu: number; readonly pages: number }
  | { readonly op: "touch"; readonly cpu: number; readonly page: number; readonly kind: AccessKind; readonly value: number }
  | { readonly op: "ldt"; readonly p: number }
  | { readonly op: "offline"; readonly cpu: number }
  | { readonly op: "online"; readonly cpu: number }
  | { readonly op: "shrink"; readonly p: number; readonly cpu: number }
  | { readonly op: "plug"; readonly node: number }
  | { readonly op: "kmap"; readonly page: number; readonly perNode: boolean }
  | { readonly op: "kunmap"; readonly page: number }
  | { readonly op: "kprotect"; readonly page: number; readonly writable: boolean }
  | { readonly op: "kread"; readonly page: number; readonly cpu: number }
  | { readonly op: "krelax"; readonly page: number; readonly cpu: number }
  | { readonly op: "refuse"; readonly nth: number }
  | { readonly op: "racing"; readonly during: Operation; readonly store: number; readonly cpu: number; readonly page: number };

const SPOTS = [0x200n, 0x201n, 0x202n, 0x3fen, 0x3ffn, 0x400n];
/** Places user operations work on: three top-level slots, around table borders; few, so that operations meet. */
export const PLACES = 3 * SPOTS.length;
/** Page number of a place. Top-level slots are 512 GiB apart with 4 levels, 256 TiB with 5. */
export const pageOf = (place: number, levels: 4 | 5): bigint =>
  (BigInt(Math.floor((place % PLACES) / SPOTS.length)) << (levels === 5 ? 36n : 27n)) + SPOTS[place % SPOTS.length]!;
/** Pages of the module area kernel operations work on. */
export const KERNEL_PLACES = 4;

const KINDS: readonly (readonly [Operation["op"], number])[] = [
  ["touch", 40], ["mmap", 10], ["munmap", 8], ["run", 12], ["fork", 8], ["exit", 3], ["exec", 2], ["mprotect", 10], ["mremap", 4], ["mlock", 2], ["brk", 2],
  ["ldt", 1], ["idle", 6], ["offline", 1], ["online", 2], ["shrink", 1], ["plug", 1], ["kmap", 2], ["kunmap", 1], ["kprotect", 2], ["kread", 4], ["krelax", 1],
  ["refuse", 2], ["racing", 6], ["spawn", 2],
];
const TOTAL = KINDS.reduce((sum, [, weight]) => sum + weight, 0);

/** What the last operations were about: operations that never meet find nothing. */
export interface Focus { p: number; cpu: number; page: number }

/** Draws one operation. @param focus is come back to more often than not, and moves along */
export function drawOperation(random: ReturnType<typeof seededRandom>, focus: Focus, nested = false): Operation {
  let pick = random(TOTAL);
  let op: Operation["op"] = "touch";
  for (const [kind, weight] of KINDS) {
    if (pick < weight) { op = kind; break; }
    pick -= weight;
  }
  if (nested && (op === "racing" || op === "refuse" || op === "offline" || op === "online")) op = "munmap";
  const p = random(3) === 0 ? (focus.p = random(8)) : focus.p;
  // The processor rather moves: what one did, another must see.
  const cpu = random(3) === 0 ? focus.cpu : (focus.cpu = random(16));
  const page = random(4) === 0 ? (focus.page = random(PLACES)) : focus.page;
  const pages = 1 + random(4);
  const flag = (): boolean => random(2) === 1;
  switch (op) {
    case "spawn": case "idle": case "offline": case "online": return { op, cpu };
    case "fork": case "exec": case "run": case "shrink": return { op, p, cpu };
    case "exit": case "ldt": return { op, p };
    case "mmap": return { op, p, cpu, page, pages: random(6) === 0 ? 1024 : pages, writable: random(4) > 0, large: random(3) === 0, locked: random(6) === 0, policy: random(4) };
    case "munmap": return { op, p, cpu, page, pages: random(4) === 0 ? 1024 : pages };
    case "mprotect": return { op, p, cpu, page, pages: random(2) === 0 ? 1 : pages, writable: flag(), executable: flag() };
    case "mremap": return { op, p, cpu, page, pages, to: random(PLACES) };
    case "mlock": return { op, p, cpu, page, pages, on: flag() };
    case "brk": return { op, p, cpu, pages: random(6) };
    case "touch": return { op, cpu, page, kind: (["read", "write", "write", "execute"] as const)[random(4)]!, value: 1 + random(1000) };
    case "plug": return { op, node: random(8) };
    case "kmap": return { op, page: random(KERNEL_PLACES), perNode: flag() };
    case "kunmap": return { op, page: random(KERNEL_PLACES) };
    case "kprotect": return { op, page: random(KERNEL_PLACES), writable: flag() };
    case "kread": case "krelax": return { op, page: random(KERNEL_PLACES), cpu };
    case "refuse": return { op, nth: 1 + random(6) };
    case "racing": return { op, during: drawOperation(random, focus, true), store: 1 + random(8), cpu, page };
  }
}

/**
 * The adversary of every flush: one CPU uses a page, perhaps turns to something else, another changes the page, the first comes back.
 * Drawn as plain operations, so that a failure shrinks like any other.
 */
export function drawStaleScene(random: ReturnType<typeof seededRandom>, focus: Focus): Operation[] {
  const p = (focus.p = random(4));
  const page = (focus.page = random(PLACES));
  const user = random(4);
  const changer = user + 1 + random(3);
  const pages = 1 + random(2);
  const touch = (kind: AccessKind): Operation => ({ op: "touch", cpu: user, page, kind, value: 1 + random(1000) });
  const away: Operation[] = ([[], [{ op: "idle", cpu: user }], [{ op: "run", p: p + 1, cpu: user }]] as const)[random(3)]!.slice();
  const change = ([
    { op: "munmap", p, cpu: changer, page, pages }, { op: "mprotect", p, cpu: changer, page, pages: 1, writable: false, executable: false },
    { op: "fork", p, cpu: changer }, { op: "mremap", p, cpu: changer, page, pages, to: random(PLACES) }, { op: "munmap", p, cpu: changer, page, pages: 1024 },
  ] as const)[random(5)]!;
  return [
    { op: "mmap", p, cpu: user, page, pages, writable: true, large: random(4) === 0, locked: false, policy: 0 },
    { op: "run", p, cpu: user }, touch("write"), ...away, change, ...(away.length > 0 ? [{ op: "run", p, cpu: user } as const] : []), touch("write"), touch("read"),
  ];
}

const at = (place: number): string => `0x${(pageOf(place, 4) << 12n).toString(16)}`;

/** One line: `P1 mmap 0x200000 2 pages rw- on CPU 3`. Numbers of processes and CPUs are as drawn, before the modulo. */
export function describeOperation(operation: Operation): string {
  const o = operation;
  switch (o.op) {
    case "spawn": return `a new process, asked for on CPU ${o.cpu}`;
    case "fork": return `process ${o.p} forks on CPU ${o.cpu}`;
    case "exec": return `process ${o.p} execs on CPU ${o.cpu}`;
    case "exit": return `process ${o.p} exits`;
    case "run": return `CPU ${o.cpu} switches to process ${o.p}`;
    case "idle": return `CPU ${o.cpu} runs a kernel thread`;
    case "mmap": return `process ${o.p} maps ${o.pages} pages at ${at(o.page)}, r${o.writable ? "w" : "-"}${o.large ? ", 2 MiB pages" : ""}${o.locked ? ", locked" : ""}, on CPU ${o.cpu}`;
    case "munmap": return `process ${o.p} unmaps ${o.pages} pages at ${at(o.page)}, on CPU ${o.cpu}`;
    case "mprotect": return `process ${o.p} protects ${o.pages} pages at ${at(o.page)}: r${o.writable ? "w" : "-"}${o.executable ? "x" : "-"}, on CPU ${o.cpu}`;
    case "mremap": return `process ${o.p} moves ${o.pages} pages from ${at(o.page)} to ${at(o.to)}, on CPU ${o.cpu}`;
    case "mlock": return `process ${o.p} ${o.on ? "locks" : "unlocks"} ${o.pages} pages at ${at(o.page)}`;
    case "brk": return `process ${o.p} sets its heap to ${o.pages} pages`;
    case "touch": return `CPU ${o.cpu}: ${o.kind} ${at(o.page)}${o.kind === "write" ? ` <- ${o.value}` : ""}`;
    case "ldt": return `process ${o.p} calls modify_ldt`;
    case "offline": return `CPU ${o.cpu} goes off line`;
    case "online": return `CPU ${o.cpu} comes on line`;
    case "shrink": return `process ${o.p} gives up its PGD for CPU ${o.cpu}'s node`;
    case "plug": return `node ${o.node} gains memory`;
    case "kmap": return `the kernel maps module page ${o.page}${o.perNode ? ", a frame for each node" : ""}`;
    case "kunmap": return `the kernel unmaps module page ${o.page}`;
    case "kprotect": return `the kernel makes module page ${o.page} ${o.writable ? "writable" : "read-only"}`;
    case "kread": return `CPU ${o.cpu} reads module page ${o.page}`;
    case "krelax": return `module page ${o.page} becomes writable without a flush, CPU ${o.cpu} writes it`;
    case "refuse": return `the ${o.nth}. allocation from now is refused`;
    case "racing": return `${describeOperation(o.during)}; after its ${o.store}. table store CPU ${o.cpu} reads ${at(o.page)}`;
  }
}
