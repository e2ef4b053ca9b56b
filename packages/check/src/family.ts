/**
 * A family of operations: what a check run may do to a kernel of one kind of thing (processes, CPUs, kernel pages,
 * ...).
 *
 * Add a family by adding a file to `families/` and a line to `families.ts`. Operations are plain data with the name of
 * what they do, so that a run can be drawn without a kernel, shrunk, saved and replayed; what a family remembers of one
 * kernel lives in what `start` returns.
 */
import type { Plugin } from "@kreplica/di";
import type { AddressRange } from "@kreplica/hw-x86/api";
import type { BootParts } from "@kreplica/kernel";
import type { Drawing } from "./drawing.js";
import type { Operation } from "./operation.js";
import type { Subject } from "./subject.js";

export type { Operation } from "./operation.js";

/** One run in this many has the operations of rare families too. */
export const RARE_EVERY = 32;

/**
 * What a field of an operation may hold: checked when a run comes from a file. A list names the only words that may
 * stand there.
 */
export type Field = "number" | "boolean" | "operation" | readonly string[];

/** One kind of operation. */
export interface Kind {
  /** How often it is drawn, against all other kinds' weights. */
  readonly weight: number;
  /** Every field beside `op`. */
  readonly fields: Readonly<Record<string, Field>>;
  /** May not lie inside another operation. */
  readonly alone?: boolean;
}

/** A family, before there is a kernel. */
export interface OperationFamily<O extends Operation = Operation> {
  readonly name: string;
  /** Its operations; a name belongs to one family. */
  readonly kinds: Readonly<Record<O["op"], Kind>>;
  /**
   * Makes up the fields of an operation of a kind. Uses nothing but `drawing` for chance: the same seed gives the same
   * run.
   */
  draw(op: O["op"], drawing: Drawing): O;
  /** One line a kernel person can read. @param other the same for an operation of any family that lies inside */
  describe(operation: O, other: (operation: Operation) => string): string;
  /** Short lists of operations that belong together, drawn now and then in place of single ones. */
  readonly scenes?: readonly ((drawing: Drawing) => readonly Operation[])[];
  /**
   * Operations to try in place of one while a counterexample is made smaller; the harness tries process 0, CPU 0 and
   * one page itself.
   */
  simpler?(operation: O): readonly Operation[];
  /** Subsystems its kernel needs beside the core; a plugin that several families name is installed once. */
  readonly plugins?: readonly Plugin[];
  /** Called with the kernel before its first step: to add to steps of the boot. */
  beforeBoot?(parts: BootParts): void;
  /**
   * Drawn in one run of {@link RARE_EVERY} alone: its operations or their checks cost so much that others would come
   * short.
   */
  readonly rare?: boolean;
  /**
   * Whether what it does decides what a user sees: such operations are done on the single-copy kernel too, in a
   * differential run.
   */
  readonly seenByUsers?: boolean;
  /** Called once for a kernel, booted and checked in full; what it allocates here is no leak. */
  start(system: Subject): FamilyAtWork<O>;
}

/** A family on one kernel. Failures are thrown with {@link Subject.fail}. */
export interface FamilyAtWork<O extends Operation = Operation> {
  /**
   * Does an operation and compares what it came to with what it should. Refusals are no failures; an operation without
   * an object does nothing.
   */
  perform(operation: O): void;
  /**
   * Fields as they are to be printed: an operation takes what its numbers come to among the things there are now. The
   * harness does processes and CPUs.
   * @returns those that are other ones than the operation's
   */
  told?(operation: O): Readonly<Record<string, unknown>>;
  /** After every operation, of whichever family: only what may have changed since. */
  afterStep?(): void;
  /** At the end of a run, before anything of it is undone: everything the family knows, against the kernel. */
  compare?(): void;
  /** What it maps to another frame on each node without an area of vmalloc: nothing that A4 forbids. */
  replicated?(): readonly AddressRange[];
  /** Undoes what the run left, so that no frame is missing; families undo in the reverse of their order. */
  undo?(): void;
}
