/** Places of executed text as one number each: an address of the kernel's upper 4 GiB, or which other memory it is. */

/** Places that are no addresses of the kernel's upper 4 GiB. */
export const USER_PLACE = -1;
/** Kernel addresses below the image's 4 GiB: trampolines of the CPU entry area, text in vmalloc space. */
export const OUTSIDE_PLACE = -2;
/** What no place was charged with: instructions that were in no recording. */
export const NO_PLACE = -3;

/** Place of an address by its halves as 32 signed bits: low half in the upper 4 GiB, else one of the above. */
export const placeOf = (lo: number, hi: number): number =>
  hi === -1 ? lo >>> 0 : hi >= 0 ? USER_PLACE : OUTSIDE_PLACE;
