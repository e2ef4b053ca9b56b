/**
 * Lessons: stories that end where a rule breaks. Those of the series are recorded by `scripts/lessons.mjs`, those of
 * Linux are the museum's.
 */
import { sentenceOf } from "@kreplica/check";
import { defectOf } from "@kreplica/series-as-posted";
import recorded from "../../lessons/series.json" with { type: "json" };
import type { Lesson, LessonWords } from "./lesson.js";
import { MUSEUM_LESSONS, wordsOfBug } from "./museum.js";

/** Where the lessons of the series hang; those of the museum have its own rooms. */
export const SERIES_ROOM = "the series as posted";

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
