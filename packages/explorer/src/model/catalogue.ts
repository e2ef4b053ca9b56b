/** The catalogue of what can be chosen on the page. */
import { CONFIGURATIONS, FAMILIES, familiesOn, fewestNodes, repertoire } from "@kreplica/check";
import { INVARIANTS, POLICIES, policyOf } from "@kreplica/kernel";
import { BUGS } from "@kreplica/museum";
import { DEFECTS } from "@kreplica/series-as-posted";
import { type Catalogue, type OperationChoice, plainOperation } from "./choices.js";
import { LESSONS, SERIES_ROOM, wordsOf } from "./lessons.js";

/** A policy whose copies come while one looks on, for a number that is easily typed. */
const ON_DEMAND = "on-demand:1000000";

/** The catalogue. */
export const catalogue = (): Catalogue => ({
  lessons: LESSONS.map((lesson) => ({ ...lesson, ...wordsOf(lesson) })),
  policies: [...Object.values(POLICIES), policyOf(ON_DEMAND)].map(({ name, summary }) => ({ name, summary })),
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
  operations: familiesOn(policyOf(ON_DEMAND)).flatMap((family) =>
    Object.entries(family.kinds).map(([op, { fields }]) => ({
      family: family.name,
      op,
      fields,
      example: exampleOf(op, fields),
      ...(FAMILIES.includes(family) ? {} : { policy: ON_DEMAND.split(":")[0]! }),
    })),
  ),
  configurations: Object.entries(CONFIGURATIONS).map(([name, { fewest }]) => ({ name, fewest })),
  rules: INVARIANTS.map(({ id, sentence }) => ({ id, sentence })),
});

const exampleOf = (op: string, fields: OperationChoice["fields"]): string =>
  repertoire.describe(plainOperation(op, fields));
