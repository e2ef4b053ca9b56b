/** Where operations work: few pages, around the borders of tables, so that operations meet. */

const SPOTS = [0x200n, 0x201n, 0x202n, 0x3fen, 0x3ffn, 0x400n];

/** Places user operations work on: three top-level slots, around table borders. */
export const PLACES = 3 * SPOTS.length;

/** Page number of a place. Top-level slots are 512 GiB apart with 4 levels, 256 TiB with 5. */
export const pageOf = (place: number, levels: 4 | 5): bigint =>
  (BigInt(Math.floor((place % PLACES) / SPOTS.length)) << (levels === 5 ? 36n : 27n)) + SPOTS[place % SPOTS.length]!;

/** Address of a place as it is printed: with 4 levels. */
export const placeText = (place: number): string => `0x${(pageOf(place, 4) << 12n).toString(16)}`;
