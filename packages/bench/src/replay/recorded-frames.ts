/**
 * Room for a recording's frames. On a machine with memory to spare the boot sets a window aside for each of the recorded guest's
 * nodes; on a smaller one the kernel may use what the recording leaves.
 */
import { type Frame, type MachineSpec, type NodeId, SparseMemory } from "@kreplica/hw-x86";
import { InputError } from "../inputs/input-error.js";
import { RECORDED_IMAGE, RECORDED_NODE_FRAMES, recordedWindows, windowPlaces } from "../recorded-pages.js";
import { Access, Kind } from "../trace/batch.js";
import { readTrace } from "../trace/read-trace.js";

/** A run of frames. */
export interface FrameRun { readonly first: Frame; readonly frames: number }

/**
 * Frames to keep from the kernel so that the recording's have a place; none where the boot sets whole windows aside.
 *
 * @throws InputError when a node is smaller than the guest's, TraceError as the reader does
 */
export function framesToReserve(spec: MachineSpec, nodes: readonly [NodeId, NodeId], file: string, more: Iterable<number> = []): FrameRun[] {
  const { ranges } = new SparseMemory(spec.nodes);
  if (recordedWindows(ranges, nodes).length === 2) return [];
  const places = windowPlaces(ranges, nodes);
  places.forEach((first, which) => {
    if (ranges.some((range) => range.node === nodes[which] && first >= range.first && first + RECORDED_NODE_FRAMES <= range.first + range.frames)) return;
    const need = nodes[0] === nodes[1] ? 1024 : 512;
    throw new InputError({ file: spec.name, field: `nodes[${spec.nodes.findIndex((node) => node.id === nodes[which])}].memoryBytes`, reason: `node ${nodes[which]} cannot hold what the recorded guest had in memory`, remedy: `give it at least ${need} MiB in one piece` });
  });
  const used = new Set([...framesIn(file), ...more]);
  const runs: { first: Frame; frames: number }[] = [];
  for (const recorded of [...used].sort((x, y) => x - y)) {
    if ((recorded >= RECORDED_IMAGE.first && recorded < RECORDED_IMAGE.end) || recorded >= 2 * RECORDED_NODE_FRAMES) continue;
    const frame = recorded < RECORDED_NODE_FRAMES ? places[0] + recorded : places[1] + recorded - RECORDED_NODE_FRAMES;
    const last = runs.at(-1);
    if (last && frame === last.first + last.frames) last.frames++;
    else runs.push({ first: frame, frames: 1 });
  }
  return runs;
}

/** Frames a recording names. */
export function framesIn(file: string): Set<Frame> {
  const used = new Set<Frame>();
  readTrace(file, ({ kind, a, b, length }) => {
    for (let i = 0; i < length; i++) {
      if (kind[i] === Kind.FetchPage || ((kind[i] === Kind.Load || kind[i] === Kind.Store) && (a[i]! & (Access.NewPage | Access.Io)) === Access.NewPage)) used.add(b[i]!);
    }
  });
  return used;
}
