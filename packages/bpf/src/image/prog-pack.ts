/**
 * Packs: 2 MiB of code for each node there may be, shared by programs, so that many small programs need few large pages
 * and no permission change each. Linux takes so much because a large area without a node of its own is spread over all:
 * each has a 2 MiB page then.
 *
 *   pack: chunks of 64 bytes, one bit of a map each; free ones are full of int3 (0xcc)
 *
 * A pack is filled, then replicated if asked for, then made read-only and executable, once; programs come and go by
 * the code writer only. Programs larger than a pack have an area of their own with the same life.
 *
 * @patch 12/12 kernel/bpf/core.c alloc_new_pack, bpf_prog_pack_alloc, bpf_prog_pack_free
 */
import { inject, injectable } from "@kreplica/di";
import { bytesAt, hex, LARGE_BYTES, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { BpfError, invariant } from "../errors.js";
import type { CodePlace, PackReport, Packs } from "../images-api.js";
import { CodeAreas, CodePermissions, CodeReplication, CodeWriter, PackSize } from "../ports.js";

/** Bytes of a pack for each node. @source kernel/bpf/core.c BPF_PROG_PACK_SIZE: PMD_SIZE * num_possible_nodes() */
export const PACK_BYTES = LARGE_BYTES;
/** Bytes of a chunk, the unit in which a pack gives code memory out. */
export const CHUNK_BYTES = 64;
const TRAP = 0xcc;

interface Pack {
  readonly address: bigint;
  readonly taken: Uint8Array;
  free: number;
}

/**
 * Code memory that many small programs share, replicated once a pack where asked for.
 * @patch 12/12 kernel/bpf/core.c bpf_prog_pack_alloc, bpf_prog_pack_free
 */
@injectable()
export class ProgramPacks implements Packs {
  private readonly packs: Pack[] = [];
  private readonly single = new Map<bigint, CodePlace>();
  /** Chunks of each place in a pack, by address: what is freed must be what was allocated. */
  private readonly placed = new Map<bigint, number>();

  constructor(
    @inject(CodeAreas) private readonly areas: CodeAreas,
    @inject(CodePermissions) private readonly permissions: CodePermissions,
    @inject(CodeWriter) private readonly writer: CodeWriter,
    @inject(CodeReplication) private readonly replication: CodeReplication,
    @inject(PackSize) private readonly size: PackSize = { bytes: PACK_BYTES },
  ) {}

  private get chunks(): number {
    return this.size.bytes / CHUNK_BYTES;
  }

  /** Room for `bytes` of code, full of traps. @throws BpfError `image-no-space`; nothing is kept then */
  allocate(bytes: number): CodePlace {
    invariant(bytes > 0, "code of no bytes");
    if (bytes > this.size.bytes) {
      const whole = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES,
        address = this.area(whole, "bpf program");
      const place = { address, bytes: whole, pack: false };
      this.single.set(address, place);
      return place;
    }
    const chunks = Math.ceil(bytes / CHUNK_BYTES);
    let pack = this.packs.find((each) => each.free >= chunks && find(each.taken, chunks) >= 0);
    if (!pack) {
      pack = { address: this.area(this.size.bytes, "bpf pack"), taken: new Uint8Array(this.chunks), free: this.chunks };
      this.packs.push(pack);
    }
    const at = find(pack.taken, chunks);
    pack.taken.fill(1, at, at + chunks);
    pack.free -= chunks;
    const address = pack.address + BigInt(at * CHUNK_BYTES);
    this.placed.set(address, chunks);
    return { address, bytes: chunks * CHUNK_BYTES, pack: true };
  }

  /** Puts code into a place. */
  write(place: CodePlace, bytes: Uint8Array): void {
    invariant(bytes.length <= place.bytes, "code larger than its place");
    this.writer.copy(place.address, bytes);
  }

  /**
   * Traps over the code and the room free again; an empty pack goes back, but for the last.
   * @throws BpfError `image-not-ours`
   */
  free(place: CodePlace): void {
    if (this.single.delete(place.address)) return this.areas.release(place.address);
    const chunks = this.placed.get(place.address),
      pack = this.packs.find(
        (each) => place.address >= each.address && place.address < each.address + BigInt(this.size.bytes),
      );
    if (chunks === undefined || !pack)
      throw new BpfError("image-not-ours", {}, `no code was placed at ${hex(place.address)}, or it was freed before`);
    this.placed.delete(place.address);
    this.writer.set(bytesAt(place.address, chunks * CHUNK_BYTES), TRAP);
    const at = Number(place.address - pack.address) / CHUNK_BYTES;
    pack.taken.fill(0, at, at + chunks);
    pack.free += chunks;
    // An empty pack goes back unless it is the only one: the next program would want it again.
    if (pack.free === this.chunks && this.packs.length > 1) {
      this.packs.splice(this.packs.indexOf(pack), 1);
      this.areas.release(pack.address);
    }
  }

  /** Gives everything back; all programs must be gone. */
  dispose(): void {
    invariant(this.placed.size === 0 && this.single.size === 0, "programs still lie in packs");
    for (const pack of this.packs.splice(0)) this.areas.release(pack.address);
  }

  report(): PackReport[] {
    return [
      ...this.packs.map((pack) => ({
        address: pack.address,
        usedBytes: (this.chunks - pack.free) * CHUNK_BYTES,
        bytes: this.size.bytes,
      })),
      ...[...this.single.values()].map(({ address, bytes }) => ({ address, usedBytes: bytes, bytes })),
    ];
  }

  private area(bytes: number, what: string): bigint {
    const address = this.areas.allocate(bytes, what);
    if (address === undefined)
      throw new BpfError(
        "image-no-space",
        { section: what },
        `no room for ${bytes} bytes of code in the module range; unload programs or modules`,
      );
    this.areas.write(address, new Uint8Array(bytes).fill(TRAP));
    this.replication.replicate(address);
    this.permissions.readOnlyExecutable({ start: address, pages: bytes / PAGE_BYTES });
    return address;
  }
}

/** First run of free chunks. @returns -1 when there is none */
function find(taken: Uint8Array, chunks: number): number {
  for (let at = taken.indexOf(0); at >= 0;) {
    let end = at;
    while (end < taken.length && end - at < chunks && taken[end] === 0) end++;
    if (end - at === chunks) return at;
    at = taken.indexOf(0, end + 1);
  }
  return -1;
}
