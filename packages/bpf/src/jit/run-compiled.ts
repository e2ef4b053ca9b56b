/**
 * Runs compiled code on a CPU that executes x86-64, until it returns. Helpers are functions of the host: each has a
 * halt instruction and a return for an entry, so that the CPU stops there, the helper does its work, and the CPU goes
 * on.
 *
 * Which CPU it is, and behind which page tables, is the caller's: everything the code touches goes through them.
 */

/**
 * What is needed of a CPU; hw-x86's interpreter has all of it but `wake`. Registers by hardware number: 0 rax, 4 rsp, 7
 * rdi.
 */
export interface ExecutingCpu {
  rip: bigint;
  register(number: number): bigint;
  setRegister(number: number, value: bigint): void;
  /**
   * Executes until the budget is used up, a halt ("halted"), or a fault that nobody handles ("stopped"); any other
   * answer means: go on.
   */
  run(instructions: number): string;
  /** Ends a halt. */
  wake(): void;
  /** Instructions executed since it exists. */
  readonly executed: number;
  /** Why it stopped. */
  readonly stopReason: string;
}

/** Bytes of a helper's entry: hlt; ret. */
export const HELPER_STUB = Uint8Array.of(0xf4, 0xc3);
/** Distance between helper entries. */
export const STUB_BYTES = 16;

/** A call of compiled code: on which CPU, from where, with which helpers. */
export interface CompiledCall {
  readonly cpu: ExecutingCpu;
  readonly entry: bigint;
  /** Value of the first argument. */
  readonly context: bigint;
  /** Multiple of 16; the word below it receives the return address. */
  readonly stackTop: bigint;
  /** Where helper 0 would begin; helper n is at `stubs + 16 n`. Entry 0 is where programs return to. */
  readonly stubs: bigint;
  /** Stores 64 bits through the CPU's own page tables. */
  writeWord(address: bigint, value: bigint): void;
  /** @returns r0, or undefined when there is no such helper */
  helper(id: number, r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint): bigint | undefined;
  /** Most instructions. Default 10 million. */
  readonly budget?: number;
}
/** How a call of compiled code ended. */
export interface CompiledResult {
  readonly outcome: "exit" | "stopped" | "budget" | "no-helper";
  /** rax at the end. */
  readonly result: bigint;
  readonly executed: number;
  /** Where it ended, unless it returned. */
  readonly rip: bigint;
  readonly reason: string;
}

/** Address of a helper's entry. */
export const stubAddress = (stubs: bigint, id: number): bigint => stubs + BigInt(id * STUB_BYTES);

/** Calls `entry` and follows it to its end. Faults are outcomes. */
export function runCompiled(call: CompiledCall): CompiledResult {
  const { cpu, stubs } = call,
    before = cpu.executed,
    budget = call.budget ?? 10_000_000;
  call.writeWord(call.stackTop - 8n, stubs);
  cpu.setRegister(4, call.stackTop - 8n);
  cpu.setRegister(7, call.context);
  cpu.rip = call.entry;
  const end = (outcome: CompiledResult["outcome"]): CompiledResult => ({
    outcome,
    result: cpu.register(0),
    executed: cpu.executed - before,
    rip: cpu.rip,
    reason: cpu.stopReason,
  });
  for (;;) {
    const left = budget - (cpu.executed - before);
    if (left <= 0) return end("budget");
    const stop = cpu.run(left);
    if (stop === "stopped") return end("stopped");
    if (stop !== "halted") continue;
    cpu.wake();
    // The halt is done: the instruction pointer stands behind it.
    const id = Number(cpu.rip - 1n - stubs) / STUB_BYTES;
    if (id === 0) return end("exit");
    const value =
      Number.isInteger(id) && id > 0
        ? call.helper(id, cpu.register(7), cpu.register(6), cpu.register(2), cpu.register(1), cpu.register(8))
        : undefined;
    if (value === undefined) return end("no-helper");
    cpu.setRegister(0, value);
  }
}
