/**
 * A recording played reference by reference on a booted kernel, from cold caches: of each what answered it, how it was
 * translated, and on which node its frame lies. Played as far as somebody has looked.
 */
import { Counters, Kind, Place as Counted, Source } from "@kreplica/hw-x86";
import type { CpuId, MachineSpec, NodeId } from "@kreplica/hw-x86/api";
import { frameAt } from "@kreplica/mm-core";
import { boot, type Booted, kernelFrom } from "@kreplica/kernel";
import { preset } from "@kreplica/machines";
import {
  defaultDataNode,
  indexOf,
  otherCpus,
  recordedKernelFrom,
  type TextSymbols,
  type Where,
} from "@kreplica/replay";
import { Control, framesToReserve, gateTo, Op, type Program, ProgramBuilder, Replayer } from "@kreplica/replay/program";
import { type RecordedGuest, readTrace, type Recording, shippedGuest, surveyGuest, testOf } from "@kreplica/trace";
import type { OwnKernel, OwnRecording } from "./own.js";
import type { PlayedReference, PlayedTotals, PlayedView } from "./view.js";
import { recordedImage } from "./recorded-image.js";

/** What decides how a recording is played. */
export interface Playing {
  /** The machine it is played on. */
  readonly spec: MachineSpec;
  readonly policy: string;
  readonly levels: 4 | 5;
  readonly pti: boolean;
  /** Node whose CPU runs what was measured. */
  readonly on: NodeId;
}

/** The machine for who opened none: the machines of most other stories are too small for a recorded guest. */
export const machineForRecordings = (): MachineSpec => preset("e5-2690v3-2s")!;

/** References shown before and behind the one that is looked at. */
const BEFORE = 5;
const BEHIND = 20;
/** References that are played in one go when somebody asks for the next of a sort. */
const MOST_AHEAD = 2_000_000;

const TRANSLATED = ["TLB", "second TLB", "walk"] as const;
const REGIONS = ["user", "kernel text and data", "rodata", "module", "replication"] as const;

/** @throws TraceError for what is no recording, is cut or damaged */
export function checkRecording(recording: Recording): void {
  testOf(recording);
  readTrace(recording, () => {});
}

/** Bounds alike are taken for the same build: the shipped recordings'. */
const isRecordedBuild = ({ image }: OwnKernel): boolean =>
  image.stext === shippedGuest.image.stext &&
  image.startRodata === shippedGuest.image.startRodata &&
  image.end === shippedGuest.image.end;

/** A replayer that stops behind each reference. */
class SteppedReplayer extends Replayer {
  /** Runs one operation. */
  step(program: Program, at: number): void {
    this.execute(program, at, at + 1);
  }
  /** The CPU that runs now. */
  get running(): CpuId {
    return this.current?.id ?? this.cpu;
  }
  get region(): number {
    return this.current?.region ?? 0;
  }
  /** Begins on the measured CPU. */
  begin(): void {
    this.control(undefined as never, Control.Vcpu, this.measured);
  }
}

/** One recording on one kernel. */
export class Playback {
  /** Of each reference, by its number: the operation that makes it, the CPU, its region register. */
  private readonly operations: Uint32Array;
  private readonly cpus: Uint16Array;
  private readonly regions: Uint8Array;
  /**
   * Source by {@link Source} and node; how it was translated; entries of tables that came from another node's memory.
   */
  private readonly sources: Uint8Array;
  private readonly translated: Uint8Array;
  private readonly farWalks: Uint8Array;
  private readonly frames: Int32Array;
  private readonly nodesOfFrames: Int16Array;
  /** References played so far. */
  private played = 0;
  /** What the first so many of them come to. */
  private summed = 0;
  private readonly sums = { caches: 0, near: 0, far: 0, walks: 0, farWalks: 0 };
  /** References with which the measured CPU enters the kernel. */
  private readonly entries: number[] = [];
  private next = 0;
  private privilege = 3;
  private entered = false;
  private readonly length: number;

  private constructor(
    private readonly own: OwnRecording,
    private readonly playing: Playing,
    readonly booted: Booted,
    private readonly program: Program,
    private readonly replayer: SteppedReplayer,
    private readonly names: TextSymbols | undefined,
    private readonly kernelName: string,
  ) {
    let length = 0;
    for (let at = 0; at < program.length; at++) if ((program.word(at) & 3) !== Op.Control) length++;
    this.length = length;
    this.operations = new Uint32Array(length);
    this.cpus = new Uint16Array(length);
    this.regions = new Uint8Array(length);
    this.sources = new Uint8Array(length);
    this.translated = new Uint8Array(length);
    this.farWalks = new Uint8Array(length);
    this.frames = new Int32Array(length);
    this.nodesOfFrames = new Int16Array(length);
    replayer.chill();
    replayer.begin();
  }

  /** @throws InputError, TraceError of a recording or a machine that cannot be */
  static async of(own: OwnRecording, kernel: OwnKernel | undefined, playing: Playing): Promise<Playback> {
    const { recording } = own;
    const { spec, policy, levels, pti, on } = playing;
    const named = kernel !== undefined && !isRecordedBuild(kernel);
    const recorded = named ? await recordedKernelFrom(kernel.bytes, kernel.file, shippedGuest.nodes) : undefined;
    const { guest } = surveyGuest(recording, recorded?.guest ?? shippedGuest, named);
    const where = placeOn(spec, on);
    const booted = boot(
      kernelFrom({
        spec,
        policy,
        levels,
        pti,
        image: recorded ? (ends) => recorded.image(ends) : kernel ? kernel.image : recordedImage,
        masterNode: where.masterNode,
        recordedNodes: [where.masterNode, where.dataNode],
        reserved: framesToReserve(spec, [where.masterNode, where.dataNode], recording, [], guest),
        guest,
      }),
    );
    const { program, measured } = programOf(recording, booted, guest);
    const replayer = new SteppedReplayer(booted, where.cpu, measured, otherCpus(spec, where, measured, guest));
    return new Playback(own, playing, booted, program, replayer, kernel?.names, recorded?.name ?? guest.kernel);
  }

  /** @param reference that is looked at, from 0 */
  view(reference: number): PlayedView {
    const { playing, length } = this;
    const at = Math.max(0, Math.min(reference, length - 1));
    this.playTo(Math.min(length, at + BEHIND));
    const first = Math.max(0, at - BEFORE);
    const rows = Array.from({ length: Math.min(length, at + BEHIND) - first }, (_, row) => this.reference(first + row));
    return {
      name: this.own.recording.name,
      kernel: this.kernelName,
      named: this.names !== undefined,
      machine: playing.spec.name,
      nodes: playing.spec.nodes.map(({ id }) => id),
      cpu: this.replayer.cpu,
      on: playing.on,
      length,
      at,
      rows,
      totals: this.totals(at + 1),
      before: this.around(at, -1),
      behind: this.around(at, 1),
    };
  }

  /** The nearest reference in a direction that is far, and that enters the kernel; undefined where none is played. */
  private around(at: number, direction: -1 | 1): PlayedView["before"] {
    const entry =
      direction < 0
        ? this.entries.findLast((each) => each < at)
        : this.seek(
            at,
            () => this.entries.at(-1)! > at,
            () => this.entries.find((each) => each > at),
          );
    const isFar = (each: number): boolean => this.isFar(each);
    let far: number | undefined;
    if (direction < 0) {
      for (let each = at - 1; each >= 0 && far === undefined; each--) if (isFar(each)) far = each;
    } else {
      for (let each = at + 1; each < this.length && each <= at + MOST_AHEAD && far === undefined; each++) {
        if (each >= this.played) this.playTo(Math.min(this.length, each + 4096));
        if (isFar(each)) far = each;
      }
    }
    return { ...(entry === undefined ? {} : { entry }), ...(far === undefined ? {} : { far }) };
  }

  private seek(at: number, found: () => boolean, which: () => number | undefined): number | undefined {
    const limit = Math.min(this.length, at + MOST_AHEAD);
    while (!(this.entries.length > 0 && found()) && this.played < limit)
      this.playTo(Math.min(limit, this.played + 4096));
    return which();
  }

  private isFar(at: number): boolean {
    return isFarSource(this.sources[at]!, this.nodeIndex(this.cpus[at]!), this.nodes) || this.farWalks[at]! > 0;
  }

  private get nodes(): number {
    return this.playing.spec.nodes.length;
  }

  private nodeIndex(cpu: CpuId): number {
    return indexOf(this.playing.spec, this.booted.machine.nodeOfCpu(cpu));
  }

  /** Plays until so many references were made. */
  private playTo(references: number): void {
    const { program, replayer, booted } = this;
    const { machine, layout } = booted;
    const bank = booted.assembly.get(Counters);
    const { layout: counts } = bank;
    const width = counts.sources;
    const before = new Float64Array(6 * width + 5);
    while (this.played < references && this.next < program.length) {
      const at = this.next++;
      const word = program.word(at);
      if ((word & 3) === Op.Control) {
        replayer.step(program, at);
        this.hearControl((word >>> 2) & 63, word >>> 8);
        continue;
      }
      const { running, region } = replayer;
      const live = bank.of(running);
      const row = counts.row(region, Kind.Fetch);
      const places = counts.place(region, Counted.Instructions);
      before.set(live.subarray(row, row + 6 * width));
      before.set(live.subarray(places, places + 5), 6 * width);
      replayer.step(program, at);
      const grown = (kind: Kind, source: number): number =>
        live[row + kind * width + source]! - before[kind * width + source]!;
      let answered = 0;
      const kinds =
        (word & 3) === Op.Fetch
          ? [Kind.Fetch, Kind.PrefetchedFetch]
          : [(word & 3) === Op.Load ? Kind.Load : Kind.Store];
      for (const kind of kinds)
        for (let source = 0; source < width; source++) if (grown(kind, source) > 0) answered = source;
      let farWalks = 0;
      for (let source = 0; source < width; source++)
        if (isFarSource(source, this.nodeIndex(running), this.nodes)) farWalks += grown(Kind.Walk, source);
      const place = (which: Counted): number => live[places + which]! - before[6 * width + which]!;
      const [second, walks] =
        (word & 3) === Op.Fetch
          ? [Counted.FetchSecondTlb, Counted.FetchWalks]
          : [Counted.DataSecondTlb, Counted.DataWalks];
      const page = word >>> 8;
      const address = addressOf(program, page);
      const frame = frameAt(machine.memory, machine.cpu(running).rootFrame, layout.levels, address) ?? -1;
      const nth = this.played++;
      if (this.entered) this.entries.push(nth);
      this.entered = false;
      this.operations[nth] = at;
      this.cpus[nth] = running;
      this.regions[nth] = region;
      this.sources[nth] = answered;
      this.translated[nth] = place(walks) > 0 ? 2 : place(second) > 0 ? 1 : 0;
      this.farWalks[nth] = farWalks;
      this.frames[nth] = frame;
      this.nodesOfFrames[nth] = frame < 0 ? -1 : machine.memory.nodeOf(frame);
    }
  }

  private hearControl(what: number, argument: number): void {
    if (what !== Number(Control.Privilege) || this.replayer.running !== this.replayer.cpu) return;
    this.entered = argument === 0 && this.privilege === 3;
    this.privilege = argument;
  }

  private reference(at: number): PlayedReference {
    const word = this.program.word(this.operations[at]!);
    const page = this.program.pages[word >>> 8]!;
    const address = BigInt.asUintN(64, page.address) | BigInt((word & 0xfc) << 4);
    const recorded = BigInt.asUintN(64, page.recorded) | BigInt((word & 0xfc) << 4);
    const low = Number(recorded & 0xffff_ffffn);
    const found = recorded >> 32n === 0xffff_ffffn ? this.names?.at(low) : undefined;
    const cpu = this.cpus[at]!;
    const own = this.nodeIndex(cpu);
    return {
      nth: at,
      cpu,
      kind: (["fetch", "load", "store"] as const)[word & (3 as 0)]!,
      address: `0x${address.toString(16)}`,
      ...(found ? { name: `${found.name}+0x${(low - found.start).toString(16)}` } : {}),
      region: REGIONS[this.regions[at]!] ?? "",
      frame: this.frames[at]!,
      node: this.nodesOfFrames[at]!,
      from: sourceWords(this.sources[at]!, this.playing.spec, own),
      far: this.isFar(at),
      translation: TRANSLATED[this.translated[at]!]!,
      farWalks: this.farWalks[at]!,
      enters: this.entries.includes(at),
    };
  }

  /** Goes on, or back, from what was summed last. */
  private totals(references: number): PlayedTotals {
    for (; this.summed < references; this.summed++) this.sum(this.summed, 1);
    for (; this.summed > references; this.summed--) this.sum(this.summed - 1, -1);
    return { ...this.sums };
  }

  private sum(at: number, count: 1 | -1): void {
    if (this.cpus[at] !== this.replayer.cpu) return;
    const { sums } = this;
    const source = this.sources[at]!;
    if (isFarSource(source, this.nodeIndex(this.cpus[at]!), this.nodes)) sums.far += count;
    else if (source >= Number(Source.Memory)) sums.near += count;
    else sums.caches += count;
    if (this.translated[at] === 2) sums.walks += count;
    sums.farWalks += count * this.farWalks[at]!;
  }
}

const addressOf = ({ pageLo, pageHi }: Program, page: number): bigint =>
  (BigInt(pageHi[page]! >>> 0) << 32n) | BigInt(pageLo[page]! >>> 0);

/** The image on the first node with memory, where the kernel is; what runs, and its data, on the node asked for. */
function placeOn(spec: MachineSpec, on: NodeId): Where {
  const cpu = (spec.cpus.find(({ node }) => node === on) ?? spec.cpus[0]!).id;
  const masterNode = spec.nodes.find(({ memoryBytes }) => memoryBytes > 0)!.id;
  return { cpu, masterNode, dataNode: defaultDataNode(spec, cpu) };
}

function programOf(recording: Recording, booted: Booted, guest: RecordedGuest): { program: Program; measured: number } {
  const { machine } = booted;
  // For the address space that pages are mapped into before any CPU runs.
  booted.recorded.runsOn(machine.cpuIds[0]!);
  const builder = new ProgramBuilder(
    recording.name,
    (address, frame) => booted.recorded.map(address, frame),
    undefined,
    gateTo([booted], guest),
    undefined,
    guest,
  );
  readTrace(recording, (batch) => {
    builder.add(batch);
  });
  return builder.finish();
}

/** Whether a line came over a link between nodes. @param own index of the CPU's node */
function isFarSource(source: number, own: number, nodes: number): boolean {
  if (source === Number(Source.DirtyOtherSocket) || source === Number(Source.UpgradeOtherSocket)) return true;
  if (source < Number(Source.Memory)) return false;
  const [group, home] = groupOf(source, nodes);
  return group === 2 || (group === 0 && home !== own);
}

/** 0 of memory, 1 and 2 clean in another L3 of the same and of another socket; and the line's home. */
const groupOf = (source: number, nodes: number): [number, number] => {
  const at = source - Source.Memory;
  return [Math.floor(at / nodes), at % nodes];
};

function sourceWords(source: number, { nodes }: MachineSpec, own: number): string {
  const words = [
    "L1",
    "L2",
    "L3",
    "a neighbour's cache",
    "another L3, changed there",
    "another socket's cache, changed there",
    "here, a neighbour's copy dropped",
    "here, copies of the socket dropped",
    "here, copies of another socket dropped",
  ];
  if (source < words.length) return words[source]!;
  const [group, home] = groupOf(source, nodes.length);
  const node = `node ${nodes[home]!.id}`;
  if (group === 0) return `memory of ${node}${home === own ? "" : ", far"}`;
  return group === 1 ? `another L3, memory of ${node}` : `another socket's cache, memory of ${node}`;
}
