/** The catalogue of what can be chosen on the page. */
import { CONFIGURATIONS, FAMILIES, fewestNodes, repertoire } from "@kreplica/check";
import { INVARIANTS, POLICIES } from "@kreplica/kernel";
import { BUGS } from "@kreplica/museum";
import { DEFECTS } from "@kreplica/series-as-posted";
import { type Catalogue, type OperationChoice, plainOperation } from "./choices.js";
import { LESSONS, SERIES_ROOM, wordsOf } from "./lessons.js";

/** The catalogue. */
export const catalogue = (): Catalogue => ({
  lessons: LESSONS.map((lesson) => ({ ...lesson, ...wordsOf(lesson) })),
  policies: Object.values(POLICIES).map(({ name, summary }) => ({ name, summary })),
  faults: [
    ...DEFECTS.map(({ id, sentence, configuration }) => ({
      id,
      room: SERIES_ROOM,
      sentence,
      ...(configuration === undefined ? {} : { configuration }),
      fewestNodes: configuration === undefined ? 1 : fewestNodes(configuration),
    })),
    ...BUGS.map(({ id, room, sentence, kernel: { nodes = 1, levels, pti, configuration } }) => ({
      id,
      room,
      sentence,
      ...(configuration === undefined ? {} : { configuration }),
      ...(levels === undefined ? {} : { levels }),
      ...(pti === undefined ? {} : { pti }),
      fewestNodes: nodes,
    })),
  ],
  operations: FAMILIES.flatMap(({ name, kinds }) =>
    Object.entries(kinds).map(([op, { fields }]) => ({ family: name, op, fields, example: exampleOf(op, fields) })),
  ),
  configurations: Object.entries(CONFIGURATIONS).map(([name, { fewest }]) => ({ name, fewest })),
  rules: INVARIANTS.map(({ id, sentence }) => ({ id, sentence })),
});

const exampleOf = (op: string, fields: OperationChoice["fields"]): string =>
  repertoire.describe(plainOperation(op, fields));
