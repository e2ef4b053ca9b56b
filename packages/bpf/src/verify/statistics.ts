/** How much the verifier had to follow, and the line of the log that says so. */

export interface VerifyStatistics {
  /** Instructions followed over all paths, and how many may be. */
  readonly processed: number;
  readonly limit: number;
  /** States recorded: most at one instruction, and in all. */
  readonly mostStates: number;
  readonly states: number;
  /** States kept at the end, and most at a time: those that never helped are dropped. */
  readonly kept: number;
  readonly mostKept: number;
  /** Most branches that waited to be followed. */
  readonly waiting: number;
}
export type RunningStatistics = { -readonly [Key in keyof VerifyStatistics]: number };

/**
 * The kernel's last line, after a refusal too. Its mark_read is the longest chain of liveness marks; here liveness
 * needs no chains: 0.
 */
export const summaryLine = ({ processed, limit, mostStates, states, mostKept }: VerifyStatistics): string =>
  `processed ${processed} insns (limit ${limit}) max_states_per_insn ${mostStates} total_states ${states} peak_states ${mostKept} mark_read 0`;
