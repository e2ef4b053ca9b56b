/**
 * A replay on one of several CPUs that run recordings at once: what the recording's other virtual CPUs did is left out,
 * because here other CPUs do it, each for itself.
 */
import type { CpuId } from "@kreplica/hw-x86/api";
import type { Booted } from "@kreplica/kernel";
import { Control, Op, type Program } from "./program.js";
import { Replayer } from "./replayer.js";

/** A replayer of the measured virtual CPU alone. */
export class BusyReplayer extends Replayer {
  /** @param booted with the pages of this CPU's process @param cpu runs the measured virtual CPU */
  constructor(booted: Booted, cpu: CpuId, measured: number) {
    super(booted, cpu, measured, () => cpu);
  }

  protected override select(vcpu: number): void {
    if (vcpu === this.measured) super.select(vcpu);
    else this.vcpu = vcpu;
  }

  protected override references(program: Program, chunk: Uint32Array, from: number, end: number): number {
    if (this.vcpu === this.measured) return super.references(program, chunk, from, end);
    for (let i = from; i < end; i++) {
      const word = chunk[i]!;
      if ((word & 3) !== Op.Control) continue;
      const what: Control = (word >>> 2) & 63;
      // Which page lies where is everybody's business.
      if (what === Control.Vcpu || what === Control.Map) this.control(program, what, word >>> 8);
      return i + 1;
    }
    return end;
  }
}
