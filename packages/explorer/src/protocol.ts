/** What page and worker say to each other: plain values. */
import type { FirstBoot } from "./first.js";
import type { Place } from "./hash.js";
import type { Failure } from "./model/session.js";
import type { InputFault } from "@kreplica/inputs";
import type { OpenedInput } from "./model/files.js";
import type { PlayedView, StoryStep, View } from "./model/view.js";

/** From the page, before any question: the first kernel is to boot, which is known to look like this. */
export interface Preparation {
  readonly kind: "preparation";
  readonly boot: FirstBoot;
}

/** From the page: what is to be seen. The answer to an older question is not waited for. */
export interface Question {
  readonly kind: "question";
  readonly number: number;
  readonly place: Place;
  /** Files and folders that are opened first; the answer then says where they lead. */
  readonly files?: readonly OpenedInput[];
}

/** Where files led. */
export interface Opened {
  readonly kind: "opened";
  readonly number: number;
  readonly place: Place;
}

/** From the worker, first of all. */
export interface Hello {
  readonly kind: "hello";
}

/** What is seen. */
export interface Answer {
  readonly kind: "answer";
  readonly number: number;
  readonly view: View;
  readonly steps: readonly StoryStep[];
  readonly failure?: Failure;
  /** The recording that the place names, at its reference. */
  readonly played?: PlayedView;
  /** Why the recording is not seen. */
  readonly unplayed?: Fault;
  /** Milliseconds it took. */
  readonly took: number;
}

/** Why nothing can be seen. */
export interface Refusal {
  readonly kind: "refusal";
  readonly number: number;
  readonly fault: Fault;
}

/** What is wrong with an input, in the words that every reader has for it. */
export type Fault = Partial<InputFault> & Pick<InputFault, "reason">;

export type Reply = Hello | Answer | Opened | Refusal;
