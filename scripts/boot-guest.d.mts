/** Types of boot-guest.mjs, for tests. */
export function bootGuest(options: {
  readonly vmlinuz: string; readonly out: string; readonly start: bigint; readonly bytes: number;
  readonly cpu?: string; readonly cpus?: number; readonly append?: string; readonly seconds?: number;
}): Promise<{ readonly log: string }>;
