/**
 * Data of other CPUs, pushed through the last-level cache that the measured CPU uses: a seeded stream of loads by a
 * core behind the same cache, so many lines for so many cycles of the measured one.
 *
 * The lines are of memory that no node has, above all that exists: no frame of the kernel or of the test is theirs, and
 * like device windows they lie on the node of who asks. There are at least twice as many as the cache has lines and
 * each comes once before any comes again, so that all of them miss.
 */
import type { Cpu, CpuId, Machine, MachineSpec } from "@kreplica/hw-x86/api";
import { SparseMemory } from "@kreplica/hw-x86";

const LINE = 64;
const LINES_OF_PAGE = 64;

/** What other CPUs ask for. */
export interface Pressure {
  /** Data that each other core behind the measured CPU's last-level cache reads, MB/s of 1,000,000 bytes; above 0. */
  readonly mbsPerCore: number;
}

/** Cores behind the last-level cache of a CPU, its own apart, by their first CPUs, in order. */
export function otherCores(spec: MachineSpec, cpu: CpuId): CpuId[] {
  const own = spec.cpus.find(({ id }) => id === cpu)!;
  const first = new Map<number, CpuId>();
  for (const { id, core, l3 } of [...spec.cpus].sort((a, b) => a.id - b.id))
    if (l3 === own.l3 && core !== own.core && !first.has(core)) first.set(core, id);
  return [...first.values()];
}

/** Lines that a machine's last-level cache holds. */
export const linesOf = ({ l3 }: MachineSpec): number => l3.bytes / LINE;

/** The stream beside one CPU. */
export class ForeignStream {
  /** Lines it has brought. */
  inserted = 0;
  /** By its core's clock, that of the account's base. */
  readonly linesPerCycle: number;
  private readonly cpu: Cpu;
  private readonly firstFrame: number;
  /** Lines of the region - 1: a power of two, less one. */
  private readonly mask: number;
  private readonly lineShift: number;
  private place: number;
  private owed = 0;

  /**
   * @param measured CPU; another core shares its last-level cache
   * @param seed 32 bits: in which order the lines come
   */
  constructor(machine: Machine, measured: CpuId, { mbsPerCore }: Pressure, seed: number) {
    const { spec } = machine;
    const others = otherCores(spec, measured);
    // The last: the recording's other virtual CPUs run on the first ones.
    this.cpu = machine.cpu(others.at(-1)!);
    this.linesPerCycle = (mbsPerCore * 1e6 * others.length) / LINE / spec.hertz.value;
    const region = Math.max(LINES_OF_PAGE, 2 ** Math.ceil(Math.log2(2 * linesOf(spec))));
    this.mask = region - 1;
    this.lineShift = Math.log2(region / LINES_OF_PAGE);
    const frames = region / LINES_OF_PAGE;
    const end = Math.max(...new SparseMemory(spec.nodes).ranges.map((range) => range.first + range.frames));
    this.firstFrame = Math.ceil(end / frames) * frames;
    this.place = seed & this.mask;
  }

  /** Brings what is due after so many more cycles of the measured CPU. */
  advance(cycles: number): void {
    this.owed += cycles * this.linesPerCycle;
    for (; this.owed >= 1; this.owed--) {
      // A generator of full period, so that no line comes twice before all have come. Its high bits are the good ones:
      // they choose the line in the page, of which there are fewer than pages.
      this.place = (Math.imul(this.place, 1_664_525) + 1_013_904_223) & this.mask;
      this.cpu.loadPhysical(
        this.firstFrame + (this.place & ((1 << this.lineShift) - 1)),
        this.place >>> this.lineShift,
      );
      this.inserted++;
    }
  }
}
