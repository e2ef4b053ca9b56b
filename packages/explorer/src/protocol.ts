/** What page and worker say to each other: plain values. */
import type { Catalogue } from "./model/choices.js";
import type { Place } from "./hash.js";
import type { Failure } from "./model/session.js";
import type { StoryStep, View } from "./model/view.js";

/** From the page: what is to be seen. The answer to an older question is not waited for. */
export interface Question {
  readonly number: number;
  readonly place: Place;
}

/** From the worker, first of all. */
export interface Hello {
  readonly kind: "hello";
  readonly catalogue: Catalogue;
}

/** What is seen. */
export interface Answer {
  readonly kind: "answer";
  readonly number: number;
  readonly view: View;
  readonly steps: readonly StoryStep[];
  readonly failure?: Failure;
  /** Milliseconds the worker took. */
  readonly took: number;
}

/** Why nothing can be seen. */
export interface Refusal {
  readonly kind: "refusal";
  readonly number: number;
  readonly reason: string;
}

export type Reply = Hello | Answer | Refusal;
