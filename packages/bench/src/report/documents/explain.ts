/** What `kreplica explain --json` prints. */
import type { Cause, Explained, Explanation, Sensitivity } from "@kreplica/replay";

/** Reported gains, and what would make modelled ones equal to them; nothing is fitted. */
export interface ExplainDocument {
  readonly schema: "kreplica.explain/1";
  /** Name of the machine. */
  readonly machine: string;
  readonly policy: string;
  /** Who reported the figures; null where nobody's are looked at. */
  readonly source: string | null;
  /** Cold first, each in the order of the tests. */
  readonly figures: readonly ExplainedFigure[];
  /** Parameters, the one that moves a mean gain most first. */
  readonly sensitivity: readonly SensitiveTo[];
  /** To be quoted; each counts figures that are above. */
  readonly sentences: readonly string[];
  /** Layouts drawn beside the one as linked. */
  readonly layouts: number;
  /** Tests of which a part was run, from which the rest is told. */
  readonly inPart: readonly string[];
}

/** One reported gain. */
export interface ExplainedFigure extends Explained {
  readonly causes: readonly ExplainingCause[];
}

/** One cause, alone. */
export type ExplainingCause = Cause;

/** What a parameter's range does to the mean gain over the tests, percent. */
export type SensitiveTo = Sensitivity;

export const explainDocument = (explanation: Explanation): ExplainDocument => {
  const { machine, policy, source, figures, sensitivity, sentences, layouts, inPart } = explanation;
  return {
    schema: "kreplica.explain/1",
    machine,
    policy,
    source: source ?? null,
    figures,
    sensitivity,
    sentences,
    layouts,
    inPart,
  };
};
