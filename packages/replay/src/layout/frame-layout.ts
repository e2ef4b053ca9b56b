/**
 * Where else pages and page tables could have lain: another order of a recorded guest's frames, and frames that a
 * kernel is kept from, so that its tables come to lie in others.
 */
import { type Frame, type FrameRange, type MachineSpec, SparseMemory } from "@kreplica/hw-x86";
import { seededRandom, shuffle } from "@kreplica/mm-core";
import { guestNodeOfPage, imagePages, type RecordedGuest } from "@kreplica/trace";

/** Frames of a large page: frames change places within one, so that the direct map's leaves stay what they are. */
const REGION = 512;
/** Most frames at the top of a node of which a kernel gets half, and the part of a node that they are at most. */
const SCATTERED = 512;
const PART = 256;

/**
 * Another order of a guest's frames, within each 2 MiB that lie in one node and hold nothing of the image; all else
 * stays.
 *
 * @param seed any integer @returns the frame that stands for a recorded one: one for one
 */
export function frameOrder(guest: RecordedGuest, seed: number): (recorded: Frame) => Frame {
  const orders = new Map<number, Uint16Array | undefined>();
  const { firstPage } = guest.image;
  const end = firstPage + imagePages(guest.image);
  const orderOf = (region: number): Uint16Array | undefined => {
    const [first, last] = [region * REGION, region * REGION + REGION - 1];
    const node = guestNodeOfPage(guest, first);
    if (node < 0 || guestNodeOfPage(guest, last) !== node || (first < end && last >= firstPage)) return undefined;
    const random = seededRandom(seed ^ Math.imul(region + 1, 0x9e37_79b1));
    const order = Uint16Array.from({ length: REGION }, (_, at) => at);
    shuffle(order, random);
    return order;
  };
  return (recorded) => {
    if (recorded < 0) return recorded;
    const region = Math.floor(recorded / REGION);
    if (!orders.has(region)) orders.set(region, orderOf(region));
    const order = orders.get(region);
    return order ? region * REGION + order[recorded % REGION]! : recorded;
  };
}

/**
 * About half of the frames at the top of every node, which early tables are cut from and the allocator gives out first.
 *
 * @param seed any integer @returns frames that the kernel may not have, ascending
 */
export function scatteredFrames(spec: MachineSpec, seed: number): FrameRange[] {
  const random = seededRandom(seed ^ 0x7461_626c);
  const { ranges } = new SparseMemory(spec.nodes);
  return ranges.flatMap(({ node, first, frames }) => {
    const end = first + frames;
    const runs: { node: number; first: Frame; frames: number }[] = [];
    for (let frame = end - Math.min(SCATTERED, Math.floor(frames / PART)); frame < end; frame++) {
      if (random(2) === 0) continue;
      const last = runs.at(-1);
      if (last && last.first + last.frames === frame) last.frames++;
      else runs.push({ node, first: frame, frames: 1 });
    }
    return runs;
  });
}
