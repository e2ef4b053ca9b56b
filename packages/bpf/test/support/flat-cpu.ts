/**
 * A CPU of the model on a flat memory, for many programs: code read-only and executable, data writable and not
 * executable, context and value at the very end of their pages with holes behind them.
 */
import { FlatMemory, FlatMemoryPort, Interpreter as X86 } from "@kreplica/hw-x86/isa";
import {
  type CompiledResult,
  type ExecutingCpu,
  HELPER_STUB,
  runCompiled,
  stubAddress,
} from "../../src/jit/run-compiled.js";

export const CODE = 0xffff_ffff_c000_0000n;
const STUBS = 0xffff_ffff_8100_0000n,
  STACK = 0xffff_c900_0001_0000n,
  PAGE = 4096;
const STUB_FRAME = 0,
  STACK_FRAME = 2,
  FIRST_DATA = 5;
const pagesOf = (bytes: number): number => Math.ceil(bytes / PAGE);

/** An ExecutingCpu on the interpreter of hw-x86. */
export function executing(x86: X86): ExecutingCpu {
  const { context } = x86;
  return {
    get rip() {
      return x86.rip;
    },
    set rip(value) {
      x86.rip = value;
    },
    register: (n) => x86.register(n),
    setRegister: (n, v) => {
      x86.setRegister(n, v);
    },
    run: (n) => x86.run(n),
    wake: () => {
      context.halted = false;
    },
    get executed() {
      return x86.executed;
    },
    get stopReason() {
      return x86.stopReason;
    },
  };
}

export interface DataPages {
  readonly address: bigint;
  /** Whole pages; the piece that a program may use lies at their end. */ readonly page: Uint8Array;
}

export class FlatCpu {
  readonly memory: FlatMemory;
  private readonly port: FlatMemoryPort;
  private cpu: ExecutingCpu;
  private readonly firstCode: number;

  /**
   * @param codePages pages from {@link CODE} on
   * @param data bytes at the end of pages of their own, with the addresses that programs use
   */
  constructor(
    readonly codePages: number,
    data: readonly { address: bigint; bytes: number }[],
  ) {
    this.firstCode = FIRST_DATA + data.reduce((sum, { bytes }) => sum + pagesOf(bytes), 0);
    this.memory = new FlatMemory(this.firstCode + codePages);
    const port = (this.port = new FlatMemoryPort(this.memory)),
      rights = (writable: boolean, executable: boolean) => ({ writable, executable, user: false });
    port.map(CODE, this.firstCode, codePages, rights(false, true));
    port.map(STUBS, STUB_FRAME, 1, rights(false, true));
    port.map(STACK - 0x2000n, STACK_FRAME, 2, rights(true, false));
    let next = FIRST_DATA;
    this.data = data.map(({ address, bytes }) => {
      const pages = pagesOf(bytes),
        frame = next,
        start = address + BigInt(bytes - pages * PAGE);
      if (start % BigInt(PAGE) !== 0n) throw new Error(`0x${address.toString(16)} + ${bytes} is no page's end`);
      port.map(start, frame, pages, rights(true, false));
      next += pages;
      return { address, page: this.memory.bytes.subarray(frame * PAGE, next * PAGE) };
    });
    for (let id = 0; id < PAGE / 16; id++) this.memory.bytes.set(HELPER_STUB, STUB_FRAME * PAGE + 16 * id);
    this.cpu = executing(new X86(port));
  }
  readonly data: readonly DataPages[];

  helperAddress(id: number): bigint {
    return stubAddress(STUBS, id);
  }

  /** Writes code; what was decoded of these pages is decoded again. */
  load(address: bigint, bytes: Uint8Array): void {
    const at = Number(address - CODE),
      frame = this.firstCode + Math.floor(at / PAGE),
      last = this.firstCode + Math.floor((at + bytes.length - 1) / PAGE);
    this.memory.bytes.set(bytes, this.firstCode * PAGE + at);
    for (let each = frame; each <= last; each++) this.memory.versions[each]!++;
  }

  /** One call of a program. */
  call(
    entry: bigint,
    context: bigint,
    helper: (id: number, ...args: bigint[]) => bigint | undefined,
    budget = 1_000_000,
  ): CompiledResult {
    const view = new DataView(this.memory.bytes.buffer);
    // A CPU that stopped, as after a fault that nobody handles, stays so until it is reset.
    if (this.cpu.stopReason !== "") this.cpu = executing(new X86(this.port));
    return runCompiled({
      cpu: this.cpu,
      entry,
      context,
      stackTop: STACK,
      stubs: STUBS,
      budget,
      helper,
      writeWord: (address, value) => {
        view.setBigUint64(STACK_FRAME * PAGE + Number(address - STACK + 0x2000n), value, true);
      },
    });
  }
}
