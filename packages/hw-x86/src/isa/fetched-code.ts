/**
 * What one CPU has fetched of its instructions, and goes on executing whatever memory holds meanwhile: the oldest bytes
 * that the manual lets it execute.
 *
 * Kept in windows, naturally aligned runs of bytes that are fetched at once, by linear address. A window ends
 *
 *   with a serialising event of the CPU     CPUID, IRET, SERIALIZE, MOV to CR0 to CR4 or a debug register, INVLPG, WRMSR,
 *                                           LGDT, LIDT, LLDT, LTR, INVD, WBINVD; an interrupt, whose handler ends in IRET
 *   at the next transfer of control         if the CPU itself stored into it by the address it fetches it by
 *   whenever the processor chooses          the oldest when there are too many; for who explores: {@link FetchedCode.forget}
 *
 * and not with a store by another CPU, nor with one of its own by another address.
 * Source: Intel SDM vol. 3A, "Handling Self- and Cross-Modifying Code", "Serializing Instructions".
 */
import type { FetchedBytes, FetchedInstructions } from "../machine-api.js";

/** Where a CPU fetches from. */
export interface CodeSource {
  /** Frame behind an address that is executed, or minus a fault status. */
  translateFetch(lo: number, hi: number): number;
  /** Bytes of a frame from an offset on. */
  readCode(frame: number, offset: number, into: Uint8Array): void;
}

/** How much is fetched at once, and how much is kept. */
export interface FetchedCodeOptions {
  /**
   * Bytes of a window, 8 to 64, a power of two; 16 when absent.
   * @source Intel Optimization Reference Manual, "Instruction Fetch Unit": aligned chunks of 16 bytes
   */
  readonly windowBytes?: number;
  /** Windows kept, at least 1; the oldest goes first. No limit when absent: the manual gives none. */
  readonly windows?: number;
}

/** One run of bytes as it was fetched; its address is a multiple of its bytes. */
export interface FetchedWindow extends FetchedBytes {
  /** The CPU itself has stored into it since, by this address. */
  readonly overwritten: boolean;
}

/** Everything that was held at a moment, oldest first: to go back to. */
export type SavedFetches = readonly FetchedWindow[];

/** Longest x86 instruction, bytes. */
const LONGEST = 15;
const addressOf = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
const low = (address: bigint): number => Number(BigInt.asIntN(32, address));
const high = (address: bigint): number => Number(BigInt.asIntN(32, address >> 32n));

/** Fetched instructions of one CPU; see the head of this file. */
export class FetchedCode implements FetchedInstructions {
  readonly windowBytes: number;
  private readonly windows: number;
  /** Oldest first. */
  private readonly held = new Map<bigint, FetchedWindow>();
  /** Decoded from what is held, as the one interpreter that uses it decodes. */
  private readonly blocks = new Map<bigint, object>();
  private readonly code = new Uint8Array(LONGEST);
  private seen: number;
  private overwrites = false;

  /**
   * @param events serialising events that reached the CPU from outside so far: asked before anything is looked at
   * @throws RangeError for a window that no processor has
   */
  constructor(
    { windowBytes = 16, windows = Infinity }: FetchedCodeOptions = {},
    private readonly events: () => number = () => 0,
  ) {
    if (![8, 16, 32, 64].includes(windowBytes))
      throw new RangeError(`a window of ${windowBytes} bytes; give 8, 16, 32 or 64`);
    if (!(windows >= 1)) throw new RangeError(`${windows} windows; give 1 or more`);
    this.windowBytes = windowBytes;
    this.windows = windows;
    this.seen = events();
  }

  /** A serialising event: nothing that was fetched before it is executed after it. */
  serialise(): void {
    if (this.held.size === 0) return;
    this.held.clear();
    this.blocks.clear();
    this.overwrites = false;
  }

  /** The window that holds an address will be fetched again, as a processor may do at any time. */
  forget(address: bigint): void {
    if (this.held.delete(this.windowOf(address))) this.blocks.clear();
  }

  /** What is held, oldest first. */
  save(): SavedFetches {
    this.notice();
    return [...this.held.values()];
  }
  /** Holds that and nothing else. Serialising events up to now are over. */
  restore(saved: SavedFetches): void {
    this.notice();
    this.held.clear();
    this.blocks.clear();
    for (const window of saved) this.held.set(window.address, window);
    this.overwrites = saved.some(({ overwritten }) => overwritten);
  }

  /** The byte the CPU holds for an address; undefined where it would fetch. */
  byteAt(address: bigint): number | undefined {
    this.notice();
    return this.held.get(this.windowOf(address))?.bytes[Number(address & BigInt(this.windowBytes - 1))];
  }

  /** The CPU stored `bytes` bytes at an address. */
  stored(lo: number, hi: number, bytes: number): void {
    const first = addressOf(lo, hi);
    for (const at of [first, first + BigInt(bytes - 1)]) {
      const window = this.held.get(this.windowOf(at));
      if (!window || window.overwritten) continue;
      this.held.set(window.address, { ...window, overwritten: true });
      this.overwrites = true;
    }
  }

  /** The CPU is about to execute. @param transferred control did not simply go on */
  arrive(transferred: boolean): void {
    this.notice();
    if (!transferred || !this.overwrites) return;
    this.overwrites = false;
    for (const { address, overwritten } of [...this.held.values()]) if (overwritten) this.forget(address);
  }

  /**
   * One instruction from what is held, and from memory what is not.
   * @param decode undefined where the bytes end before the instruction does
   * @returns a fault status when bytes it needs cannot be fetched
   */
  block<Block extends object>(
    port: CodeSource,
    lo: number,
    hi: number,
    decode: (bytes: Uint8Array, frame: number) => Block | undefined,
  ): Block | number {
    const start = addressOf(lo, hi);
    const known = this.blocks.get(start);
    if (known !== undefined) return known as Block;
    let frame = -1;
    for (let filled = 0; ;) {
      const at = BigInt.asUintN(64, start + BigInt(filled));
      const window = this.fetch(port, this.windowOf(at));
      if (typeof window === "number") return window;
      if (frame < 0) frame = window.frame;
      const from = Number(at & BigInt(this.windowBytes - 1));
      const part = window.bytes.subarray(from, from + LONGEST - filled);
      this.code.set(part, filled);
      filled += part.length;
      const block = decode(this.code.subarray(0, filled), frame);
      if (block === undefined) continue;
      this.blocks.set(start, block);
      return block;
    }
  }

  /** A window as it is held, or as memory has it now. @returns a fault status when it cannot be fetched */
  private fetch(port: CodeSource, address: bigint): FetchedWindow | number {
    const known = this.held.get(address);
    if (known !== undefined) return known;
    const frame = port.translateFetch(low(address), high(address));
    if (frame < 0) return -frame;
    const bytes = new Uint8Array(this.windowBytes);
    port.readCode(frame, Number(address & 0xfffn), bytes);
    const window = { address, frame, bytes, overwritten: false };
    if (this.held.size >= this.windows) this.forget(this.held.keys().next().value!);
    this.held.set(address, window);
    return window;
  }

  private notice(): void {
    const now = this.events();
    if (now === this.seen) return;
    this.seen = now;
    this.serialise();
  }

  private windowOf(address: bigint): bigint {
    return BigInt.asUintN(64, address) & ~BigInt(this.windowBytes - 1);
  }
}
