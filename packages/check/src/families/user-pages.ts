/**
 * Areas of a process and the pages in them: mapped, protected, moved, locked, touched; and the scenes in which a flush
 * could be missing.
 */
import { endOf, pagesBetween } from "@kreplica/hw-x86/api";
import { countText } from "@kreplica/inputs";
import type { AccessKind, NumaPolicy } from "@kreplica/mm-core";
import type { Subject } from "../subject.js";
import type { Drawing } from "../drawing.js";
import type { OperationFamily } from "../family.js";
import { PLACES, placeText as at } from "../places.js";
import type { ProcessOperation } from "./processes.js";

interface Range {
  readonly p: number;
  readonly cpu: number;
  readonly page: number;
  readonly pages: number;
}
export type UserPageOperation =
  | (Range & {
      readonly op: "mmap";
      readonly writable: boolean;
      readonly large: boolean;
      readonly locked: boolean;
      readonly policy: number;
    })
  | (Range & { readonly op: "stack" })
  | (Range & { readonly op: "munmap" })
  | (Range & { readonly op: "mprotect"; readonly writable: boolean; readonly executable: boolean })
  | (Range & { readonly op: "mremap"; readonly to: number })
  | (Range & { readonly op: "mlock"; readonly on: boolean })
  | { readonly op: "brk"; readonly p: number; readonly cpu: number; readonly pages: number }
  | {
      readonly op: "touch";
      readonly cpu: number;
      readonly page: number;
      readonly kind: AccessKind;
      readonly value: number;
    };

const range = { p: "number", cpu: "number", page: "number", pages: "number" } as const;
/** Two 2 MiB pages and what surrounds them. */
const MANY = 1024;

export const userPageFamily: OperationFamily<UserPageOperation> = {
  name: "user-pages",
  seenByUsers: true,
  kinds: {
    mmap: {
      weight: 10,
      fields: { ...range, writable: "boolean", large: "boolean", locked: "boolean", policy: "number" },
    },
    stack: { weight: 3, fields: range },
    munmap: { weight: 8, fields: range },
    mprotect: { weight: 10, fields: { ...range, writable: "boolean", executable: "boolean" } },
    mremap: { weight: 4, fields: { ...range, to: "number" } },
    mlock: { weight: 2, fields: { ...range, on: "boolean" } },
    brk: { weight: 2, fields: { p: "number", cpu: "number", pages: "number" } },
    touch: {
      weight: 40,
      fields: { cpu: "number", page: "number", kind: ["read", "write", "execute"], value: "number" },
    },
  },
  scenes: [staleEntry, staleEntry, staleEntry, missedFlushes, growingStack],

  draw(op, drawing) {
    if (op === "touch")
      return {
        op,
        cpu: drawing.cpu(),
        page: drawing.place(),
        kind: drawing.oneOf(["read", "write", "write", "execute"]),
        value: 1 + drawing.random(1000),
      };
    const who = { p: drawing.process(), cpu: drawing.cpu() };
    if (op === "brk") return { op, ...who, pages: drawing.random(6) };
    const where = { ...who, page: drawing.place(), pages: drawing.pages() };
    switch (op) {
      case "mmap":
        return {
          op,
          ...where,
          ...(drawing.random(6) === 0 ? { pages: MANY } : {}),
          writable: drawing.random(4) > 0,
          large: drawing.random(3) === 0,
          locked: drawing.random(6) === 0,
          policy: drawing.random(4),
        };
      case "stack":
        return { op, ...where };
      case "munmap":
        return { op, ...where, ...(drawing.random(4) === 0 ? { pages: MANY } : {}) };
      case "mprotect":
        return {
          op,
          ...where,
          ...(drawing.flag() ? { pages: 1 } : {}),
          writable: drawing.flag(),
          executable: drawing.flag(),
        };
      case "mremap":
        return { op, ...where, to: drawing.random(PLACES) };
      case "mlock":
        return { op, ...where, on: drawing.flag() };
    }
  },

  describe(o) {
    switch (o.op) {
      case "mmap":
        return `process ${o.p} maps ${countText(o.pages, "page")} at ${at(o.page)}, r${o.writable ? "w" : "-"}${o.large ? ", 2 MiB pages" : ""}${o.locked ? ", locked" : ""}, on CPU ${o.cpu}`;
      case "stack":
        return `process ${o.p} maps a stack of ${countText(o.pages, "page")} at ${at(o.page)}, on CPU ${o.cpu}`;
      case "munmap":
        return `process ${o.p} unmaps ${countText(o.pages, "page")} at ${at(o.page)}, on CPU ${o.cpu}`;
      case "mprotect":
        return `process ${o.p} protects ${countText(o.pages, "page")} at ${at(o.page)}: r${o.writable ? "w" : "-"}${o.executable ? "x" : "-"}, on CPU ${o.cpu}`;
      case "mremap":
        return `process ${o.p} moves ${countText(o.pages, "page")} from ${at(o.page)} to ${at(o.to)}, on CPU ${o.cpu}`;
      case "mlock":
        return `process ${o.p} ${o.on ? "locks" : "unlocks"} ${countText(o.pages, "page")} at ${at(o.page)}`;
      case "brk":
        return `process ${o.p} sets its heap to ${countText(o.pages, "page")}`;
      case "touch":
        return `CPU ${o.cpu}: ${o.kind} ${at(o.page)}${o.kind === "write" ? ` <- ${o.value}` : ""}`;
    }
  },

  start(system) {
    const { population } = system;
    const { processes } = population;
    return {
      perform(o) {
        const cpu = system.cpu(o.cpu);
        if (o.op === "touch") return population.access(cpu, system.address(o.page), o.kind, o.value);
        const who = population.pick(o.p);
        if (!who) return;
        const { process, model } = who;
        if (o.op === "brk") {
          const [before, after] = [model.brkPages, o.pages].map((pages) => endOf({ start: process.brkStart, pages }));
          if (!processes.setBrk(process, after!, cpu)) return;
          if (after! > before!) model.map(pagesBetween(before!, after!), true);
          else model.unmap(pagesBetween(after!, before!));
          model.brkPages = o.pages;
          return;
        }
        const range = { start: system.address(o.page), pages: o.pages };
        switch (o.op) {
          case "mmap":
          case "stack": {
            const free = model.isFree(range);
            const stack = o.op === "stack";
            const properties = stack
              ? { stack }
              : {
                  writable: o.writable,
                  large: o.large,
                  locked: o.locked && o.pages < 100,
                  policy: numaPolicy(system, o.policy),
                };
            if (!system.unchangedWhenRefused(() => processes.mmap(process, range, properties, cpu))) return;
            if (!free) system.fail("F8", "mmap over pages that are mapped");
            model.map(range, stack || o.writable, stack);
            return;
          }
          case "munmap":
            if (processes.munmap(process, range, cpu)) model.unmap(range);
            return;
          case "mprotect": {
            const covered = model.isCovered(range);
            if (!processes.mprotect(process, range, { writable: o.writable, executable: o.executable }, cpu)) return;
            if (!covered) system.fail("F8", "mprotect over a hole");
            model.protect(range, o.writable, o.executable);
            return;
          }
          case "mremap": {
            const to = system.address(o.to);
            const allowed = model.isCovered(range) && model.isFree({ start: to, pages: o.pages });
            if (!processes.mremap(process, range, to, cpu)) return;
            if (!allowed) system.fail("F8", "mremap from a hole or onto pages that are mapped");
            model.move(range, to);
            return;
          }
          case "mlock":
            if (!processes.mlock(process, range, o.on, cpu))
              // Where memory ran out, only the kernel knows how far it came.
              model.populate(range, (page) => population.hasCopy(process, page));
            else if (o.on) model.populate(range, () => true);
        }
      },
    };
  },
};

function numaPolicy(system: Subject, number: number): NumaPolicy {
  const nodes = [...new Set(system.parts.machine.memory.ranges.map((each) => each.node))];
  return (
    [
      { kind: "local" },
      { kind: "bind", nodes },
      { kind: "interleave", nodes },
      { kind: "preferred", node: nodes.at(-1)! },
    ] as const
  )[number % 4]!;
}

/** A stack, used ever further down, by one CPU and another, with a child between them now and then. */
function growingStack({ random, focus }: Drawing): readonly Step[] {
  const p = (focus.p = random(4));
  // The third page of a place's run of three: two lie below it.
  const page = (focus.page = 3 * random(PLACES / 3) + 2);
  const [cpu, other] = [random(4), random(4)];
  const push = (at: number, by: number): Step => ({
    op: "touch",
    cpu: by,
    page: at,
    kind: "write",
    value: 1 + random(1000),
  });
  const between: readonly Step[] = (
    [[], [{ op: "fork", p, cpu: other }], [{ op: "mlock", p, cpu, page: page - 1, pages: 2, on: true }]] as const
  )[random(3)]!;
  return [
    { op: "munmap", p, cpu, page: page - 2, pages: 4 },
    { op: "stack", p, cpu, page, pages: 1 },
    { op: "run", p, cpu },
    push(page, cpu),
    push(page - 1, cpu),
    ...between,
    { op: "run", p, cpu: other },
    push(page - 2, other),
    { op: "touch", cpu, page: page - 1, kind: "read", value: 1 },
  ];
}

type Step = UserPageOperation | ProcessOperation;

/**
 * The adversary of every flush: one CPU uses a page, perhaps turns to something else, another changes the page, the
 * first comes back. Drawn as plain operations, so that a failure shrinks like any other.
 */
function staleEntry({ random, focus }: Drawing): readonly Step[] {
  const p = (focus.p = random(4));
  const page = (focus.page = random(PLACES));
  const user = random(4);
  const changer = user + 1 + random(3);
  const pages = 1 + random(2);
  const touch = (kind: AccessKind): Step => ({ op: "touch", cpu: user, page, kind, value: 1 + random(1000) });
  const away: readonly Step[] = ([[], [{ op: "idle", cpu: user }], [{ op: "run", p: p + 1, cpu: user }]] as const)[
    random(3)
  ]!;
  const change: Step = (
    [
      { op: "munmap", p, cpu: changer, page, pages },
      { op: "mprotect", p, cpu: changer, page, pages: 1, writable: false, executable: false },
      { op: "fork", p, cpu: changer },
      { op: "mremap", p, cpu: changer, page, pages, to: random(PLACES) },
      { op: "munmap", p, cpu: changer, page, pages: MANY },
    ] as const
  )[random(5)]!;
  const run: Step = { op: "run", p, cpu: user };
  return [
    { op: "mmap", p, cpu: user, page, pages, writable: true, large: random(4) === 0, locked: false, policy: 0 },
    run,
    touch("write"),
    ...away,
    change,
    ...(away.length > 0 ? [run] : []),
    touch("write"),
    touch("read"),
  ];
}

/**
 * A CPU that only borrows its space is not told of a flush, and is of the next, which frees tables: what it has of the
 * first must go too. One change alone would not show it.
 */
function missedFlushes({ random, focus }: Drawing): readonly Step[] {
  const p = (focus.p = random(4));
  // The first page of a place's run of three, whose table the second keeps; and a place of another run.
  const first = random(PLACES / 3);
  const page = (focus.page = 3 * first);
  const lone = 3 * ((first + 1 + random(PLACES / 3 - 1)) % (PLACES / 3));
  const user = random(4);
  const changer = user + 1 + random(3);
  const map = (at: number, pages: number): Step => ({
    op: "mmap",
    p,
    cpu: changer,
    page: at,
    pages,
    writable: true,
    large: false,
    locked: false,
    policy: 0,
  });
  const touch = (cpu: number, at: number, kind: AccessKind): Step => ({
    op: "touch",
    cpu,
    page: at,
    kind,
    value: 1 + random(1000),
  });
  const missed: Step =
    random(2) === 0
      ? { op: "munmap", p, cpu: changer, page, pages: 1 }
      : { op: "mprotect", p, cpu: changer, page, pages: 1, writable: false, executable: false };
  return [
    { op: "munmap", p, cpu: changer, page, pages: 3 },
    { op: "munmap", p, cpu: changer, page: lone, pages: 3 },
    map(page, 2),
    map(lone, 1),
    { op: "run", p, cpu: user },
    { op: "run", p, cpu: changer },
    touch(changer, page, "write"),
    touch(changer, page + 1, "write"),
    touch(changer, lone, "write"),
    touch(user, page, "write"),
    { op: "idle", cpu: user },
    missed,
    { op: "munmap", p, cpu: changer, page: lone, pages: 1 },
    { op: "run", p, cpu: user },
    touch(user, page, "write"),
    touch(user, page, "read"),
  ];
}
