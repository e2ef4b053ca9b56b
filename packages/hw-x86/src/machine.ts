/**
 * The assembled box: memory, domains, cores and threads. Cores come into being when a CPU of theirs is first asked for.
 */
import { inject, injectable } from "@kreplica/di";
import { Domain, Fabric } from "./coherence.js";
import { Core, type CoreStore, coreStore } from "./core.js";
import { CounterBank, Event } from "./counters.js";
import { HardwareThread, type ThreadParts } from "./cpu.js";
import type { CpuId, NodeId } from "./ids.js";
import type { Machine } from "./machine-api.js";
import { Counters, MachineParts, Specification } from "./machine-tokens.js";
import { PhysMemory } from "./memory-api.js";
import { OwnerTable } from "./memory-layout.js";
import { SparseMemory } from "./phys-memory.js";
import { RunAheadCore, RunAheadThread } from "./run-ahead.js";
import type { CpuSpec, MachineSpec } from "./spec.js";

/** Memory of the specification's nodes. */
@injectable()
export class MachineMemory extends SparseMemory {
  constructor(@inject(Specification) spec: MachineSpec) {
    super(spec.nodes);
  }
}

/** Counters for the specification's nodes. */
@injectable()
export class MachineCounters extends CounterBank implements Counters {
  constructor(@inject(Specification) spec: MachineSpec) {
    super(spec.nodes.length);
  }
}

/**
 * The assembled machine: memory, cache domains, cores and threads. A core comes into being when a CPU of it is first
 * asked for.
 */
@injectable()
export class NumaMachine implements Machine {
  readonly nodes: readonly NodeId[];
  readonly cpuIds: readonly CpuId[];
  /** By number, as threads: asked for at every turn. */
  private readonly cpuSpecs: CpuSpec[] = [];
  private readonly nodeIndex = new Map<NodeId, number>();
  /** Number of each CPU among the threads of its core. */
  private readonly threadOf = new Map<CpuId, number>();
  private readonly threads: HardwareThread[] = [];
  private readonly cores = new Map<number, Core>();
  /** What cores have until their first access. */
  private emptyStore: CoreStore | undefined;
  private readonly domainsById = new Map<number, Domain>();
  private readonly fabric: Fabric;

  constructor(
    @inject(Specification) readonly spec: MachineSpec,
    @inject(PhysMemory) readonly memory: PhysMemory,
    @inject(Counters) private readonly counters: Counters,
    @inject(MachineParts) private readonly parts: MachineParts,
  ) {
    this.nodes = spec.nodes.map((node) => node.id);
    this.cpuIds = spec.cpus.map((cpu) => cpu.id).sort((a, b) => a - b);
    spec.nodes.forEach((node, index) => this.nodeIndex.set(node.id, index));
    const threadsOfCore = new Map<number, number>();
    for (const cpu of spec.cpus) this.cpuSpecs[cpu.id] = cpu;
    for (const id of this.cpuIds) {
      const { core } = this.cpuSpecs[id]!;
      const thread = threadsOfCore.get(core) ?? 0;
      threadsOfCore.set(core, thread + 1);
      this.threadOf.set(id, thread);
    }
    this.fabric = new Fabric(
      spec,
      new OwnerTable(memory.ranges, (node) => this.nodeIndex.get(node)!),
      counters.layout,
      parts,
    );
  }

  cpu(id: CpuId): HardwareThread {
    const known = this.threads[id];
    if (known) return known;
    const where = this.cpuSpecs[id];
    if (!where)
      throw new RangeError(
        `CPU ${id} does not exist; ${this.spec.name} has ${this.cpuIds.length}, the last is ${this.cpuIds.at(-1)}`,
      );
    const core = this.coreOf(where);
    const made = threadOf(core, {
      id,
      node: where.node,
      thread: this.threadOf.get(id)!,
      memory: this.memory,
      physicalBits: this.spec.physicalBits,
      encryptionBit: this.spec.encryptionBit,
      counters: this.counters.of(id),
      layout: this.counters.layout,
    });
    this.threads[id] = made;
    return made;
  }

  nodeOfCpu(id: CpuId): NodeId {
    const where = this.cpuSpecs[id];
    if (!where)
      throw new RangeError(
        `CPU ${id} does not exist; ${this.spec.name} has ${this.cpuIds.length}, the last is ${this.cpuIds.at(-1)}`,
      );
    return where.node;
  }

  distance(from: NodeId, to: NodeId): number {
    const row = this.nodeIndex.get(from);
    const column = this.nodeIndex.get(to);
    if (row === undefined || column === undefined)
      throw new RangeError(
        `node ${row === undefined ? from : to} does not exist; ${this.spec.name} has ${this.nodes.join(", ")}`,
      );
    return this.spec.distance[row]![column]!;
  }

  interrupt(from: CpuId, to: readonly CpuId[]): void {
    this.cpu(from);
    const sent = this.counters.layout.event(Event.InterruptsSent);
    const taken = this.counters.layout.event(Event.InterruptsTaken);
    const sender = this.counters.of(from);
    for (const id of to) {
      this.cpu(id).serialisations++;
      const receiver = this.counters.of(id);
      sender[sent] = sender[sent]! + 1;
      receiver[taken] = receiver[taken]! + 1;
    }
  }

  chill(): void {
    for (const core of this.cores.values()) core.clear();
    for (const domain of this.domains) domain.clear();
  }

  flushCaches(): void {
    for (const core of this.cores.values()) core.clearCaches();
    for (const domain of this.domains) domain.clear();
  }

  /** L3 domains in which a core came into being. */
  get domains(): readonly Domain[] {
    return this.fabric.domains;
  }

  /** The L3 domain of a CPU. */
  domainOf(id: CpuId): Domain {
    this.cpu(id);
    return this.domainsById.get(this.cpuSpecs[id]!.l3)!;
  }

  /**
   * Bytes of host memory of all caches and TLBs that came into being, at a core's first access; {@link
   * PhysMemory.hostBytes} is apart.
   */
  get hostBytes(): number {
    let bytes = 0;
    for (const core of this.cores.values()) bytes += core.hostBytes;
    for (const domain of this.domains) bytes += domain.hostBytes;
    return bytes + this.threads.reduce((sum) => sum + this.counters.layout.length * 8, 0);
  }

  private coreOf(where: CpuSpec): Core {
    let core = this.cores.get(where.core);
    if (!core) {
      let domain = this.domainsById.get(where.l3);
      if (!domain) {
        domain = new Domain(this.fabric, where.socket);
        this.domainsById.set(where.l3, domain);
      }
      const { frontEnd } = this.spec.costs;
      const nodeIndex = this.nodeIndex.get(where.node)!;
      const empty = (this.emptyStore ??= coreStore(this.spec, this.parts));
      core =
        frontEnd === undefined
          ? new Core(this.spec, domain, nodeIndex, this.parts, empty)
          : new RunAheadCore(this.spec, domain, nodeIndex, this.parts, empty, frontEnd);
      this.cores.set(where.core, core);
    }
    return core;
  }
}

/** The thread that goes with its core. */
const threadOf = (core: Core, parts: ThreadParts): HardwareThread =>
  core instanceof RunAheadCore ? new RunAheadThread(parts, core) : new HardwareThread(parts, core);
