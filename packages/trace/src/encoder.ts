/** KTRC1 records from values to bytes: for cutting recordings and for tests. Cold; the reader's counterpart. */
import { MAGIC } from "./decoder.js";

const MASK = (1n << 64n) - 1n;
/** Difference of two 64-bit values as the format stores it: nearest way round, sign in bit 0. */
const zigzag = (to: bigint, from: bigint): bigint => {
  const difference = BigInt.asIntN(64, to - from);
  return difference < 0n ? (-difference << 1n) - 1n : difference << 1n;
};

interface VcpuState {
  expected: bigint;
  last: [bigint, bigint];
  readonly pages: Map<bigint, bigint>;
  readonly text: Map<bigint, bigint>;
}

/** Writes one recording; {@link bytes} gives what was written so far. */
export class TraceEncoder {
  private readonly out: number[] = [...MAGIC].map((letter) => letter.charCodeAt(0));
  private readonly states = new Map<number, VcpuState>();
  private state = this.stateOf(0);

  /** Records from here on belong to this virtual CPU. */
  vcpu(id: number): void {
    this.meta(1);
    this.varint(BigInt(id));
    this.state = this.stateOf(id);
  }

  /** @param immediate 0x5EED0000 | test << 8 | phase */
  mark(immediate: number): void {
    this.meta(2);
    this.varint(BigInt(immediate));
  }

  /** Iterations of the REP instruction that the last fetch ended with. */
  repeat(iterations: number): void {
    this.meta(4);
    this.varint(BigInt(iterations));
  }

  /**
   * A run of sequential instructions.
   * @param page physical page of the text, written when it is new for the virtual page
   */
  fetch(address: bigint, instructions: number, bytes: number, page?: bigint): void {
    const virtual = address >> 12n;
    if (page !== undefined && this.state.text.get(virtual) !== page) {
      this.state.text.set(virtual, page);
      this.meta(3);
      this.varint(zigzag(virtual, this.state.expected >> 12n));
      this.varint(page);
    }
    const jump = address !== this.state.expected;
    this.out.push((Math.min(instructions, 31) << 3) | (jump ? 4 : 0));
    if (instructions >= 31) this.varint(BigInt(instructions - 31));
    if (jump) this.varint(zigzag(address, this.state.expected));
    this.varint(BigInt(bytes));
    this.state.expected = (address + BigInt(bytes)) & MASK;
  }

  /**
   * A load or store of the last instruction fetched.
   *
   * @param size a power of two, 1 to 128
   * @param page physical page, written when it is new for the virtual page
   * @param device full physical address of a device register
   */
  access(store: boolean, address: bigint, size: number, page?: bigint, device?: bigint): void {
    const virtual = address >> 12n;
    const fresh = page !== undefined && this.state.pages.get(virtual) !== page;
    if (fresh) this.state.pages.set(virtual, page);
    const kind = store ? 1 : 0;
    this.out.push((kind + 1) | (Math.log2(size) << 2) | (device === undefined ? 0 : 32) | (fresh ? 64 : 0));
    this.varint(zigzag(address, this.state.last[kind]));
    this.state.last[kind] = address;
    if (device !== undefined) this.varint(device);
    if (fresh) this.varint(page);
  }

  /** Nothing follows. */
  end(): void {
    this.meta(0);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.out);
  }

  private meta(sub: number): void {
    this.out.push((sub << 2) | 3);
  }

  private varint(value: bigint): void {
    let rest = value;
    while (rest >= 128n) {
      this.out.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.out.push(Number(rest));
  }

  private stateOf(id: number): VcpuState {
    let state = this.states.get(id);
    if (!state) this.states.set(id, (state = { expected: 0n, last: [0n, 0n], pages: new Map(), text: new Map() }));
    return state;
  }
}
