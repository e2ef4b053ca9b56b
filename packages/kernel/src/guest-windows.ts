/**
 * Where the memory of a recorded guest is in the model: each of its nodes is a window of the same size on one node of
 * the machine, set aside while booting, so that frames of the recording and frames of the model never meet: the node
 * that holds the recorded image on the image's, every other on the data's.
 */
import { type Frame, type FrameRange, LARGE_PAGES, type NodeId } from "@kreplica/hw-x86/api";
import { guestNodeOfPage, imagePages, type RecordedGuest } from "@kreplica/trace";

/**
 * Frames by which an image is larger than the recorded one, in whole large pages: recorded frames behind the image lie
 * so much later.
 */
export const framesBeyond = (image: { readonly stext: bigint; readonly end: bigint }, guest: RecordedGuest): number =>
  Math.max(0, Math.ceil((imagePages(image) - imagePages(guest.image)) / 512) * 512);

/** Where a node of the guest is in the model. */
export interface GuestWindow {
  readonly node: NodeId;
  /** First frame, and how many: more than the guest had where the booted image is larger than the recorded one. */
  readonly first: Frame;
  readonly frames: number;
}

/**
 * A window for each of the guest's nodes, where they fit or not; those on one node lie behind one another.
 * @param nodes of the image and of all other recorded memory @param beyond what {@link framesBeyond} says of the image
 */
export function guestWindows(
  ranges: readonly FrameRange[],
  guest: RecordedGuest,
  [image, data]: readonly [NodeId, NodeId],
  beyond = 0,
): GuestWindow[] {
  const taken = new Map<NodeId, number>();
  const holdsImage = guestNodeOfPage(guest, guest.image.firstPage);
  return guest.nodes.map(({ pages }, i) => {
    // The image itself lies where the model's does. The only node a guest had is where the test's data was.
    const node = i === holdsImage && guest.nodes.length > 1 ? image : data;
    const start = ranges.find((range) => range.node === node)?.first ?? 0;
    const first = start + (taken.get(node) ?? 0);
    const frames = pages + (i === holdsImage ? beyond : 0);
    taken.set(node, (taken.get(node) ?? 0) + frames);
    return { node, first, frames };
  });
}

/** Windows that are set aside: those on nodes large enough to spare them, which have as much again. */
export const sparedWindows = (
  ranges: readonly FrameRange[],
  guest: RecordedGuest,
  nodes: readonly [NodeId, NodeId],
  beyond = 0,
): GuestWindow[] =>
  guestWindows(ranges, guest, nodes, beyond).filter(({ first }, i) =>
    ranges.some((range) => first >= range.first && first + 2 * guest.nodes[i]!.pages <= range.first + range.frames),
  );

/**
 * Where the tails of the recorded image lie, which its kernel gave back and used for anything, while of the booted
 * image they may be text or rodata (patch 06): a large page each, so that page descriptors keep their places among one
 * another, at the end of the memory that the image's node must have to spare behind its windows. Undefined where
 * windows are not set aside: there the tails stay in the image.
 */
export function tailsWindow(
  ranges: readonly FrameRange[],
  guest: RecordedGuest,
  nodes: readonly [NodeId, NodeId],
  beyond = 0,
): GuestWindow | undefined {
  const windows = guestWindows(ranges, guest, nodes, beyond);
  if (guest.image.tails.length === 0 || sparedWindows(ranges, guest, nodes, beyond).length < windows.length)
    return undefined;
  const node = windows[guestNodeOfPage(guest, guest.image.firstPage)]!.node;
  const last = windows.findLastIndex((each) => each.node === node);
  const frames = guest.image.tails.length * LARGE_PAGES;
  const end = windows[last]!.first + 2 * guest.nodes[last]!.pages;
  const first = Math.floor((end - frames) / LARGE_PAGES) * LARGE_PAGES;
  return first < windows[last]!.first + windows[last]!.frames ? undefined : { node, first, frames };
}
