/** Lessons: stories that end where a rule breaks, recorded by `scripts/lessons.mjs`. */
import { sentenceOf } from "@kreplica/check";
import { defectOf } from "@kreplica/series-as-posted";
import recorded from "../../lessons/series.json" with { type: "json" };
import type { Story } from "./setup.js";

/** A story that ends at its violation. */
export interface Lesson extends Story {
  /** Of the defect. */
  readonly id: string;
  /** Rule that breaks at the end. */
  readonly invariant: string;
  readonly detail: string;
}

/** What is told around a lesson. */
export interface LessonWords {
  readonly title: string;
  readonly sentence: string;
  /** Where it is from, and what comes of it on a real machine. */
  readonly about: string;
  readonly rule: string;
}

/** All lessons; another list of bugs is put behind this one. */
export const LESSONS: readonly Lesson[] = recorded as readonly unknown[] as readonly Lesson[];

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
    sentence: defect?.sentence ?? "",
    about: defect ? `${defect.patch}. What comes of it: ${defect.effect}. How it is known: ${defect.confirmed}.` : "",
    rule: `${invariant}: ${sentenceOf(invariant)}`,
  };
}
