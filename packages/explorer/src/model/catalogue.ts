/** The catalogue of what can be chosen on the page. */
import { CONFIGURATIONS, FAMILIES, fewestNodes, repertoire } from "@kreplica/check";
import { INVARIANTS, POLICIES } from "@kreplica/kernel";
import { DEFECTS } from "@kreplica/series-as-posted";
import { type Catalogue, type OperationChoice, plainOperation } from "./choices.js";
import { type Lesson, LESSONS, wordsOf } from "./lessons.js";

/** The catalogue. @param more lessons behind those of the series */
export const catalogue = (more: readonly Lesson[] = []): Catalogue => ({
  lessons: [...LESSONS, ...more].map((lesson) => ({ ...lesson, ...wordsOf(lesson) })),
  policies: Object.values(POLICIES).map(({ name, summary }) => ({ name, summary })),
  defects: DEFECTS.map(({ id, sentence, configuration }) => ({
    id,
    sentence,
    ...(configuration === undefined ? {} : { configuration }),
    fewestNodes: configuration === undefined ? 1 : fewestNodes(configuration),
  })),
  operations: FAMILIES.flatMap(({ name, kinds }) =>
    Object.entries(kinds).map(([op, { fields }]) => ({ family: name, op, fields, example: exampleOf(op, fields) })),
  ),
  configurations: Object.entries(CONFIGURATIONS).map(([name, { fewest }]) => ({ name, fewest })),
  rules: INVARIANTS.map(({ id, sentence }) => ({ id, sentence })),
});

const exampleOf = (op: string, fields: OperationChoice["fields"]): string =>
  repertoire.describe(plainOperation(op, fields));
