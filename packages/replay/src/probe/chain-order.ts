/** The order of the chains that `kreplica probe` walks: one cycle through all groups, drawn from a seed. */

/** A chain: who follows whom, and what shows that another program has drawn the same. */
export interface ChainOrder {
  /** `next[group]`; from any group on, all of them come by before it comes again. */
  readonly next: Uint32Array;
  /** Over the whole lap from group 0 on: 31 times the sum so far, plus the group, modulo 2^32. */
  readonly hash: number;
}

/**
 * Sattolo's shuffle of 0 to groups - 1 with numbers of xorshift32 (shifts 13, 17, 5), as the measuring program has it.
 *
 * @param groups at least 1
 * @param seed 32 bits; 0 is taken as 1, since 0 would draw nothing but zeros
 */
export function chainOrder(groups: number, seed: number): ChainOrder {
  const next = Uint32Array.from({ length: groups }, (_, group) => group);
  let state = seed >>> 0 || 1;
  for (let left = groups - 1; left > 0; left--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const other = (state >>> 0) % left;
    const kept = next[left]!;
    next[left] = next[other]!;
    next[other] = kept;
  }
  let hash = 0;
  let group = 0;
  for (let step = 0; step < groups; step++) {
    group = next[group]!;
    hash = (Math.imul(hash, 31) + group) >>> 0;
  }
  return { next, hash };
}
