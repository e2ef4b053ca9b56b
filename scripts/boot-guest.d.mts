/** Types of boot-guest.mjs, for tests. */
export function bootGuest(options: {
  readonly vmlinuz: string;
  readonly out: string;
  readonly start: bigint;
  readonly bytes: number;
  readonly cpu?: string;
  readonly cpus?: number;
  readonly append?: string;
  readonly seconds?: number;
  /** .ko files that /init loads, in that order. */
  readonly modules?: readonly Uint8Array[];
}): Promise<{ readonly log: string }>;
