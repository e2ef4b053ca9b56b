/**
 * The second oracle (F8): the same operations on a kernel with a single copy, from the same seed. What a user sees must
 * be the same on both: areas, pages, what may be done with them, accessed and dirty bits, contents, who shares a page,
 * RSS, locked pages, faults taken.
 *
 * An allocation that was refused on the kernel under check is refused on the other too. Where the other runs out of
 * memory by itself, the run is compared no further and counted in `parted`.
 */
import { kernelFrom, type KernelSource } from "@kreplica/kernel";
import { addressOfFrame, leafFrame, slotRange, walkRange } from "@kreplica/hw-x86";
import { singleCopy } from "@kreplica/mm-core";
import { AllocationRecord } from "./allocation-record.js";
import { CheckFailure } from "./check-failure.js";
import { CheckedSystem, type SystemOptions } from "./checked-system.js";
import { ALL_FAMILIES, Repertoire } from "./families.js";
import type { Operation, OperationFamily } from "./family.js";
import type { Live } from "./population.js";
import { WORD_BYTES, WORDS } from "./user-model.js";

/** When the two kernels are compared: not at all, at the end of a run, or after every operation. */
export type Comparison = "off" | "end" | "step";

/** Bits of a leaf a user can tell apart: P, W, U, PS, NX; and those the processor sets: A, D. */
const SEEN = 0x087;
const ACCESSED_DIRTY = 0x060;

/** A run on a kernel and, where it is compared, on one with a single copy beside it. */
export class Differential {
  readonly subject: CheckedSystem;
  /** The kernel with a single copy; undefined when nothing is compared. */
  readonly twin: CheckedSystem | undefined;
  /** Runs that could not be compared to their end. */
  parted = 0;
  private readonly repertoire: Repertoire;
  private readonly records: readonly [AllocationRecord, AllocationRecord] | undefined;

  /** @throws CheckFailure when the boot breaks a rule */
  constructor(
    source: KernelSource,
    readonly comparison: Comparison,
    families: readonly OperationFamily[] = ALL_FAMILIES,
    { goOn = false, coverage }: Pick<SystemOptions, "goOn" | "coverage"> = {},
  ) {
    const kernel = kernelFrom(source);
    this.subject = new CheckedSystem(kernel, { families, goOn, coverage });
    this.repertoire = new Repertoire(families);
    if (comparison === "off" || kernel.policy === singleCopy) return;
    this.twin = new CheckedSystem(kernel.with({ policy: singleCopy, defects: [] }), { families, usersOnly: true });
    this.records = [new AllocationRecord(this.subject.parts), new AllocationRecord(this.twin.parts)];
  }

  /** Whether another run must have another pair of kernels. */
  get isSpent(): boolean {
    return this.subject.isSpent;
  }

  /** Does a run on both. @throws CheckFailure */
  run(operations: readonly Operation[]): void {
    const { subject, twin, records } = this;
    if (!twin || !records) return subject.run(operations);
    const [mine, theirs] = records;
    theirs.parted = false;
    for (const operation of operations) {
      mine.begin();
      subject.step(operation);
      if (theirs.parted || !this.repertoire.isSeenByUsers(operation)) continue;
      theirs.begin(mine);
      twin.follow = subject.met;
      this.mirror(twin, operation);
      if (this.comparison === "step" && !theirs.parted) this.compare();
    }
    mine.begin();
    theirs.begin();
    if (theirs.parted) this.parted++;
    else this.compare();
    subject.finish();
    twin.finish();
  }

  /** On the twin a rule that breaks is a difference: it does what the kernel under check just did without complaint. */
  private mirror(twin: CheckedSystem, operation: Operation): void {
    try {
      twin.step(operation);
    } catch (error) {
      if (error instanceof CheckFailure)
        throw new CheckFailure("F8", `with a single copy the same operations come to something else: ${error.message}`);
      throw error;
    }
  }

  /** @throws CheckFailure F8 with the first difference */
  compare(): void {
    const { subject, twin } = this;
    if (!twin) return;
    const fail = (detail: string): never => subject.fail("F8", detail);
    const [mine, theirs] = [subject.population, twin.population];
    if (mine.live.length !== theirs.live.length)
      fail(`${mine.live.length} processes are alive, with a single copy ${theirs.live.length}`);
    for (const kind of ["taken", "spurious"] as const) {
      const [here, there] = [mine.faultsOfRun[kind], theirs.faultsOfRun[kind]];
      if (here !== there) fail(`${here} faults ${kind}, with a single copy ${there}`);
    }
    mine.live.forEach((each, index) => {
      const [a, b] = [this.seen(subject, each), this.seen(twin, theirs.live[index]!)];
      const at = a.findIndex((line, place) => line !== b[place]);
      if (at >= 0 || a.length !== b.length)
        fail(
          `process ${index}: ${a[at === -1 ? b.length : at] ?? "nothing"}; with a single copy ${b[at === -1 ? a.length : at] ?? "nothing"}`,
        );
    });
  }

  /** Everything a user of a process can tell, a line each. */
  private seen(system: CheckedSystem, { process }: Live): string[] {
    const { entries, layout, machine } = system.parts;
    const { probed } = this.subject.population;
    const descriptors =
      process.ldt?.frames.map((frame) =>
        [0, 1, 511].map((entry) => machine.memory.read64(addressOfFrame(frame) + BigInt(entry * 8))).join(":"),
      ) ?? [];
    const lines = [
      `LDT of ${process.ldt?.entries ?? 0} entries: ${descriptors.join(", ")}`,
      `${process.rss} pages resident, ${process.locked} locked, heap to 0x${process.brk.toString(16)}`,
    ];
    for (const vma of process.vmas.all()) {
      lines.push(
        `area 0x${vma.start.toString(16)} to 0x${vma.end.toString(16)} ${vma.readable ? "r" : "-"}${vma.writable ? "w" : "-"}${vma.executable ? "x" : "-"}${vma.locked ? " locked" : ""}${vma.large ? " large" : ""}${vma.stack ? " stack" : ""}${vma.file ? ` of a file from page ${vma.offset}` : ""}${vma.shared ? " shared" : ""} ${vma.policy.kind}`,
      );
    }
    const user = slotRange(layout.levels, 0, 255);
    walkRange(entries.memory, process.space.pgd(process.space.pgdNodes[0]!), layout.levels, user, {
      leaf: (address, level, lo, hi) => {
        const page = address >> 12n;
        const frame = leafFrame(lo, hi, level);
        // A reader that came in the middle of an operation leaves its mark at a moment that the policy decides.
        const raced = level === 1 ? probed.has(page) : [...probed].some((each) => each >> 9n === page >> 9n);
        const flags = lo & (raced ? SEEN : SEEN | ACCESSED_DIRTY);
        let text = `page 0x${page.toString(16)} level ${level} flags ${flags.toString(16)}${hi >>> 31 ? " NX" : ""}, ${system.population.userFrames.count(frame)} users`;
        for (let small = 0; small < (level === 2 ? 512 : 1); small++) {
          for (let word = 0; word < WORDS; word++) {
            const value = machine.memory.read32(frame + small, (word * WORD_BYTES) / 4);
            if (value !== 0) text += `, ${small}.${word}=${value}`;
          }
        }
        lines.push(text);
      },
    });
    return lines;
  }
}
