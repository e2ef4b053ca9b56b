/**
 * G16: fetches of a page while it changes its size. A CPU that has a translation of one size, and tables of the other,
 * may come to have both: processors that the machine's description says it of raise a machine check at a fetch then.
 */
import { type CpuId, entryPages, highOf, lowOf, PAGE } from "@kreplica/hw-x86/api";
import { walk } from "@kreplica/mm-core";
import type { Subject } from "../subject.js";
import { type Beside, cpuOf } from "./racing.js";

const SIZES = ["", "4 KiB", "2 MiB", "1 GiB"];

/** A CPU that has fetched a page in user mode, and does so again at a point of an operation. */
export function fetchWithin(system: Subject, o: Beside): void {
  const { parts, population, watch } = system;
  const cpu = system.cpu(o.cpu);
  const who = population.runningOn(cpu);
  if (!who || cpuOf(system, o.during) === cpu) return system.perform(o.during);
  const address = system.address(o.page);
  const core = parts.machine.cpu(cpu);
  const fetch = (): void => {
    if (population.runningOn(cpu) !== who) return;
    population.switcher.enterUser(cpu);
    if (parts.machine.spec.translation.mixedSizes !== undefined) oneSize(system, cpu, address);
    core.fetch(lowOf(address), highOf(address));
    population.switcher.enterKernel(cpu);
  };
  // It has the translation by then.
  fetch();
  watch.pointAt(system.follow ? 1 : o.point, fetch);
  system.perform(o.during);
  watch.stopProbe();
}

/**
 * @throws CheckFailure where what a CPU has cached of a page that it may execute is of another size than the tables'
 */
function oneSize(system: Subject, cpu: CpuId, address: bigint): void {
  const { entries, layout, machine } = system.parts;
  const core = machine.cpu(cpu);
  const { level: size, present } = walk(entries.memory, core.rootFrame, layout.levels, address);
  if (!present) return;
  const page = Number(address / PAGE);
  core.cached.forEach(({ structure, executable, level, pcid, global, page: first, pageHigh }) => {
    const start = pageHigh * 2 ** 32 + first;
    if (structure || !executable || level === size || (!global && pcid !== core.pcid)) return;
    if (page >= start && page < start + entryPages(level))
      system.fail(
        "G16",
        `CPU ${cpu} fetches from 0x${address.toString(16)}, of which it has cached a ${SIZES[level]!} page where the tables have one of ${SIZES[size]!}: a machine check`,
      );
  });
}
