/**
 * Lessons: stories that end where a rule breaks. Those of the series are recorded by `scripts/lessons.mjs`, those of
 * Linux are the museum's.
 */
import { sentenceOf } from "@kreplica/check";
import { defectOf } from "@kreplica/series-as-posted";
import recorded from "../../lessons/series.json" with { type: "json" };
import { MUSEUM_LESSONS, wordsOfBug } from "./museum.js";
import type { Story } from "./setup.js";

/** Where the lessons of the series hang; those of the museum have its own rooms. */
export const SERIES_ROOM = "the series as posted";

/** A story that ends at its violation. */
export interface Lesson extends Story {
  /** Of the defect, or of the museum's bug. */
  readonly id: string;
  readonly room: string;
  /** Rule that breaks at the end. */
  readonly invariant: string;
  /** What is seen then, where it was recorded. */
  readonly detail?: string;
}

/** What is told around a lesson. */
export interface LessonWords {
  readonly title: string;
  readonly sentence: string;
  /** Where it is from, and what comes of it on a real machine. */
  readonly about: string;
  readonly rule: string;
  /**
   * What a copy of the kernel on each node does to it; the series' defects are all about that, and need no such words.
   */
  readonly copies?: string;
}

/** A lesson as it is recorded. */
export type RecordedLesson = Omit<Lesson, "room" | "detail"> & { readonly detail: string };

/** The series' own. */
export const SERIES_LESSONS: readonly Lesson[] = (recorded as readonly unknown[] as readonly RecordedLesson[]).map(
  (lesson) => ({ ...lesson, room: SERIES_ROOM }),
);

/** All, room by room, the series' first. */
export const LESSONS: readonly Lesson[] = [...SERIES_LESSONS, ...MUSEUM_LESSONS];

const COUNTS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** `D5 in eight steps`. */
export function wordsOf({ id, operations, invariant }: Lesson): LessonWords {
  const { length } = operations;
  const defect = defectOf(id);
  return {
    title:
      length === 0
        ? `${id}: the boot alone shows it`
        : `${id} in ${COUNTS[length] ?? String(length)} ${length === 1 ? "step" : "steps"}`,
    ...(defect
      ? {
          sentence: defect.sentence,
          about: `${defect.patch}. What comes of it: ${defect.effect}. How it is known: ${defect.confirmed}.`,
        }
      : (wordsOfBug(id) ?? { sentence: "", about: "" })),
    rule: `${invariant}: ${sentenceOf(invariant)}`,
  };
}
