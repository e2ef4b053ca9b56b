/**
 * Room for a recording's frames. On a machine with memory to spare the boot sets a window aside for each of the
 * recorded guest's nodes; on a smaller one the kernel may use what the recording leaves.
 */
import { type Frame, type FrameRange, type MachineSpec, type NodeId, SparseMemory } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import { type GuestWindow, guestWindows, sparedWindows } from "@kreplica/kernel";
import {
  Access,
  guestNodeOfPage,
  imagePages,
  Kind,
  readTrace,
  type RecordedGuest,
  type Recording,
  shippedGuest,
} from "@kreplica/trace";

/** A run of frames. */
export interface FrameRun {
  readonly first: Frame;
  readonly frames: number;
}

/**
 * Frames to keep from the kernel so that the recording's have a place; none where the boot sets whole windows aside.
 *
 * @param order in which the guest's frames are, where it is not as recorded
 * @throws InputError when a node is smaller than the guest's, TraceError as the reader does
 */
export function framesToReserve(
  spec: MachineSpec,
  nodes: readonly [NodeId, NodeId],
  recording: Recording,
  more: Iterable<number> = [],
  guest: RecordedGuest = shippedGuest,
  order: (recorded: Frame) => Frame = (recorded) => recorded,
): FrameRun[] {
  const { ranges } = new SparseMemory(spec.nodes);
  if (sparedWindows(ranges, guest, nodes).length === guest.nodes.length) return [];
  const windows = guestWindows(ranges, guest, nodes);
  for (const window of windows) {
    if (fits(ranges, window)) continue;
    const { node } = window;
    const need = windows.reduce((sum, each) => sum + (each.node === node ? each.frames : 0), 0) / 256;
    throw new InputError({
      file: spec.name,
      field: `nodes[${spec.nodes.findIndex((each) => each.id === node)}].memoryBytes`,
      reason: `node ${node} cannot hold what the recorded guest had in memory`,
      remedy: `give it at least ${need} MiB in one piece`,
    });
  }
  const used = new Set([...framesIn(recording), ...more].map(order));
  const runs: { first: Frame; frames: number }[] = [];
  const imageEnd = guest.image.firstPage + imagePages(guest.image);
  for (const recorded of [...used].sort((x, y) => x - y)) {
    const node = guestNodeOfPage(guest, recorded);
    if (node < 0 || (recorded >= guest.image.firstPage && recorded < imageEnd)) continue;
    const frame = windows[node]!.first + recorded - guest.nodes[node]!.firstPage;
    const last = runs.at(-1);
    if (last && frame === last.first + last.frames) last.frames++;
    else runs.push({ first: frame, frames: 1 });
  }
  return runs;
}

/** Whether a machine's nodes can hold what the recorded guest had: else {@link framesToReserve} refuses them. */
export function hasRoom(spec: MachineSpec, nodes: readonly [NodeId, NodeId], guest = shippedGuest): boolean {
  const { ranges } = new SparseMemory(spec.nodes);
  return guestWindows(ranges, guest, nodes).every((window) => fits(ranges, window));
}

const fits = (ranges: readonly FrameRange[], { node, first, frames }: GuestWindow): boolean =>
  ranges.some((range) => range.node === node && first >= range.first && first + frames <= range.first + range.frames);

/** Frames a recording names. */
export function framesIn(recording: Recording): Set<Frame> {
  const used = new Set<Frame>();
  readTrace(recording, ({ kind, a, b, length }) => {
    for (let i = 0; i < length; i++) {
      if (
        kind[i] === Kind.FetchPage ||
        ((kind[i] === Kind.Load || kind[i] === Kind.Store) && (a[i]! & (Access.NewPage | Access.Io)) === Access.NewPage)
      )
        used.add(b[i]!);
    }
  });
  return used;
}
