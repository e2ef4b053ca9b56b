/**
 * Decoded code: straight runs of instructions ("blocks"), cached by physical frame and offset and checked against the
 * frame's write counter, so that changed bytes are decoded again whoever changed them through whatever address.
 */
import {
  Code,
  Decoder,
  DecoderError,
  DecoderOptions,
  FlowControl,
  Instruction as Decoded,
} from "@kreplica/hw-x86/iced";
import type { Context } from "./context.js";
import { Instruction } from "./instruction.js";
import { lower } from "./lower-system.js";
import type { CpuPort } from "./port.js";

/** Longest x86 instruction, bytes. */
const LONGEST = 15;

const LEGACY_PREFIXES = Uint8Array.of(0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3);
/**
 * A far transfer with REX.W, which iced drops as it decodes for AMD: its offset has 4 bytes there too, but CALL pushes
 * 8 (transfer.ts).
 */
function wideFar(code: number, bytes: Uint8Array, at: number): number {
  if (code !== Code.Call_m1632 && code !== Code.Jmp_m1632) return code;
  while (LEGACY_PREFIXES.includes(bytes[at]!)) at++;
  return (bytes[at]! & 0xf8) !== 0x48 ? code : code === Code.Call_m1632 ? Code.Call_m1664 : Code.Jmp_m1664;
}

/** How a compiled function ended; 0 and more: an instruction of {@link CompiledCode.instructions} did, in a fault. */
export const enum Ending {
  /** RIP says where to go on. */
  Left = -1,
  /** The fetch of the block at RIP was charged and found another frame, or faulted: its result is in the status. */
  Fetched = -2,
  /** The same for a later line of the block: the status is a fault's. */
  LineFaulted = -3,
  /**
   * And less: a store changed the region's code, or wrote what was there, in the middle of a block. The difference is
   * the number in {@link CompiledCode.instructions} of the instruction that did; RIP says what follows it.
   */
  Stored = -4,
}

/**
 * @param budget instructions beyond those of the block it begins with
 * @param entry that block's number in {@link CompiledCode.entries}
 * @returns the number in {@link CompiledCode.instructions} of one that ended in the context's status, or an
 *   {@link Ending}
 */
export type CompiledFunction = (budget: number, entry: number) => number;

/** Blocks compiled together (compiled/compiler.ts), for each CPU of their memory to make its function of. */
export interface CompiledCode {
  readonly accounted: boolean;
  readonly instructions: readonly Instruction[];
  /** Blocks it can begin with; the first is the one it was compiled for. */
  readonly entries: readonly Block[];
  readonly region: {
    readonly blocks: readonly Block[];
    /** Of the frame, when all blocks were last known to be unchanged. */
    version: number;
    /** Whether one of them is at the address. */
    has(lo: number, hi: number): boolean;
  };
  make(context: Context, port: CpuPort): CompiledFunction;
}

/**
 * Instructions that lie one after another in one page; only the last one may transfer control. One that crosses into
 * the next page is a block of its own.
 */
export class Block {
  readonly list: Instruction[] = [];
  /** Address after the last instruction. */
  endLo = 0;
  endHi = 0;
  /** Frame of the bytes beyond the page border, -1 for none. */
  secondFrame = -1;
  secondVersion = 0;
  /** Times it was interpreted: often enough, and it is compiled. */
  executions = 0;
  /** Compiled regions it is in. */
  regions = 0;
  /** The one that can begin with it, and its number there; null: nothing can. */
  compiled: CompiledCode | null | undefined;
  entry = 0;
  /** The CPU that was the first to compile it, and its function: others look theirs up. */
  owner: object | undefined;
  run: CompiledFunction | undefined;
  constructor(
    readonly lo: number,
    readonly hi: number,
    readonly frame: number,
    /** Of the frame, when the bytes were last known to be these. */
    public version: number,
  ) {}

  /** Bytes of its instructions, where they are all of one frame. */
  bytes: Uint8Array | undefined;
}

/** Blocks of one physical memory; CPUs of one vendor that share the memory may share it. */
export class BlockCache {
  private readonly blocks = new Map<number, Block>();
  private readonly code = new Uint8Array(512);
  private readonly tail = new Uint8Array(LONGEST);
  private readonly decoded = new Decoded();
  /** Blocks decoded so far: how often code changed under the cache. */
  decodes = 0;

  /**
   * @param longest most instructions in a block; 1 for a cache to single-step with
   * @param capacity blocks kept; all are dropped beyond it
   */
  constructor(
    readonly longest = 48,
    private readonly capacity = 1 << 17,
  ) {}

  /**
   * The block at the address, from the cache when its bytes are unchanged.
   * @returns a fault status when the code runs into a page that cannot be fetched
   */
  at(port: CpuPort, frame: number, lo: number, hi: number): Block | number {
    const key = frame * 4096 + (lo & 0xfff);
    const known = this.blocks.get(key);
    // Direct targets and RIP-relative operands are absolute in a block, so an alias at another address decodes its own.
    if (known !== undefined && known.lo === lo && known.hi === hi && this.holds(port, known)) {
      if (known.secondFrame < 0) return known;
      const second = port.translateFetch(known.endLo & ~0xfff, known.endHi);
      if (second < 0) return -second;
      if (second === known.secondFrame && port.version(second) === known.secondVersion) return known;
    }
    const block = this.decode(port, frame, lo, hi);
    if (typeof block === "number") return block;
    if (this.blocks.size >= this.capacity) this.blocks.clear();
    this.blocks.set(key, block);
    return block;
  }

  /** Whether memory still has the bytes of a block: written pages mostly changed elsewhere. */
  holds(port: CpuPort, block: Block): boolean {
    const { frame, bytes } = block;
    const version = port.version(frame);
    if (block.version === version) return true;
    // Compiled code knows of its own stores that they went beside it.
    if (block.compiled?.region.version === version) {
      block.version = version;
      return true;
    }
    if (bytes === undefined) return false;
    const now = this.code.subarray(0, bytes.length);
    port.readCode(frame, block.lo & 0xfff, now);
    for (let n = 0; n < bytes.length; n++) if (now[n] !== bytes[n]) return false;
    block.version = version;
    return true;
  }

  /** The block at an address of a frame if it is decoded and unchanged; its bytes are the frame's alone. */
  known(port: CpuPort, frame: number, lo: number, hi: number): Block | undefined {
    const block = this.blocks.get(frame * 4096 + (lo & 0xfff));
    return block !== undefined && block.lo === lo && block.hi === hi && block.secondFrame < 0 && this.holds(port, block)
      ? block
      : undefined;
  }

  /**
   * A block of the first instruction of some bytes, whatever memory holds; not kept.
   * @returns undefined where the bytes end before it does
   */
  first(port: CpuPort, bytes: Uint8Array, frame: number, lo: number, hi: number): Block | undefined {
    this.decodes++;
    const block = new Block(lo, hi, frame, port.version(frame));
    this.fill(block, bytes, lo, hi, port.vendor === "amd", 1);
    if (block.list.length === 0) return undefined;
    this.close(block);
    return block;
  }

  private decode(port: CpuPort, frame: number, lo: number, hi: number): Block | number {
    this.decodes++;
    const block = new Block(lo, hi, frame, port.version(frame));
    const bytes = port.readCode(frame, lo & 0xfff, this.code);
    const amd = port.vendor === "amd";
    this.fill(block, this.code.subarray(0, bytes), lo, hi, amd);
    if (block.list.length === 0) {
      // The first instruction is cut off by the end of the page: its bytes come from two frames.
      const first = Math.min(bytes, LONGEST);
      this.tail.set(this.code.subarray(0, first));
      const nextLo = ((lo & ~0xfff) + 4096) | 0;
      const nextHi = (hi + (nextLo === 0 ? 1 : 0)) | 0;
      const second = port.translateFetch(nextLo, nextHi);
      if (second < 0) return -second;
      const more = port.readCode(second, 0, this.code.subarray(0, LONGEST - first));
      this.tail.set(this.code.subarray(0, more), first);
      this.fill(block, this.tail.subarray(0, first + more), lo, hi, amd, 1);
      block.secondFrame = second;
      block.secondVersion = port.version(second);
    }
    this.close(block);
    if (block.secondFrame < 0) block.bytes = this.code.slice(0, (block.endLo - lo) | 0);
    return block;
  }

  private close(block: Block): void {
    const last = block.list[block.list.length - 1]!;
    block.endLo = last.nextLo;
    block.endHi = last.nextHi;
  }

  /** @param amd an operand-size prefix on a near branch counts; LOCK MOV CR0 is CR8 */
  private fill(block: Block, bytes: Uint8Array, lo: number, hi: number, amd: boolean, longest = this.longest): void {
    const decoder = new Decoder(64, bytes, amd ? DecoderOptions.AMD : DecoderOptions.None);
    const d = this.decoded;
    decoder.ip = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    let atLo = lo;
    let atHi = hi;
    while (block.list.length < longest && decoder.canDecode) {
      decoder.decodeOut(d);
      if (decoder.lastError === DecoderError.NoMoreBytes) break;
      if (amd) d.code = wideFar(d.code, bytes, decoder.position - d.length);
      const i = new Instruction();
      i.length = d.length;
      i.mnemonic = d.mnemonic;
      i.ipLo = atLo;
      i.ipHi = atHi;
      atLo = (atLo + i.length) | 0;
      if (atLo >>> 0 < i.ipLo >>> 0) atHi = (atHi + 1) | 0;
      i.nextLo = atLo;
      i.nextHi = atHi;
      lower(d, i);
      if (i.first && block.list.length > 0) break;
      if (d.flowControl !== FlowControl.Next) i.ends = true;
      block.list.push(i);
      if (i.ends) break;
    }
    decoder.free();
  }
}
