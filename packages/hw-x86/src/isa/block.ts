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
  constructor(
    readonly lo: number,
    readonly hi: number,
    readonly frame: number,
    readonly version: number,
  ) {}
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
    if (known !== undefined && known.lo === lo && known.hi === hi && known.version === port.version(frame)) {
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
