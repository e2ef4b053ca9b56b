/** KTRC1 records from values to bytes in memory: small recordings, and tests. Cold; see TraceWriter for large ones. */
import { Access, Kind } from "./batch.js";
import { TraceWriter } from "./writer.js";

interface KnownPages {
  readonly data: Map<bigint, bigint>;
  readonly text: Map<bigint, bigint>;
}

const low = (address: bigint): number => Number(address & 0xffff_ffffn);
const high = (address: bigint): number => Number((address >> 32n) & 0xffff_ffffn);

/** Writes one recording; {@link bytes} gives what was written so far. */
export class TraceEncoder {
  private readonly parts: Uint8Array[] = [];
  private readonly writer = new TraceWriter((part) => this.parts.push(part.slice()));
  private readonly known = new Map<number, KnownPages>();

  /** Records from here on belong to this virtual CPU. */
  vcpu(id: number): void {
    this.writer.onVcpu(id, true);
  }

  /** @param immediate 0x5EED0000 | test << 8 | phase */
  mark(immediate: number): void {
    this.writer.mark(immediate);
  }

  /** Iterations of the REP instruction that the last fetch ended with. */
  repeat(iterations: number): void {
    this.writer.repeat(iterations);
  }

  /**
   * A run of sequential instructions.
   * @param page physical page of the text, written when it is new for the virtual page
   */
  fetch(address: bigint, instructions: number, bytes: number, page?: bigint): void {
    const virtual = address >> 12n;
    const { text } = this.pages();
    if (page !== undefined && text.get(virtual) !== page) {
      text.set(virtual, page);
      this.writer.fetchPage(low(address), high(address), Number(page));
    }
    this.writer.fetch(low(address), high(address), instructions, bytes);
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
    const { data } = this.pages();
    const fresh = page !== undefined && data.get(virtual) !== page;
    if (fresh) data.set(virtual, page);
    this.writer.access(
      store ? Kind.Store : Kind.Load,
      low(address),
      high(address),
      size | (device === undefined ? 0 : Access.Io) | (fresh ? Access.NewPage : 0),
      Number(page ?? 0n),
      Number((device ?? 0n) >> 12n),
    );
  }

  /** Nothing follows. */
  end(): void {
    this.writer.end();
  }

  bytes(): Uint8Array {
    this.writer.flush();
    const whole = new Uint8Array(this.parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of this.parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  private pages(): KnownPages {
    let known = this.known.get(this.writer.vcpu);
    if (!known) this.known.set(this.writer.vcpu, (known = { data: new Map(), text: new Map() }));
    return known;
  }
}
