/** The worker: kernels run here, so that the page never waits. */
import { CONFIGURATIONS, type Operation, repertoire } from "@kreplica/check";
import { findPolicy } from "@kreplica/kernel";
import type { Place } from "../hash.js";
import { catalogue } from "../model/catalogue.js";
import { Session } from "../model/session.js";
import { faultOf, type Story, wrongWith } from "../model/setup.js";
import type { Question, Reply } from "../protocol.js";

const tell = (reply: Reply): void => {
  postMessage(reply);
};

let session: Session | undefined;
let told = "";

/** The story a place is about. @throws Error with a sentence for what is none */
function storyOf({ moment: _moment, page: _page, ...place }: Place): Story {
  const found = findPolicy(place.policy);
  if ("reason" in found) throw new Error(`${found.reason}: ${found.remedy}`);
  for (const id of place.laid) if (!faultOf(id)) throw new Error(`There is no defect and no bug ${id}.`);
  if (place.configuration !== undefined && !(place.configuration in CONFIGURATIONS))
    throw new Error(`There is no configuration ${place.configuration}.`);
  place.operations.forEach((operation, at) => {
    const [fault] = repertoire.faults(operation);
    if (fault) throw new Error(`Operation ${at + 1}, ${fault.path.join(".")}: ${fault.reason}; ${fault.remedy}.`);
  });
  const story = { ...place, operations: place.operations as readonly Operation[] } as Story;
  const wrong = wrongWith(story);
  if (wrong !== undefined) throw new Error(`This kernel cannot be: ${wrong}.`);
  return story;
}

addEventListener("message", ({ data }: MessageEvent<Question>) => {
  const { number, place } = data;
  const began = performance.now();
  try {
    const story = storyOf(place);
    const now = JSON.stringify(story);
    if (!session || now !== told) session = session?.with(story) ?? new Session(story);
    told = now;
    const view = session.look(place.moment, place.page === undefined ? undefined : BigInt(place.page));
    tell({
      kind: "answer",
      number,
      view,
      steps: session.steps,
      ...(session.failure ? { failure: session.failure } : {}),
      took: performance.now() - began,
    });
  } catch (error) {
    session = undefined;
    tell({ kind: "refusal", number, reason: error instanceof Error ? error.message : String(error) });
  }
});

tell({ kind: "hello", catalogue: catalogue() });
