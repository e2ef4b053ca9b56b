/** The boot and the runs of both kernels as lines of time with counters, as Perfetto reads them: protobuf packets. */
import type { BootEvent } from "@kreplica/mm-core/api";
import { STRETCH_PARTS } from "@kreplica/replay";
import { PbfWriter } from "pbf";
import { message } from "./protobuf.js";
import type { Exported, KernelTimes } from "./samples.js";

/**
 * Numbers of the fields used.
 * @source Perfetto, protos/perfetto/trace: trace.proto, trace_packet.proto, track_event/
 */
const Field = {
  TracePacket: 1,
  PacketTimestamp: 8,
  PacketSequence: 10,
  PacketTrackEvent: 11,
  PacketInternedData: 12,
  PacketSequenceFlags: 13,
  PacketTrackDescriptor: 60,
  TrackUuid: 1,
  TrackName: 2,
  TrackProcess: 3,
  TrackParent: 5,
  TrackCounter: 8,
  ProcessPid: 1,
  ProcessName: 6,
  CounterUnitName: 6,
  EventAnnotation: 4,
  EventType: 9,
  EventNameNumber: 10,
  EventTrack: 11,
  EventCounter: 30,
  AnnotationText: 6,
  AnnotationName: 10,
  InternedEventNames: 2,
  NameNumber: 1,
  NameText: 2,
} as const;
const enum Event {
  Begin = 1,
  End = 2,
  Counter = 4,
}
const enum SequenceFlag {
  Cleared = 1,
  Needs = 2,
}
const SEQUENCE = 1;

/** Writes packets; keeps what names and tracks are called by number. */
class TraceWriter {
  private readonly pbf = new PbfWriter();
  private readonly names = new Map<string, number>();
  private tracks = 0;
  private cleared = false;

  /** @returns its number; what is told of it is written at once */
  track(name: string, parent?: number, more?: (pbf: PbfWriter) => void): number {
    const uuid = ++this.tracks;
    this.packet((pbf) =>
      message(pbf, Field.PacketTrackDescriptor, () => {
        pbf.writeVarintField(Field.TrackUuid, uuid);
        pbf.writeStringField(Field.TrackName, name);
        if (parent !== undefined) pbf.writeVarintField(Field.TrackParent, parent);
        more?.(pbf);
      }),
    );
    return uuid;
  }

  process(name: string, pid: number): number {
    return this.track(name, undefined, (pbf) =>
      message(pbf, Field.TrackProcess, () => {
        pbf.writeVarintField(Field.ProcessPid, pid);
        pbf.writeStringField(Field.ProcessName, name);
      }),
    );
  }

  counter(name: string, parent: number, unit: string): number {
    return this.track(name, parent, (pbf) =>
      message(pbf, Field.TrackCounter, () => pbf.writeStringField(Field.CounterUnitName, unit)),
    );
  }

  begin(track: number, time: number, name: string, told: Readonly<Record<string, string>> = {}): void {
    const known = this.names.get(name);
    const number = known ?? this.names.size + 1;
    this.names.set(name, number);
    this.event(
      track,
      time,
      Event.Begin,
      (pbf) => {
        pbf.writeVarintField(Field.EventNameNumber, number);
        for (const [key, value] of Object.entries(told))
          message(pbf, Field.EventAnnotation, () => {
            pbf.writeStringField(Field.AnnotationName, key);
            pbf.writeStringField(Field.AnnotationText, value);
          });
      },
      known === undefined ? [number, name] : undefined,
    );
  }

  end(track: number, time: number): void {
    this.event(track, time, Event.End);
  }

  /** @param value whole */
  count(track: number, time: number, value: number): void {
    this.event(track, time, Event.Counter, (pbf) => pbf.writeVarintField(Field.EventCounter, value));
  }

  bytes(): Uint8Array {
    return this.pbf.finish();
  }

  private event(
    track: number,
    time: number,
    type: Event,
    more?: (pbf: PbfWriter) => void,
    interned?: readonly [number: number, name: string],
  ): void {
    this.packet((pbf) => {
      pbf.writeVarintField(Field.PacketTimestamp, time);
      if (interned)
        message(pbf, Field.PacketInternedData, () =>
          message(pbf, Field.InternedEventNames, () => {
            pbf.writeVarintField(Field.NameNumber, interned[0]);
            pbf.writeStringField(Field.NameText, interned[1]);
          }),
        );
      message(pbf, Field.PacketTrackEvent, () => {
        pbf.writeVarintField(Field.EventType, type);
        pbf.writeVarintField(Field.EventTrack, track);
        more?.(pbf);
      });
    });
  }

  private packet(fill: (pbf: PbfWriter) => void): void {
    message(this.pbf, Field.TracePacket, (pbf) => {
      pbf.writeVarintField(Field.PacketSequence, SEQUENCE);
      pbf.writeVarintField(Field.PacketSequenceFlags, this.cleared ? SequenceFlag.Needs : SequenceFlag.Cleared);
      this.cleared = true;
      fill(pbf);
    });
  }
}

/**
 * A process a kernel. The boot: a nanosecond a store into a page table, and counters of stores and of tables made. The
 * runs: a nanosecond a cycle; each test in one state of the caches is a slice with the functions that ran in it, one
 * behind the other, and begins at the same time on both kernels; counters say what of it was text from far and from
 * near. Whole cycles: ends of slices are off by less than half of one.
 *
 * @source Perfetto, "Writing synthetic traces": TrackDescriptor and TrackEvent
 */
export function perfetto({ title, times = [] }: Pick<Exported, "title" | "times">): Uint8Array {
  const trace = new TraceWriter();
  const starts: number[] = [];
  const runs = times[0]?.runs ?? [];
  runs.forEach((_, nth) => {
    const longest = Math.max(0, ...times.map((each) => Math.ceil(sum(each.runs[nth - 1]?.line.cycles ?? []))));
    starts.push((starts.at(-1) ?? 0) + longest);
  });
  times.forEach((each, nth) => {
    const process = trace.process(`${each.kernel} (${title})`, nth + 1);
    bootOf(each, process, trace);
    runsOf(each, starts, process, trace);
  });
  return trace.bytes();
}

const sum = (figures: Iterable<number>): number => {
  let all = 0;
  for (const each of figures) all += each;
  return all;
};

function bootOf({ bootCpu, boot }: KernelTimes, process: number, trace: TraceWriter): void {
  const line = trace.track(`boot, CPU ${bootCpu}: 1 ns a store into a page table`, process);
  const counted = [
    { name: "stores into page tables", unit: "stores", of: ({ stores }: BootEvent) => stores },
    { name: "of these for the copies", unit: "stores", of: ({ replicaStores }: BootEvent) => replicaStores },
    { name: "page-table frames", unit: "frames", of: ({ tableFrames }: BootEvent) => tableFrames },
  ].map(({ name, unit, of }) => ({ track: trace.counter(`boot: ${name}`, process, unit), of, value: 0 }));
  let now = 0;
  for (const counter of counted) trace.count(counter.track, now, 0);
  for (const event of boot) {
    trace.begin(line, now, event.step, { did: event.did, "from the series": event.fromSeries ? "yes" : "no" });
    now += event.stores;
    trace.end(line, now);
    for (const counter of counted) trace.count(counter.track, now, (counter.value += counter.of(event)));
  }
}

function runsOf({ cpu, runs }: KernelTimes, starts: readonly number[], process: number, trace: TraceWriter): void {
  const line = trace.track(`CPU ${cpu}: 1 ns a cycle`, process);
  const counted = STRETCH_PARTS.map((part, at) => ({ part, at })).filter(({ part }) => part.endsWith("text"));
  const counters = counted.map(({ part, at }) => ({
    track: trace.counter(`CPU ${cpu}: cycles for ${part} so far`, process, "cycles"),
    at,
  }));
  runs.forEach(({ test, cache, line: { names, functions, cycles } }, nth) => {
    const start = starts[nth]!;
    const values = counters.map(() => 0);
    const shown = counters.map(() => 0);
    trace.begin(line, start, `${test}, ${cache}`);
    for (const { track } of counters) trace.count(track, start, 0);
    let passed = 0;
    functions.forEach((number, stretch) => {
      const own = cycles.subarray(stretch * STRETCH_PARTS.length, (stretch + 1) * STRETCH_PARTS.length);
      const from = start + Math.round(passed);
      passed += sum(own);
      const to = start + Math.round(passed);
      // What took no cycle, or half of one, is no slice.
      if (to > from) {
        trace.begin(line, from, names[number]!);
        trace.end(line, to);
      }
      counters.forEach(({ track, at }, which) => {
        values[which]! += own[at]!;
        const whole = Math.round(values[which]!);
        if (whole !== shown[which]) trace.count(track, to, (shown[which] = whole));
      });
    });
    trace.end(line, start + Math.round(passed));
  });
}
