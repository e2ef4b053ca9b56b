/** A small seeded generator (mulberry32), so that everything that is drawn is drawn again by the same seed. */

/** @returns a function that gives an integer 0 to `below` - 1; `below` at most 2^32 */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  };
}

/** Puts elements in an order that is drawn, every order as likely. @param random as {@link seededRandom} makes it */
export function shuffle(elements: { length: number; [at: number]: unknown }, random: (below: number) => number): void {
  for (let left = elements.length; left > 1; left--) {
    const drawn = random(left);
    [elements[left - 1], elements[drawn]] = [elements[drawn], elements[left - 1]];
  }
}
