/**
 * Records lessons: for each defect the shortest way to see it that the checker finds, on the plainest kernel it shows
 * on. Run by `scripts/lessons.mjs`; what it writes is proven by a test, lesson by lesson.
 */
import { canShow, configuredKinds, familiesOf, type Finding, kernelOf, kindsOf, survey, told } from "@kreplica/check";
import type { Kernel } from "@kreplica/kernel";
import { defectOf, DEFECTS } from "@kreplica/series-as-posted";
import type { RecordedLesson } from "./lessons.js";
import { BOOTED, Session } from "./session.js";

/** Kinds of kernel from the plainest on. */
const KINDS = (() => {
  const plain = [2, 3].flatMap((nodes) => kindsOf({ nodes }));
  const [two, ...others] = plain;
  return [
    two!,
    ...others,
    ...configuredKinds([two!]),
    ...configuredKinds(kindsOf({ nodes: 3, levels: 4, pti: false })),
  ];
})();

/** @param tell called with each lesson that is found, or with the id of a defect that was not seen */
export function record(tell: (id: string, lesson: RecordedLesson | undefined) => void): RecordedLesson[] {
  return DEFECTS.flatMap(({ id }) => {
    const kind = KINDS.find((each) => canShow(id, each));
    const defect = defectOf(id)!;
    if (!kind) {
      tell(id, undefined);
      return [];
    }
    const kernel = (laid: readonly string[]): Kernel => {
      const sound = kernelOf("per-node", kind);
      return laid.length === 0 ? sound : sound.with({ defects: [defect] });
    };
    const work = survey<string>({
      kinds: 1,
      kernel: (_, laid) => kernel(laid),
      defects: [id],
      laidOn: (_, ids) => ids,
      runs: 200,
      steps: 60,
      seed: 1,
      comparison: "off",
      families: familiesOf(id),
    });
    for (;;) {
      const { done, value } = work.next();
      if (!done) continue;
      const found = value.findings.find((each: Finding<string>) => each.names.includes(id));
      const lesson: RecordedLesson | undefined = found && {
        id,
        nodes: kind.nodes,
        levels: kind.levels,
        pti: kind.pti,
        ...(kind.kasan ? { kasan: true } : {}),
        ...(kind.configuration ? { configuration: kind.configuration } : {}),
        policy: "per-node",
        laid: [id],
        operations: told(kernel([id]), found.operations),
        invariant: found.invariant,
        detail: found.detail,
      };
      tell(id, lesson);
      return lesson ? [asShown(lesson)] : [];
    }
  });
}

/**
 * With the words that the page will show: on its kernel, which has other families' subsystems, frames are other ones.
 */
function asShown(lesson: RecordedLesson): RecordedLesson {
  const { broken } = new Session(lesson).look({ step: BOOTED + lesson.operations.length, store: 0 });
  return { ...lesson, detail: broken.find(({ id }) => id === lesson.invariant)?.detail ?? lesson.detail };
}
