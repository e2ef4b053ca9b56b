/** What a lesson is: a story, and what is told around it. */
import type { Story } from "./setup.js";

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
