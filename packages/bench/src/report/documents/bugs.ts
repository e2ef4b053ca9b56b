/** What `kreplica bugs --json` prints: the museum as a list, or one bug whole. */
import type { Bug } from "@kreplica/museum";
import type { OperationDocument } from "./check.js";

/** The museum: a list of its bugs, or one of them whole. */
export type BugsDocument = BugListDocument | BugDocument;

/** Every bug in one line. */
export interface BugListDocument {
  readonly schema: "kreplica.bugs/1";
  readonly bugs: readonly ListedBug[];
}

/** A bug in one line. */
export interface ListedBug {
  /** What `check --bug` takes. */
  readonly name: string;
  /** Part of the kernel that had it; "the series" for a defect of the series as posted. */
  readonly room: string;
  readonly sentence: string;
  /** Invariant that catches it. */
  readonly invariant: string;
}

/** One bug whole. */
export interface BugDocument extends ListedBug {
  readonly schema: "kreplica.bugs/1";
  readonly happened: string;
  readonly mended: string;
  /** Commits of Linux, the mending first; without an id where none was confirmed. */
  readonly commits: readonly { readonly id?: string; readonly subject: string }[];
  /** Kernel that the path was found on. */
  readonly kernel: {
    readonly nodes: number;
    /** Of page tables. */
    readonly levels: 4 | 5;
    /** Kernel page-table isolation. */
    readonly pti: boolean;
    /** What is not as usual. */
    readonly configuration?: string;
  };
  /** Operations from a kernel just booted to the broken invariant; none where the boot breaks it. */
  readonly path: readonly OperationDocument[];
  readonly copies: {
    /** Invariant that the same path breaks with a single copy; absent where it breaks none. */
    readonly without?: string;
    /** Invariant that it breaks with a copy a node; absent where it breaks none. */
    readonly with?: string;
    readonly words: string;
  };
}

const listed = ({ id, room, sentence, invariant }: Bug): ListedBug => ({ name: id, room, sentence, invariant });

/** @param bugs in the order they are listed */
export const bugListDocument = (bugs: readonly Bug[]): BugsDocument => ({
  schema: "kreplica.bugs/1",
  bugs: bugs.map(listed),
});

/** One of them. */
export const bugDocument = (bug: Bug): BugsDocument => {
  const { nodes = 2, levels = 4, pti = false, configuration } = bug.kernel;
  return {
    schema: "kreplica.bugs/1",
    ...listed(bug),
    happened: bug.happened,
    mended: bug.mended,
    commits: bug.commits,
    kernel: { nodes, levels, pti, ...(configuration ? { configuration } : {}) },
    path: bug.path as readonly OperationDocument[],
    copies: bug.copies,
  };
};
