/** The kernel under check as families of operations see it. */
import type { CpuId, NodeId } from "@kreplica/hw-x86";
import type { Invariant } from "@kreplica/invariants";
import type { BootParts } from "@kreplica/kernel";
import type { Operation } from "./operation.js";
import type { Population } from "./population.js";
import type { TableWatch } from "./table-watch.js";

export interface Subject {
  readonly parts: BootParts;
  readonly watch: TableWatch;
  readonly population: Population;
  /** Replica nodes as of the end of the boot. */
  readonly holders: readonly NodeId[];
  /** Operations done. */
  readonly steps: number;
  /** Whether the last operation that could be met in the middle was. */
  met: boolean;
  /** On the twin: whether it was on the kernel under check, whose stores are other ones. */
  readonly follow: boolean | undefined;
  /** Requests for memory after which none is refused any more. */
  refusedUntil: number;
  /** Does an operation without looking at the kernel afterwards: for families whose operations hold others. */
  perform(operation: Operation): void;
  /** Does an operation in the middle of another. */
  performWithin(operation: Operation): void;
  /** Whether an operation is about what users see: processes, their pages, CPUs. */
  isUserOperation(operation: Operation): boolean;
  /** An operation with the numbers its words are to name, see {@link FamilyAtWork.told}. */
  told(operation: Operation): Operation;
  /** Some rules of the state at once. @throws CheckFailure with the first that is broken */
  checkRules(only: readonly string[]): void;
  /** Groups A to C in full. @throws CheckFailure with the first rule that is broken */
  fullCheck(): void;
  /** @param invariant its id in the list, or a row of the family's own @throws CheckFailure */
  fail(invariant: string | Invariant<never>, detail: string): never;
  /** The CPU on line a number stands for. */
  cpu(number: number): CpuId;
  /** Address of a place, see places.ts; and its page. */
  address(place: number): bigint;
  page(place: number): bigint;
  /** Frames free now, in the order of the machine's nodes. */
  freeFrames(): number[];
  /** Runs what changes for good how many frames there are: the kernel serves no further run. */
  forGood(work: () => void): void;
  /** Runs what may be refused (undefined or false): it must then have given every frame back. */
  unchangedWhenRefused<T>(work: () => T | undefined | false): T | undefined | false;
}
