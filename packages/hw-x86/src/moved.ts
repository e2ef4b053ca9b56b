/** Arrays that go on in another buffer. */

/** @returns the second array, with what the first has */
export const moved = <T extends Int32Array | Int16Array | Uint16Array | Uint8Array>(from: T, to: T): T => {
  to.set(from);
  return to;
};
