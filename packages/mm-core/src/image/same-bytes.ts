/** Whether two frames say the same, but for places where they may differ: the sites of a patch that is under way. */
import {
  addressOfFrame,
  type AddressRange,
  contains,
  type Frame,
  meet,
  PAGE,
  type PhysMemory,
} from "@kreplica/hw-x86/api";

/**
 * @param address of the page both frames stand behind
 * @param open places in which they may differ
 */
export function sameBytes(
  memory: PhysMemory,
  mine: Frame,
  theirs: Frame,
  address: bigint,
  open: readonly AddressRange[] = [],
): boolean {
  if (memory.equalFrames(mine, theirs)) return true;
  const places = open.filter((place) => meet(place, { start: address, end: address + PAGE }));
  if (places.length === 0) return false;
  const bytes = (frame: Frame): Uint8Array => {
    const read = new Uint8Array(Number(PAGE));
    memory.readBytes(addressOfFrame(frame), read);
    return read;
  };
  const other = bytes(theirs);
  return bytes(mine).every(
    (byte, at) => byte === other[at] || places.some((place) => contains(place, address + BigInt(at))),
  );
}
