/**
 * CPUs on tables that belong to no process: a call into the firmware, a poke of text. What another CPU does meanwhile
 * (a flush, an exec, the end of the process whose tables the CPU left) must take neither these tables away nor what the
 * CPU comes back to. G1, G6.
 */
import { Efi, efi } from "@kreplica/efi";
import { addressOfFrame, bytesAt, type CpuId, type Frame, NONE } from "@kreplica/hw-x86";
import { imageAddress, invariant } from "@kreplica/mm-core";
import { nops, textPatch, TextPoke } from "@kreplica/text-patch";
import type { Drawing } from "../drawing.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../family.js";
import type { Subject } from "../subject.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import type { ProcessOperation } from "./processes.js";
import { endsThreads, processOf } from "./racing.js";
import type { UserPageOperation } from "./user-pages.js";

/** @param lazy a worker calls, which borrowed the tables it leaves; otherwise a thread of the process does */
export type BorrowedTablesOperation =
  | { readonly op: "firmware"; readonly cpu: number; readonly lazy: boolean; readonly during: Operation }
  | {
      readonly op: "poke";
      readonly cpu: number;
      readonly lazy: boolean;
      readonly store: number;
      readonly during: Operation;
    };

/**
 * Bytes a poke of five stores through the alias, with a single copy: INT3, the tail, the first. On those tables the CPU
 * is away whatever the policy.
 */
const STORES = 6;
/** Bytes into the image's text: across a page, far from what the family of patching works on. */
const SITE = 0x8ffdn;
/** Pages whose flush reloads CR3, see mm-core's SINGLE_PAGE_CEILING; and a process that has one of them. */
const MANY = 1024;

export const borrowedTablesFamily: OperationFamily<BorrowedTablesOperation> = {
  name: "borrowed-tables",
  seenByUsers: true,
  kinds: {
    firmware: { weight: 2, fields: { cpu: "number", lazy: "boolean", during: "operation" }, alone: true },
    poke: { weight: 1, fields: { cpu: "number", lazy: "boolean", store: "number", during: "operation" }, alone: true },
  },
  draw(op, drawing) {
    const [cpu, lazy] = [drawing.cpu(), drawing.flag()];
    return op === "firmware"
      ? { op, cpu, lazy, during: drawing.nested() }
      : { op, cpu, lazy, store: 1 + drawing.random(STORES), during: drawing.nested() };
  },
  describe: (o, other) =>
    o.op === "firmware"
      ? `${o.lazy ? "a kernel thread on " : ""}CPU ${o.cpu} calls the firmware; meanwhile ${other(o.during)}`
      : `${o.lazy ? "a kernel thread on " : ""}CPU ${o.cpu} pokes text; after its ${1 + ((o.store + STORES - 1) % STORES)}. store ${other(o.during)}`,
  simpler: (o) => [
    o.during,
    ...(o.op === "poke" ? [{ op: "firmware", cpu: o.cpu, lazy: o.lazy, during: o.during } as const] : []),
    ...(o.lazy ? [{ ...o, lazy: false }] : []),
  ],
  scenes: [flushedMeanwhile, endedMeanwhile],
  plugins: [...AREA_PLUGINS, textPatch, efi],
  start: (system) => new BorrowedTablesAtWork(system),
};

const away = (drawing: Drawing, cpu: number, lazy: boolean, during: Operation): BorrowedTablesOperation =>
  drawing.flag()
    ? { op: "firmware", cpu, lazy, during }
    : { op: "poke", cpu, lazy, store: 1 + drawing.random(STORES), during };

/** Another thread unmaps more than a flush does page by page. */
function flushedMeanwhile(drawing: Drawing): Operation[] {
  const [p, cpu, there, page] = [drawing.process(), drawing.cpu(), drawing.cpu(), drawing.place()];
  const range = { p, cpu, page, pages: MANY };
  const steps: (UserPageOperation | ProcessOperation)[] = [
    { op: "mmap", ...range, writable: true, large: false, locked: false, policy: 0 },
    { op: "run", p, cpu },
    { op: "touch", cpu, page, kind: "write", value: 1 + drawing.random(1000) },
    { op: "run", p, cpu: there },
  ];
  const [unmapped, read]: UserPageOperation[] = [
    { op: "munmap", ...range },
    { op: "touch", cpu: there, page, kind: "read", value: 1 },
  ];
  return [...steps, away(drawing, there, drawing.flag(), unmapped!), read!];
}

/** The process goes whose tables a kernel thread had borrowed. */
function endedMeanwhile(drawing: Drawing): Operation[] {
  const [p, cpu] = [drawing.process(), drawing.cpu()];
  const steps: ProcessOperation[] = [
    { op: "run", p, cpu },
    drawing.oneOf([
      { op: "exit", p },
      { op: "exec", p, cpu: cpu + 1 },
    ] as const),
  ];
  return [steps[0]!, away(drawing, cpu, true, steps[1]!)];
}

class BorrowedTablesAtWork implements FamilyAtWork<BorrowedTablesOperation> {
  private readonly firmware: Efi;
  private readonly poke: TextPoke;
  private readonly frame: Frame;
  private readonly region: bigint;
  private readonly site: bigint;

  /** Tables and the region are there before the first run. */
  constructor(private readonly system: Subject) {
    const { assembly, allocator, view, layout, image } = system.parts;
    this.firmware = assembly.get(Efi);
    this.poke = assembly.get(TextPoke);
    this.frame = allocator.allocate(view.master, 0, { purpose: "kernel", zero: true });
    invariant(this.frame !== NONE, "no memory for the firmware's region");
    this.region = this.firmware.map({
      physical: addressOfFrame(this.frame),
      pages: 1,
      writable: true,
      executable: false,
    });
    this.site = imageAddress(layout, image.stext) + SITE;
    for (const _ of this.pokeSteps());
  }

  told(o: BorrowedTablesOperation): Readonly<Record<string, unknown>> {
    return { during: this.system.told(o.during) };
  }

  perform(o: BorrowedTablesOperation): void {
    const { system } = this;
    const cpu = system.cpu(o.cpu);
    if (o.lazy) system.population.switcher.idle(cpu);
    let done = !this.mayMeet(cpu, o.lazy, o.during);
    const meanwhile = (): void => {
      if (done) return;
      done = true;
      system.performWithin(o.during);
    };
    const after = done;
    if (o.op === "firmware") this.call(cpu, meanwhile);
    else this.patch(cpu, 1 + ((o.store + STORES - 1) % STORES), meanwhile);
    if (after) system.perform(o.during);
    else meanwhile();
  }

  /**
   * The CPU itself does nothing else, nor does a thread end that is below the firmware; all other operations on users'
   * memory may come.
   */
  private mayMeet(cpu: CpuId, lazy: boolean, during: Operation): boolean {
    const { system } = this;
    const { cpu: number } = during as { readonly cpu?: number };
    // A slot that a direct map grows into is in these tables from their next use on.
    if (
      !system.isUserOperation(during) ||
      during.op === "plug" ||
      during.op === "unplug" ||
      (number !== undefined && system.cpu(number) === cpu)
    )
      return false;
    return lazy || !endsThreads(during) || processOf(system, during) !== system.population.runningOn(cpu);
  }

  private call(cpu: CpuId, meanwhile: () => void): void {
    this.firmware.call(cpu, () => {
      this.look(cpu, "before");
      meanwhile();
      this.look(cpu, "after");
    });
  }

  /** G1, G6: the call goes on in the firmware's tables, and reaches its region. */
  private look(cpu: CpuId, when: string): void {
    const { machine } = this.system.parts;
    const core = machine.cpu(cpu);
    const root = this.firmware.root(machine.nodeOfCpu(cpu));
    if (core.rootFrame !== root)
      this.system.fail(
        "G1",
        `CPU ${cpu} is in a call of the firmware and runs on root ${core.rootFrame}, not on EFI's, ${root}`,
      );
    const status = core.load(Number(this.region & 0xffff_ffffn), Number(this.region >> 32n));
    if (status !== 0 || core.lastFrame !== this.frame)
      this.system.fail("G6", `CPU ${cpu} cannot reach the firmware's region in a call, ${when} what another CPU did`);
  }

  private patch(cpu: CpuId, store: number, meanwhile: () => void): void {
    const { cpus, machine } = this.system.parts;
    const before = cpus.current;
    const own = machine.cpu(cpu).rootFrame;
    let nth = 0;
    cpus.current = cpu;
    try {
      for (const _ of this.pokeSteps()) {
        // Between two copies it is back in its own tables.
        if (machine.cpu(cpu).rootFrame === own || ++nth !== store) continue;
        cpus.current = before;
        meanwhile();
        cpus.current = cpu;
      }
    } finally {
      cpus.current = before;
    }
  }

  /** What is there is written again. */
  private pokeSteps(): Iterable<unknown> {
    return this.poke.batchSteps([
      { address: this.site, bytes: this.poke.read(bytesAt(this.site, 5)), emulate: nops(5) },
    ]);
  }
}
