/** What a worker does: kernels run there, so that the page never waits. */
import { CONFIGURATIONS, type Operation, repertoire } from "@kreplica/check";
import { faultOf as faultOfInput, InputError } from "@kreplica/inputs";
import { findPolicy } from "@kreplica/kernel";
import { nameOfKey, type Place } from "../hash.js";
import { hasMachine, machineOf, missing, ownKernel, ownRecording } from "../model/own.js";
import type { OpenedInput } from "../model/files.js";
import type { Playback, Playing } from "../model/playback.js";
import { Session } from "../model/session.js";
import { addressOfPage, faultOf, FIRST_STORY, type Story, wrongWith } from "../model/setup.js";
import type { FirstBoot } from "../first.js";
import type { Answer, Fault, Preparation, Question, Reply } from "../protocol.js";

/** What reads files of one's own: in a worker of its own, which is fetched when the first is opened. */
export interface Readers {
  placeOfFiles(files: readonly OpenedInput[], now: Place): Promise<Place>;
  readMachineText(text: string): Promise<void>;
  machineForRecordings(): Playing["spec"];
  play(...of: Parameters<(typeof Playback)["of"]>): Promise<Playback>;
}

const tell = (reply: Reply): void => {
  postMessage(reply);
};

let session: Session | undefined;
let told = "";
let first: FirstBoot | undefined;
let playback: Playback | undefined;
let played = "";
let readers: Readers | undefined;

/** The page gives what is about files to a worker that has them. */
function mustRead(): Readers {
  if (!readers) throw new Error("This worker reads no files.");
  return readers;
}

/** The story a place is about. @throws Error with a sentence for what is none */
function storyOf(place: Place): Story {
  const { nodes, levels, pti, kasan, configuration, machine, kernel, policy, laid, operations } = place;
  const found = findPolicy(policy);
  if ("reason" in found) throw new Error(`${found.reason}: ${found.remedy}`);
  for (const id of laid) if (!faultOf(id)) throw new Error(`There is no defect and no bug ${id}.`);
  if (configuration !== undefined && !(configuration in CONFIGURATIONS))
    throw new Error(`There is no configuration ${configuration}.`);
  operations.forEach((operation, at) => {
    const [fault] = repertoire.faults(operation);
    if (fault) throw new Error(`Operation ${at + 1}, ${fault.path.join(".")}: ${fault.reason}; ${fault.remedy}.`);
  });
  if (kernel !== undefined) ownKernel(kernel);
  const story = {
    nodes: machine === undefined ? nodes : machineOf(machine).nodes.length,
    levels,
    pti,
    ...(kasan === undefined ? {} : { kasan }),
    ...(configuration === undefined ? {} : { configuration }),
    ...(machine === undefined ? {} : { machine }),
    ...(kernel === undefined ? {} : { kernel }),
    policy,
    laid,
    operations: operations as readonly Operation[],
  } as Story;
  const wrong = wrongWith(story);
  if (wrong !== undefined) throw new Error(`This kernel cannot be: ${wrong}.`);
  return story;
}

const wordsOf = (error: unknown): Fault =>
  error instanceof InputError
    ? faultOfInput(error)
    : { reason: error instanceof Error ? error.message : String(error) };

/** The recording of a place, at its reference. */
async function playedAt(place: Place): Promise<Pick<Answer, "played" | "unplayed">> {
  const { recording, reference = 0, machine, kernel, policy, levels, pti } = place;
  if (recording === undefined) return {};
  try {
    const own = ownRecording(recording);
    if (!own) return missing("recording", nameOfKey(recording));
    const spec = machine === undefined ? mustRead().machineForRecordings() : machineOf(machine);
    const on = spec.cpus.find(({ node }) => node === (place.on ?? spec.nodes[1]?.id))?.node ?? spec.cpus[0]!.node;
    const now = JSON.stringify([recording, kernel, spec.name, machine, policy, levels, pti, on]);
    if (!playback || played !== now)
      playback = await mustRead().play(own, kernel === undefined ? undefined : ownKernel(kernel), {
        spec,
        policy,
        levels,
        pti,
        on,
      });
    played = now;
    return { played: playback.view(reference) };
  } catch (error) {
    playback = undefined;
    return { unplayed: wordsOf(error) };
  }
}

/** The session of a story: as much of it as was told before is kept. */
function sessionOf(story: Story): Session {
  const now = JSON.stringify(story);
  if (!session || now !== told) session = session?.with(story) ?? new Session(story);
  told = now;
  if (first) session.know(FIRST_STORY, first);
  return session;
}

function prepare({ boot }: Preparation): void {
  first = boot;
  sessionOf(FIRST_STORY).comeUp();
}

async function answer({ number, place, files }: Question): Promise<void> {
  const began = performance.now();
  try {
    if (files) {
      tell({ kind: "opened", number, place: await mustRead().placeOfFiles(files, place) });
      return;
    }
    if (place.machine !== undefined && !hasMachine(place.machine)) await mustRead().readMachineText(place.machine);
    const story = storyOf(place);
    const page = place.page === undefined ? undefined : addressOfPage(story, place.page);
    const telling = sessionOf(story);
    const view = telling.look(place.moment, page);
    tell({
      kind: "answer",
      number,
      view,
      steps: telling.steps,
      ...(telling.failure ? { failure: telling.failure } : {}),
      ...(await playedAt(place)),
      took: performance.now() - began,
    });
  } catch (error) {
    // What files are wrong about is not the story's.
    if (!files) session = undefined;
    tell({ kind: "refusal", number, fault: wordsOf(error) });
  }
}

/** Answers the page from now on. @param given what reads files, where the worker has it */
export function serve(given?: Readers): void {
  readers = given;
  // One after the other: a question that waits for a file to be read is not overtaken.
  let before = Promise.resolve();
  addEventListener("message", ({ data }: MessageEvent<Question | Preparation>) => {
    before = before.then(() => {
      if (data.kind === "question") return answer(data);
      prepare(data);
    });
  });
  tell({ kind: "hello" });
}
