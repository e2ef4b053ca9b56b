/**
 * The port of a CPU that keeps the instructions it has fetched. Beside what the interpreter executes, a CPU is
 * serialised by what is done to its thread from outside: registers written, pages invalidated, interrupts taken.
 */
import type { CpuId } from "../ids.js";
import type { FetchedInstructions, Machine } from "../machine-api.js";
import { FetchedCode, type FetchedCodeOptions } from "./fetched-code.js";
import { MachinePort, type MachinePortOptions } from "./machine-port.js";

/**
 * The part of a thread that counts serialising events, and shows what is kept; a CPU without it is serialised by its
 * own instructions only.
 */
interface Serialised {
  readonly serialisations?: number;
  fetched: FetchedInstructions | undefined;
}

/** See the head of this file. */
export class FetchingPort extends MachinePort {
  readonly fetched: FetchedCode;

  constructor(machine: Machine, id: CpuId, options: MachinePortOptions & FetchedCodeOptions = {}) {
    super(machine, id, options);
    const thread = this.cpu as Serialised;
    thread.fetched = this.fetched = new FetchedCode(options, () => thread.serialisations ?? 0);
  }

  override write(lo: number, hi: number, bytes: number, valueLo: number, valueHi: number, access: number): number {
    const status = super.write(lo, hi, bytes, valueLo, valueHi, access);
    if (status === 0) this.fetched.stored(lo, hi, bytes);
    return status;
  }

  /** None: each store has to be compared with what is held. */
  override window(): undefined {
    return undefined;
  }

  /** What may be fetched is another thing at another level: nothing is executed that this level could not fetch. */
  override modeChanged(privilege: number, alignmentCheck: boolean): void {
    super.modeChanged(privilege, alignmentCheck);
    this.fetched.serialise();
  }
}
