/**
 * The port that puts the interpreter into a machine: memory through one hardware thread (machine-access.ts), control
 * registers, MSRs, interrupts and identification here.
 */
import type { CpuId } from "../ids.js";
import { MachineError } from "../errors.js";
import type { Machine } from "../machine-api.js";
import { cpuidLeaf } from "./cpuid.js";
import { MachineAccess } from "./machine-access.js";
import { faultStatus, type CpuPort } from "./port.js";

const GP = faultStatus(13);

const EFER = 0xc000_0080;
const X2APIC_ID = 0x802;
const X2APIC_EOI = 0x80b;
const X2APIC_COMMAND = 0x830;
const X2APIC_SELF = 0x83f;

/** How a {@link MachinePort} behaves. */
export interface MachinePortOptions {
  /** Exact account of every access; default false. */
  readonly timed?: boolean;
  /**
   * An interrupt command was written: deliver `vector` to a CPU, by {@link MachinePort.post} and {@link
   * Interpreter.signal} of that CPU.
   */
  readonly onInterprocessor?: (vector: number, to: CpuId) => void;
  /** Called at end of interrupt. */
  readonly onEndOfInterrupt?: () => void;
  /** MSRs besides those the interpreter and the thread hold: reads and writes go here; one not in it is #GP(0). */
  readonly msrs?: Map<number, bigint>;
}

/** See the head of this file. */
export class MachinePort extends MachineAccess implements CpuPort {
  readonly msrs: Map<number, bigint>;
  /** Vectors that wait. */
  private readonly pending: number[] = [];
  private retired = 0;
  private entropy: number;

  constructor(
    machine: Machine,
    id: CpuId,
    private readonly options: MachinePortOptions = {},
  ) {
    super(machine, id, options.timed ?? false);
    this.msrs = options.msrs ?? new Map();
    this.entropy = Math.imul(id + 1, 0x9e37_79b9);
  }

  /** Makes an interrupt wait. The caller signals the interpreter too. @param vector 32 to 255 */
  post(vector: number): void {
    this.pending.push(vector);
  }

  controlValue(index: number): bigint | undefined {
    if (index === 0) return BigInt(this.cpu.cr0 >>> 0);
    if (index === 3) return this.cpu.cr3;
    if (index === 4) return BigInt(this.cpu.cr4 >>> 0);
    return undefined;
  }

  retire(count: number): void {
    this.retired += count;
    this.cpu.retire(count);
  }

  controlRegister(index: number, lo: number, hi: number): number {
    try {
      if (index === 3) this.cpu.writeCr3((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
      else if (hi !== 0) return GP;
      else if (index === 0) this.cpu.cr0 = lo >>> 0;
      else if (index === 4) this.cpu.cr4 = lo;
    } catch (error) {
      return this.refused(error);
    }
    this.forget();
    return 0;
  }

  /** What hardware answers with #GP(0). Anything else is not a machine outcome and goes on up. */
  private refused(error: unknown): number {
    if (error instanceof MachineError && error.code === "general-protection") return GP;
    throw error;
  }

  readMsr(index: number): number {
    if (index === X2APIC_ID) return this.give(BigInt(this.cpu.id));
    const value = this.msrs.get(index);
    return value === undefined ? GP : this.give(value);
  }

  private give(value: bigint): number {
    this.data[0] = Number(BigInt.asIntN(32, value));
    this.data[1] = Number(BigInt.asIntN(32, value >> 32n));
    return 0;
  }

  writeMsr(index: number, lo: number, hi: number): number {
    if (index === EFER) {
      try {
        this.cpu.efer = lo;
      } catch (error) {
        return this.refused(error);
      }
      this.forget();
    } else if (index === X2APIC_COMMAND) this.send(lo & 0xff, hi >>> 0);
    else if (index === X2APIC_SELF) this.send(lo & 0xff, this.cpu.id);
    else if (index === X2APIC_EOI) this.options.onEndOfInterrupt?.();
    else if (this.msrs.has(index)) this.msrs.set(index, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    else return GP;
    // Whoever was told may have written memory.
    this.followMoves();
    return 0;
  }

  /** An interrupt command: physical destination, x2APIC id equal to the CPU's number. */
  private send(vector: number, to: CpuId): void {
    this.machine.interrupt(this.cpu.id, [to]);
    this.options.onInterprocessor?.(vector, to);
  }

  invlpg(lo: number, hi: number): void {
    this.cpu.invlpg((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    this.forget();
  }

  invpcid(type: number, pcid: number, lo: number, hi: number): number {
    try {
      this.cpu.invpcid(type as 0 | 1 | 2 | 3, pcid, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    } catch (error) {
      return this.refused(error);
    }
    this.forget();
    return 0;
  }

  cpuid(leaf: number, subleaf: number): void {
    cpuidLeaf(this.machine.spec, this.cpu, leaf, subleaf, this.data);
  }

  /**
   * Instructions retired times the machine's cycles per instruction: a clock that only goes forward and repeats with
   * the run.
   */
  timeStamp(): void {
    const cycles = Math.round(this.retired * this.machine.spec.costs.cyclesPerInstruction.value);
    this.data[0] = (cycles % 2 ** 32) | 0;
    this.data[1] = Math.floor(cycles / 2 ** 32);
  }

  random(): boolean {
    for (let n = 0; n < 2; n++) {
      this.entropy = (this.entropy + 0x6d2b_79f5) | 0;
      let z = Math.imul(this.entropy ^ (this.entropy >>> 15), 1 | this.entropy);
      z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
      this.data[n] = z ^ (z >>> 14);
    }
    return true;
  }

  /** The waiting vector of highest priority. */
  acknowledge(): number {
    if (this.pending.length === 0) return -1;
    const vector = Math.max(...this.pending);
    this.pending.splice(this.pending.indexOf(vector), 1);
    return vector;
  }
}
