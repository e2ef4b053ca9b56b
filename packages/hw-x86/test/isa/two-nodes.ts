/**
 * A tiny machine whose two nodes map the same addresses to different frames of code, and the programs of programs.ts on
 * it.
 */
import { assemble } from "@kreplica/di";
import { hwX86, Machine } from "../../src/index.js";
import { tinyMachine } from "../../src/testing.js";
import { Interpreter, MachinePort } from "../../src/isa/index.js";
import { SCRATCH_BYTES } from "./programs.js";

const IMAGE = 0x3000_0000n,
  SCRATCH = 0x3100_0000n,
  STACK = 0x3200_0000n,
  RETURN = 0x3300_0000n;

/** A tiny machine with one set of tables for each node: the same addresses, text from the node's own frames. */
export class TwoNodes {
  readonly assembly = assemble([hwX86(tinyMachine())]);
  readonly machine = this.assembly.get(Machine);
  private free = [1001, 132_001];
  readonly roots = [1000, 132_000];

  map(node: number, address: bigint, frame: number, pages: number, flags: bigint): void {
    const { memory } = this.machine;
    for (let n = 0; n < pages; n++) {
      const at = address + BigInt(n * 4096);
      let table = BigInt(this.roots[node]!) << 12n;
      for (let level = 4; level > 1; level--) {
        const slot = table + ((at >> BigInt(12 + 9 * (level - 1))) & 511n) * 8n;
        if ((memory.read64(slot) & 1n) === 0n) memory.write64(slot, (BigInt(this.free[node]!++) << 12n) | 3n);
        table = memory.read64(slot) & 0xf_ffff_ffff_f000n;
      }
      memory.write64(table + ((at >> 12n) & 511n) * 8n, (BigInt(frame + n) << 12n) | flags);
    }
  }

  cpu(id: number, node: number, timed: boolean): Interpreter {
    const cpu = this.machine.cpu(id);
    cpu.cr4 = 0xa0;
    cpu.writeCr3(BigInt(this.roots[node]!) << 12n);
    cpu.efer = 0x900;
    cpu.cr0 = 0x8001_0000;
    return new Interpreter(new MachinePort(this.machine, id, { timed }));
  }

  /** Puts a program image onto both nodes, text from each node's own frames, data shared. */
  place(image: Uint8Array): void {
    const { memory } = this.machine;
    for (const [node, frame] of [
      [0, 4000],
      [1, 135_000],
    ] as const) {
      memory.writeBytes(BigInt(frame) << 12n, image);
      this.map(node, IMAGE, frame, 64, 3n);
      this.map(node, SCRATCH, 5000, 64, (1n << 63n) | 3n);
      this.map(node, STACK, 6000, 64, (1n << 63n) | 3n);
      this.map(node, RETURN, 7000, 1, 1n);
    }
    memory.writeBytes(7000n << 12n, Uint8Array.of(0xf4));
  }

  /** Runs one program to its end. @returns its scratch memory @throws when it does not come to its end */
  run(cpu: Interpreter, which: number, seed: number): Uint8Array {
    const { memory } = this.machine;
    const scratch = new Uint8Array(SCRATCH_BYTES);
    memory.writeBytes(5000n << 12n, scratch);
    memory.write64((6000n << 12n) + 64n * 4096n - 8n, RETURN);
    const start = [
      [4, STACK + 64n * 4096n - 8n],
      [7, SCRATCH],
      [6, BigInt(seed)],
      [2, BigInt(which)],
    ] as const;
    for (const [register, value] of start) cpu.setRegister(register, value);
    cpu.context.halted = false;
    cpu.rip = IMAGE;
    const stop = cpu.run(200_000_000);
    if (stop !== "halted")
      throw new Error(`program ${which} ended with "${stop}" at 0x${cpu.rip.toString(16)}: ${cpu.stopReason}`);
    memory.readBytes(5000n << 12n, scratch);
    return scratch;
  }
}
