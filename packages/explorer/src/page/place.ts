/** Where a lesson begins, and which places tell the same. */
import { AFTER_BOOT, FIRST, hashOf, type Place } from "../hash.js";
import type { Catalogue } from "../model/choices.js";

/** Where a lesson begins: at the end of the boot, or, where the boot alone shows it, with it. */
export const placeOfLesson = (lesson: Catalogue["lessons"][number]): Place => ({
  nodes: lesson.nodes,
  levels: lesson.levels,
  pti: lesson.pti,
  ...(lesson.kasan ? { kasan: true } : {}),
  ...(lesson.configuration === undefined ? {} : { configuration: lesson.configuration }),
  policy: lesson.policy,
  laid: lesson.laid,
  operations: lesson.operations,
  moment: { step: lesson.operations.length === 0 ? 0 : AFTER_BOOT, store: 0 },
});

/** Whether two places tell the same, whoever holds copies. */
export const sameStory = (a: Place, b: Place): boolean => storyText(a) === storyText(b);

const storyText = (place: Place): string => hashOf({ ...place, policy: "", moment: FIRST.moment, page: "" });
