/** What `kreplica bugs --json` prints: the museum as a list, or one bug whole. */
import type { Bug } from "@kreplica/museum";
import type { SeriesDefect } from "@kreplica/series-as-posted";
import type { OperationDocument } from "./check.js";

/** The museum: a list of its bugs, or one of them whole. */
export type BugsDocument = BugListDocument | BugDocument | DefectDocument;

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

/** A defect of the series whole. */
export interface DefectDocument extends ListedBug {
  readonly schema: "kreplica.bugs/1";
  /** Patch, file and function. */
  readonly where: string;
  /** What comes of it. */
  readonly effect: string;
  readonly known: string;
  /** Invariants that it breaks, the one it is found by first. */
  readonly breaks: readonly string[];
  /** Kernels on which it shows, where it does not on every one. */
  readonly configuration?: string;
}

/** The first room: what `check --defect` takes. */
export const SERIES_ROOM = "the series as posted";

const defectListed = ({ id, sentence, breaks }: SeriesDefect): ListedBug => ({
  name: id,
  room: SERIES_ROOM,
  sentence,
  invariant: breaks[0]!,
});

const listed = ({ id, room, sentence, invariant }: Bug): ListedBug => ({ name: id, room, sentence, invariant });

/** @param defects of the series, the first room @param bugs in the order they are listed */
export const bugListDocument = (defects: readonly SeriesDefect[], bugs: readonly Bug[]): BugListDocument => ({
  schema: "kreplica.bugs/1",
  bugs: [...defects.map(defectListed), ...bugs.map(listed)],
});

/** One of the series. */
export const defectDocument = (defect: SeriesDefect): DefectDocument => ({
  schema: "kreplica.bugs/1",
  ...defectListed(defect),
  where: defect.patch,
  effect: defect.effect,
  known: defect.confirmed,
  breaks: defect.breaks,
  ...(defect.configuration ? { configuration: defect.configuration } : {}),
});

/** One of them. */
export const bugDocument = (bug: Bug): BugDocument => {
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
