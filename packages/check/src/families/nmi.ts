/**
 * An NMI on the very CPU that an operation may run on, at any point of it and on either side of each of the CPU's own
 * writes of CR3: its handler comes in by the entry text of whichever half is loaded, runs on the kernel's, and reads
 * user memory as perf's unwinder does, where the switcher says that it may.
 */
import { CR3_NO_FLUSH, type CpuId, highOf, lowOf } from "@kreplica/hw-x86/api";
import { directAddress, userImageRange } from "@kreplica/mm-core";
import type { Live } from "../population.js";
import type { Subject } from "../subject.js";
import { type Beside, frameMapped, frameRead } from "./racing.js";

/** Under KPTI the user half is the upper page of a pair, and its PCIDs are those with bit 11. */
const USER_HALF = 0x1800n;

/** NMIs from a point of an operation on, each time that one can come. */
export function interruptUnmaskably(system: Subject, o: Beside): void {
  const { parts, population, watch } = system;
  const cpu = system.cpu(o.cpu);
  // The task stays who it is until a switch is over; exec gives it another space.
  const who = population.runningOn(cpu);
  const address = system.address(o.page);
  const before = who && frameMapped(who, address);
  const core = parts.machine.cpu(cpu);
  const writeCr3 = core.writeCr3.bind(core);
  const own = Object.getOwnPropertyDescriptor(core, "writeCr3");
  let isInside = false;
  const interrupt = (): void => {
    if (isInside) return;
    isInside = true;
    const { cr3, privilege, lastFrame } = core;
    handle(system, cpu, who, address, before);
    // Whoever was interrupted may still want to know which frame it came to.
    const last = directAddress(parts.layout, lastFrame);
    core.load(lowOf(last), highOf(last));
    if (core.cr3 !== cr3) writeCr3(cr3 | (parts.options.pcid ? CR3_NO_FLUSH : 0n));
    core.privilege = privilege;
    isInside = false;
  };
  core.writeCr3 = (value) => {
    interrupt();
    writeCr3(value);
    interrupt();
  };
  watch.pointsFrom(system.follow ? 1 : o.point, interrupt);
  try {
    system.perform(o.during);
  } finally {
    watch.stopProbe();
    if (own) Object.defineProperty(core, "writeCr3", own);
    else delete (core as { writeCr3?: unknown }).writeCr3;
  }
}

function handle(system: Subject, cpu: CpuId, who: Live | undefined, address: bigint, before: number | undefined): void {
  const { allocator, image, layout, machine, options } = system.parts;
  const { switcher } = system.population;
  const core = machine.cpu(cpu);
  if (allocator.purposeOf(core.rootFrame) === "free")
    system.fail("G1", `an NMI comes to CPU ${cpu} on root ${core.rootFrame}, which is free`);
  const entry = userImageRange(layout, image, options.pcid).start;
  core.privilege = 0;
  if (core.fetch(lowOf(entry), highOf(entry)) !== 0)
    system.fail("G1", `an NMI comes to CPU ${cpu}, whose tables at root ${core.rootFrame} have no entry text`);
  if (layout.pti && (core.rootFrame & 1) !== 0)
    core.writeCr3((core.cr3 & ~USER_HALF) | (options.pcid ? CR3_NO_FLUSH : 0n));
  if (!who || !switcher.nmiMayAccess(cpu, who.process.space)) return;
  const reached = frameRead(core, address);
  if (reached === undefined) return;
  if (allocator.purposeOf(reached) === "free")
    system.fail("G5", `in an NMI CPU ${cpu} reads frame ${reached}, which is free`);
  if (reached !== before && reached !== frameMapped(who, address))
    system.fail("G5", `in an NMI CPU ${cpu} reads frame ${reached}, which its process never had there`);
}
