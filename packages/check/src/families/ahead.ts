/**
 * What a CPU does beside an operation without being asked, from any point of it on: it walks ahead for an address that
 * nobody accesses, is in the middle of a walk, keeps interrupts off, fetches (mixed-sizes.ts), or gets NMIs (nmi.ts).
 * Of `check --schedules`; drawn nowhere.
 *
 * Tables and pages are given back behind a flush alone, which each CPU answers that may have them: so nothing that such
 * a CPU still holds is ever free. What it is left with in the end is looked at as after any operation (G12 to G14).
 */
import { type CpuId, type Frame, highOf, leafFrame, lowOf, PAGE, walkRange } from "@kreplica/hw-x86/api";
import { frameAt } from "@kreplica/mm-core";
import type { OperationFamily } from "../family.js";
import { placeText } from "../places.js";
import type { Subject } from "../subject.js";
import { fetchWithin } from "./mixed-sizes.js";
import { interruptUnmaskably } from "./nmi.js";
import { type Beside, cpuOf, endsThreads, frameMapped, frameRead, processOf, read } from "./racing.js";

/** A CPU beside an operation, from a point of it on. */
export interface AheadOperation extends Beside {
  readonly op: "walk-within" | "ahead-within" | "deaf-within" | "fetch-within" | "nmi-within";
}

const at = { during: "operation", point: "number", cpu: "number", page: "number" } as const;

/** What a CPU does of its own at any point of an operation. */
export const aheadFamily: OperationFamily<AheadOperation> = {
  name: "ahead",
  seenByUsers: true,
  kinds: {
    "walk-within": { weight: 1, fields: at, alone: true },
    "ahead-within": { weight: 1, fields: at, alone: true },
    "deaf-within": { weight: 1, fields: at, alone: true },
    "fetch-within": { weight: 1, fields: at, alone: true },
    "nmi-within": { weight: 1, fields: at, alone: true },
  },
  draw: (op, drawing) => ({
    op,
    during: drawing.nested(),
    point: 1 + drawing.random(60),
    cpu: drawing.cpu(),
    page: drawing.place(),
  }),
  describe(o, other) {
    const when = `${other(o.during)}; at its ${o.point}. point CPU ${o.cpu}`;
    switch (o.op) {
      case "nmi-within":
        return `${other(o.during)}; from its ${o.point}. point on NMIs come to CPU ${o.cpu}, whose handler reads ${placeText(o.page)}`;
      case "fetch-within":
        return `${when} fetches from ${placeText(o.page)}`;
      case "walk-within":
        return `${when} is in the middle of a walk for ${placeText(o.page)}`;
      case "ahead-within":
        return `${when} walks ahead for ${placeText(o.page)}`;
      case "deaf-within":
        return `${when} turns interrupts off and reads ${placeText(o.page)}, until somebody waits for it`;
    }
  },
  simpler: (o) => [o.during],
  start: (system) => ({
    told: (o) => ({ during: system.told(o.during) }),
    perform(o) {
      if (o.op === "walk-within") walkInTwo(system, o);
      else if (o.op === "ahead-within") walkAhead(system, o);
      else if (o.op === "deaf-within") turnInterruptsOff(system, o);
      else if (o.op === "fetch-within") fetchWithin(system, o);
      else interruptUnmaskably(system, o);
    },
  }),
};

/** Tables that a walk reads below the root, and the page it ends in. */
interface Way {
  readonly tables: readonly { readonly table: Frame; readonly level: number }[];
  readonly page: Frame | undefined;
}

/** By the root that the CPU has loaded. */
function wayTo({ parts }: Subject, cpu: CpuId, address: bigint): Way {
  const { entries, layout, machine } = parts;
  const tables: { readonly table: Frame; readonly level: number }[] = [];
  let page: Frame | undefined;
  walkRange(
    entries.memory,
    machine.cpu(cpu).rootFrame,
    layout.levels,
    { start: address, pages: 1 },
    {
      table(_address, level, table) {
        tables.push({ table, level: level - 1 });
      },
      leaf(start, level, lo, hi) {
        page = leafFrame(lo, hi, level) + Number((address - start) / PAGE);
      },
    },
  );
  return { tables, page };
}

/** G13 and G5: of what a CPU has walked, and may still use, nothing is free. */
function nothingFree(system: Subject, cpu: CpuId, { tables, page }: Way): void {
  const { allocator, machine } = system.parts;
  const { switcher } = system.population;
  const isFree = (frame: Frame): boolean => allocator.purposeOf(frame) === "free";
  if (!tables.some(({ table }) => isFree(table)) && (page === undefined || !isFree(page))) return;
  machine.cpu(cpu).cached.forEach(({ structure, frame, level, pcid, global }) => {
    const use = global ? "used" : switcher.useOf(cpu, pcid);
    if (structure) {
      if (use !== "owed" && tables.some(({ table }) => table === frame) && isFree(frame))
        system.fail(
          "G13",
          `CPU ${cpu}, which walked ahead, goes on from table ${frame} of level ${level}, which is free`,
        );
    } else if (use === "used" && page !== undefined && level === 1 && frame === page && isFree(page))
      system.fail("G5", `CPU ${cpu}, which walked ahead, has cached frame ${page}, which is free`);
  });
}

/**
 * A walk in user mode that has read its upper entries, and goes on at any later point until the CPU is told: wherever
 * on the way it is, it comes to the page that was there, to the one that is, or to none. When something is given back
 * meanwhile, the CPU itself goes on.
 */
function walkInTwo(system: Subject, o: AheadOperation): void {
  const { parts, population } = system;
  const cpu = system.cpu(o.cpu);
  const core = parts.machine.cpu(cpu);
  const address = system.address(o.page);
  read(system, o.during, o.cpu, o.page, ({ follow, watch }, goOn) => {
    const who = population.runningOn(cpu)!;
    const before = frameMapped(who, address);
    const { cr3 } = core;
    let way: Way | undefined;
    let isOver = false;
    watch.pointsFrom(follow ? 1 : o.point, ({ freed, acted }) => {
      // Interrupts are taken between instructions: no walk goes on from before one.
      isOver ||= population.runningOn(cpu) !== who || core.cr3 !== cr3 || (way !== undefined && acted === cpu);
      if (isOver) return;
      if (!way) {
        population.switcher.enterUser(cpu);
        way = wayTo(system, cpu, address);
        core.walkAhead(lowOf(address), highOf(address), 2);
        population.switcher.enterKernel(cpu);
        return;
      }
      for (const { table, level } of way.tables) {
        if (parts.allocator.purposeOf(table) === "free")
          system.fail("G13", `CPU ${cpu}, in a walk, goes on from table ${table} of level ${level}, which is free`);
        const page = frameAt(parts.entries.memory, table, level, address);
        if (page !== undefined && page !== before && page !== frameMapped(who, address))
          system.fail("G5", `CPU ${cpu}, in a walk, comes to frame ${page} by table ${table} of level ${level}`);
      }
      if (freed) goOn();
    });
  });
}

/** By the tables of the process it runs or borrows: in the kernel, and in user mode where it goes there. */
function walkAhead(system: Subject, o: AheadOperation): void {
  const { parts, population, watch } = system;
  const { switcher } = population;
  const cpu = system.cpu(o.cpu);
  if (cpuOf(system, o.during) === cpu) return system.perform(o.during);
  const address = system.address(o.page);
  const ways: Way[] = [];
  const walk = (): void => {
    ways.push(wayTo(system, cpu, address));
    parts.machine.cpu(cpu).walkAhead(lowOf(address), highOf(address), 1);
  };
  watch.pointsFrom(system.follow ? 1 : o.point, ({ freed }) => {
    if (ways.length === 0) {
      walk();
      if (!population.runningOn(cpu)) return;
      switcher.enterUser(cpu);
      walk();
      switcher.enterKernel(cpu);
    } else if (freed) for (const way of ways) nothingFree(system, cpu, way);
  });
  system.perform(o.during);
  watch.stopProbe();
}

/**
 * A CPU in the kernel, interrupts off, that reads user memory by what it has cached, and walks the tables itself as
 * get_user_pages_fast does: it is anywhere on its way down. Whoever waits for it finds it done.
 */
function turnInterruptsOff(system: Subject, o: AheadOperation): void {
  const { parts, population, watch } = system;
  const { cpus, allocator } = parts;
  const cpu = system.cpu(o.cpu);
  const who = population.runningOn(cpu);
  const isItsEnd = endsThreads(o.during) && processOf(system, o.during) === who;
  // A thread takes part in the end of its process, and does so with interrupts on.
  if (!who || isItsEnd || cpuOf(system, o.during) === cpu) return system.perform(o.during);
  const address = system.address(o.page);
  const core = parts.machine.cpu(cpu);
  let way: Way | undefined;
  let isOver = false;
  const look = (): void => {
    const reached = frameRead(core, address);
    if (reached !== undefined && allocator.purposeOf(reached) === "free")
      system.fail("G5", `with interrupts off CPU ${cpu} reads frame ${reached}, which is free`);
    const free = way?.tables.find(({ table }) => allocator.purposeOf(table) === "free");
    if (free)
      system.fail(
        "F5",
        `with interrupts off CPU ${cpu} walks through table ${free.table} of level ${free.level}, which is free`,
      );
  };
  // It has the translation by then.
  look();
  watch.pointsFrom(system.follow ? 1 : o.point, () => {
    if (isOver || population.runningOn(cpu) !== who) return;
    if (!way) {
      way = wayTo(system, cpu, address);
      cpus.disableInterrupts(cpu, () => {
        look();
        isOver = true;
      });
    }
    look();
  });
  system.perform(o.during);
  watch.stopProbe();
  cpus.enableInterrupts(cpu);
}
