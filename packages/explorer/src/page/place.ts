/** Places that the page goes to by itself: its first, and the beginning of a lesson. */
import { hashOf, type Place } from "../hash.js";
import type { Catalogue } from "../model/choices.js";

/** Steps of the boot: where a story without operations begins to be of interest. */
export const AFTER_BOOT = 19;
/** Beyond the last step of any story: what is seen is the last there is, of whichever story is told by then. */
export const BEHIND_ALL = 100_000;

export const FIRST: Place = {
  nodes: 2,
  levels: 4,
  pti: false,
  policy: "per-node",
  laid: [],
  operations: [],
  moment: { step: AFTER_BOOT, store: 0 },
};

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
