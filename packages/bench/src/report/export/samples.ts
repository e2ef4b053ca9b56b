/** What an export is made of: cycles of each test, state of the caches and kernel, by function and cause. */
import type { BootEvent } from "@kreplica/mm-core/api";
import {
  addressText,
  CAUSES,
  type CompareResult,
  functionRows,
  type LocatedTest,
  type TimeLine,
} from "@kreplica/replay";

/** Causes in words, by their names in the account. */
const LEVELS: Readonly<Record<string, string>> = {
  l1: "L1",
  l2: "L2",
  ownL3: "L3",
  otherL3: "another L3",
  local: "local memory",
  remote: "remote memory",
};
const causeText = (cause: string): string => {
  const [part, level] = cause.split(".") as [string, string?];
  if (level !== undefined) return `${part} from ${LEVELS[level]!}`;
  return part === "secondTlb" ? "second-level TLB" : part;
};

/** One figure. */
export interface Sample {
  readonly test: string;
  readonly cache: "hot" | "cold";
  /** Which of the two kernels, as {@link kernelsOf} calls them. */
  readonly kernel: string;
  readonly function: string;
  /** Of its first byte, hexadecimal; empty for what stands for a function in brackets. */
  readonly address: string;
  /** In words. */
  readonly cause: string;
  /** Whole numbers of 1/1024, unless tests are weighted by a mix of calls. */
  readonly cycles: number;
}

/** Names of the causes, in the account's order. */
export const CAUSE_TEXTS: readonly string[] = CAUSES.map(causeText);

/** What the two kernels are called: one copy first, then the policy by name. */
export const kernelsOf = ({ policy }: Pick<CompareResult, "policy">): readonly [string, string] => [
  "one copy",
  policy.name,
];

/** One kernel: its boot, and its runs one behind the other. */
export interface KernelTimes {
  readonly kernel: string;
  /** Which boots. */
  readonly bootCpu: number;
  readonly boot: readonly BootEvent[];
  /** Which runs the tests. */
  readonly cpu: number;
  /** Runs of all kernels stand in the same order. */
  readonly runs: readonly { readonly test: string; readonly cache: string; readonly line: TimeLine }[];
}

/** What all forms are told beside the samples. */
export interface Exported {
  /** What was compared: a clause. */
  readonly title: string;
  readonly kernels: ReturnType<typeof kernelsOf>;
  readonly samples: readonly Sample[];
  /** When it was, for the forms that are about time. */
  readonly times?: readonly KernelTimes[];
}

/**
 * All figures that are not 0: of a test in one state on one kernel they add up to the run's cycles, exactly; beside a
 * mix, to those of its calls that the test is of and that find the caches so.
 * By test and state as compared, kernel, function by address, cause.
 */
export function samplesOf(result: Pick<CompareResult, "located" | "policy" | "mix">): Sample[] {
  const { located, mix } = result;
  const kernels = kernelsOf(result);
  return (located?.tests ?? []).flatMap((each) => {
    const weight = mix ? weightIn(mix, each) : 1;
    if (weight === 0) return [];
    const rows = functionRows(each, located!.symbols).sort(
      (a, b) => (a.start ?? -1) - (b.start ?? -1) || (a.name < b.name ? -1 : 1),
    );
    return kernels.flatMap((kernel, side) =>
      rows.flatMap(({ name, start, before, after }) =>
        CAUSE_TEXTS.flatMap((cause, at): Sample[] => {
          const cycles = weight * (side === 0 ? before : after)[at]!;
          const address = start === undefined ? "" : addressText(start);
          return cycles === 0
            ? []
            : [{ test: each.test.name, cache: each.cache, kernel, function: name, address, cause, cycles }];
        }),
      ),
    );
  });
}

/** How many runs of a test in one state of the caches a mix has. */
function weightIn(mix: NonNullable<CompareResult["mix"]>, { file, cache, iterations }: LocatedTest): number {
  const found = mix.tests.find((each) => each.file === file);
  if (!found) return 0;
  return (found.iterations / iterations) * (cache === "cold" ? mix.coldShare : 1 - mix.coldShare);
}

/**
 * Whole numbers for figures in order: each differs from its own by less than 1, and any run of them from the figures'
 * sum by less than 1.
 */
export function wholeNumbers(figures: readonly number[]): number[] {
  let sum = 0;
  return figures.map((each) => {
    const before = Math.round(sum);
    sum += each;
    return Math.round(sum) - before;
  });
}
