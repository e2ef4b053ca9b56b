/**
 * A machine without caches, TLBs or time, for tests of kernel code: memory is a map of frames, CPUs remember what they
 * were told. Slow and plain on purpose, so that nobody needs to doubt it.
 */
import {
  NO_FRAME,
  frameOfAddress,
  type Cpu,
  type CpuId,
  type FrameRange,
  hex,
  type Machine,
  type MachineSpec,
  NONE,
  type NodeId,
  PAGE,
  PAGE_BYTES,
  type PhysMemory,
} from "@kreplica/hw-x86/api";

/** One node of a {@link stubMachine}. */
export interface StubNode {
  readonly id: NodeId;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** Absent: a socket of its own. */ readonly socket?: number;
}

/** Memory as a map of frames: slow, and plain enough to be believed. */
export class StubMemory implements PhysMemory {
  private readonly frames = new Map<number, Uint32Array>();
  private readonly versions = new Map<number, number>();
  constructor(readonly ranges: readonly FrameRange[]) {}
  get hostBytes(): number {
    return this.frames.size * PAGE_BYTES;
  }

  nodeOf(frame: number): NodeId {
    for (const range of this.ranges) if (frame >= range.first && frame < range.first + range.frames) return range.node;
    return -1;
  }
  private own(frame: number): Uint32Array {
    let words = this.frames.get(frame);
    if (!words) this.frames.set(frame, (words = new Uint32Array(1024)));
    this.versions.set(frame, (this.versions.get(frame) ?? 0) + 1);
    return words;
  }
  read32(frame: number, word: number): number {
    return this.frames.get(frame)?.[word] ?? 0;
  }
  write32(frame: number, word: number, value: number): void {
    this.own(frame)[word] = value;
  }
  nextEntry(table: number, first: number, last: number): number {
    for (let index = first; index <= last; index++) if (this.read32(table, index * 2) !== 0) return index;
    return last + 1;
  }
  nextDifference(table: number, other: number, first: number, last: number): number {
    for (let word = first * 2; word < last * 2 + 2; word++)
      if (this.read32(table, word) !== this.read32(other, word)) return word >> 1;
    return last + 1;
  }
  version(frame: number): number {
    return this.versions.get(frame) ?? 0;
  }
  copyFrame(from: number, to: number): void {
    const words = this.frames.get(from);
    if (words) this.own(to).set(words);
    else this.clearFrame(to);
  }
  clearFrame(frame: number): void {
    if (this.frames.has(frame)) this.own(frame).fill(0);
  }
  equalFrames(a: number, b: number): boolean {
    const left = this.frames.get(a);
    const right = this.frames.get(b);
    if (left === right) return true;
    for (let word = 0; word < 1024; word++) if ((left?.[word] ?? 0) !== (right?.[word] ?? 0)) return false;
    return true;
  }
  readBytes(physical: bigint, into: Uint8Array): void {
    for (const { frame, offset, at, count } of pieces(physical, into.length)) {
      const words = this.frames.get(frame);
      if (words) into.set(new Uint8Array(words.buffer, offset, count), at);
      else into.fill(0, at, at + count);
    }
  }
  writeBytes(physical: bigint, bytes: Uint8Array): void {
    for (const { frame, offset, at, count } of pieces(physical, bytes.length))
      new Uint8Array(this.own(frame).buffer).set(bytes.subarray(at, at + count), offset);
  }
  read64(physical: bigint): bigint {
    const bytes = new Uint8Array(8);
    this.readBytes(physical, bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }
  write64(physical: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.writeBytes(physical, bytes);
  }
}

/** Bytes from an address on, frame by frame. @throws RangeError where the model has no frames */
function* pieces(physical: bigint, length: number) {
  const last = physical + BigInt(Math.max(length, 1) - 1);
  if (physical < 0n || frameOfAddress(physical) === NO_FRAME || frameOfAddress(last) === NO_FRAME)
    throw new RangeError(`${length} bytes at ${hex(physical)} have no frame`);
  for (let at = 0; at < length;) {
    const address = physical + BigInt(at);
    const offset = Number(address & (PAGE - 1n));
    const count = Math.min(PAGE_BYTES - offset, length - at);
    yield { frame: frameOfAddress(address), offset, at, count };
    at += count;
  }
}

/** What a CPU of the stub was told, in order: `cr3 0x1000`, `invlpg 0xffff...`, `flush`. */
export class StubCpu implements Cpu {
  readonly told: string[] = [];
  privilege: 0 | 3 = 0;
  cr0 = 0;
  cr4 = 0;
  efer = 0;
  alignmentCheck = false;
  cr3 = 0n;
  lastFrame = 0;
  region = 0;
  constructor(
    readonly id: CpuId,
    readonly node: NodeId,
  ) {}
  get rootFrame(): number {
    // An encryption bit, 47 or 51, is no bit of the address.
    return frameOfAddress(this.cr3 & 0x0007_7fff_ffff_f000n);
  }
  get pcid(): number {
    return Number(this.cr3 & 0xfffn);
  }
  writeCr3(value: bigint): void {
    this.cr3 = value & ~(1n << 63n);
    this.told.push(`cr3 ${hex(value)}`);
  }
  fetch(_lo: number, _hi: number): number {
    return 0;
  }
  load(_lo: number, _hi: number): number {
    return 0;
  }
  store(_lo: number, _hi: number): number {
    return 0;
  }
  loadPhysical(): void {}
  storePhysical(): void {}
  retire(): void {}
  walkAhead(): void {}
  invlpg(address: bigint): void {
    this.told.push(`invlpg ${hex(address)}`);
  }
  invpcid(type: 0 | 1 | 2 | 3, pcid: number, address: bigint): void {
    this.told.push(`invpcid ${type} ${pcid} ${hex(address)}`);
  }
  flushTranslations(): void {
    this.told.push("flush");
  }
  /** It caches nothing. */
  readonly cached = { fills: 0, forEach: () => undefined, rootOf: () => NONE, keptFrom: () => NONE };
}

/** A machine without caches, TLBs or time, which remembers what its CPUs were told. */
export interface StubMachine extends Machine {
  cpu(id: CpuId): StubCpu;
  /** Interrupts sent: `0 -> 1 2 3`. */
  readonly interrupts: readonly string[];
}

/**
 * Nodes follow one another in memory, each on a whole GiB; CPUs are numbered node by node.
 * @param distance SLIT by position in `nodes`; 10 and 21 when absent
 * @param make another kind of CPU
 */
export function stubMachine(
  nodes: readonly StubNode[],
  distance?: readonly (readonly number[])[],
  make: (id: CpuId, node: NodeId, memory: StubMemory) => StubCpu = (id, node) => new StubCpu(id, node),
): StubMachine {
  const ranges: FrameRange[] = [];
  let next = 0;
  for (const node of nodes) {
    const frames = node.memoryMiB * 256;
    if (frames > 0) ranges.push({ node: node.id, first: next, frames });
    next += Math.max(1, Math.ceil(frames / 262144)) * 262144;
  }
  const memory = new StubMemory(ranges);
  const cpus = nodes
    .flatMap((node) => Array.from({ length: node.cpus }, () => node.id))
    .map((node, id) => make(id, node, memory));
  const position = (node: NodeId): number => nodes.findIndex((each) => each.id === node);
  const interrupts: string[] = [];
  return {
    // All of a machine's description that the kernel asks for.
    spec: {
      cpus: cpus.map(({ id, node }) => ({
        id,
        node,
        core: id,
        l3: node,
        socket: nodes[position(node)]!.socket ?? node,
      })),
    } as unknown as MachineSpec,
    memory,
    nodes: nodes.map((node) => node.id),
    cpuIds: cpus.map((cpu) => cpu.id),
    interrupts,
    cpu(id) {
      const cpu = cpus[id];
      if (!cpu) throw new RangeError(`no CPU ${id}`);
      return cpu;
    },
    nodeOfCpu: (id) => cpus[id]!.node,
    distance: (from, to) => distance?.[position(from)]?.[position(to)] ?? (from === to ? 10 : 21),
    interrupt(from, to) {
      interrupts.push(`${from} -> ${to.join(" ")}`);
    },
    chill() {},
    flushCaches() {},
  };
}
