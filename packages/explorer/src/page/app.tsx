/** The page: what is seen now, and what may be done about it. The state is in the address. */
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { VNode } from "preact";
import { hashOf, lessonIn, type Place, placeOf } from "../hash.js";
import type { Catalogue } from "../model/choices.js";
import type { Moment, StoryStep, View } from "../model/view.js";
import type { Answer, Question, Reply } from "../protocol.js";
import { KernelChoice, Operations } from "./controls.jsx";
import { placeOfFile } from "./dropped.js";
import { Cached, Changes, Page, Rules } from "./inspect.jsx";
import { Lessons } from "./lessons.jsx";
import { MachinePicture } from "./machine.jsx";
import { AFTER_BOOT, BEHIND_ALL, FIRST, placeOfLesson, sameStory } from "./place.js";
import { Story, Transport } from "./story.jsx";
import { Tables } from "./tables.jsx";

/** Frames that a broken rule's words name: `frame 4660`, `root 4660`. */
const blamedBy = ({ broken }: View): ReadonlySet<number> =>
  new Set(
    broken.flatMap(({ detail }) =>
      Array.from(detail.matchAll(/\b(?:frame|root) (\d+)\b/g), ([, frame]) => Number(frame)),
    ),
  );

export function App({ worker }: { worker: Worker }): VNode {
  const [place, setPlace] = useState<Place>(() => placeOf(location.hash, FIRST));
  const [catalogue, setCatalogue] = useState<Catalogue | undefined>(undefined);
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  const [cpu, setCpu] = useState(0);
  const [dragged, setDragged] = useState(false);
  const asked = useRef(0);
  const [wanted, setWanted] = useState(() => lessonIn(location.hash));
  const askedAbout = useRef<Place | undefined>(undefined);

  useEffect(() => {
    const hear = ({ data }: MessageEvent<Reply>): void => {
      if (data.kind === "hello") setCatalogue(data.catalogue);
      else if (data.number !== asked.current) return;
      else if (data.kind === "refusal") setTrouble(data.reason);
      else {
        setTrouble(undefined);
        setAnswer(data);
        // Behind the end is the end, behind a step's last store the step: the address names the step that is seen.
        const { moment: seen } = data.view;
        setPlace((now) =>
          // Somebody may have gone on meanwhile.
          now !== askedAbout.current || (now.moment.step === seen.step && now.moment.store === seen.store)
            ? now
            : { ...now, moment: seen },
        );
      }
    };
    worker.addEventListener("message", hear);
    const gone = (): void => {
      setWanted(lessonIn(location.hash));
      setPlace(placeOf(location.hash, FIRST));
    };
    addEventListener("hashchange", gone);
    return () => {
      worker.removeEventListener("message", hear);
      removeEventListener("hashchange", gone);
    };
  }, [worker]);

  // A lesson that is asked for by name is known once the catalogue is.
  useEffect(() => {
    if (!catalogue || wanted === undefined) return;
    const lesson = catalogue.lessons.find(({ id }) => id === wanted);
    if (!lesson) {
      setTrouble(`There is no lesson ${wanted}: choose one from the list.`);
      return;
    }
    setPlace(placeOfLesson(lesson));
    setWanted(undefined);
  }, [catalogue, wanted]);

  useEffect(() => {
    if (wanted !== undefined) return;
    const hash = `#${hashOf(place)}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    askedAbout.current = place;
    const question: Question = { number: ++asked.current, place };
    worker.postMessage(question);
  }, [place, wanted, worker]);

  const steps: readonly StoryStep[] = answer?.steps ?? [];
  const failedAt = answer?.failure?.step;
  const length = steps.length;
  const most = Math.min(length, failedAt ?? length);
  const go = useCallback((moment: Moment) => {
    setPlace((now) => ({ ...now, moment }));
  }, []);
  const moment = answer?.view.moment ?? place.moment;

  // Before the next key can come: a step later it would go on from the step before.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.target instanceof Element && event.target.matches("input, select, textarea")) return;
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const { step, store } = moment;
      const stores = answer?.view.stores ?? 0;
      if (event.key === "ArrowRight" && step < most)
        go(event.shiftKey ? { step, store: store + 1 } : { step: step + 1, store: 0 });
      else if (event.key === "ArrowLeft" && (step > 0 || store > 0))
        go(
          event.shiftKey
            ? store > 0
              ? { step, store: store - 1 }
              : { step: step - 1, store: Math.max(0, stores - 1) }
            : store > 0
              ? { step, store: 0 }
              : { step: step - 1, store: 0 },
        );
      else if (event.key === "Home") go({ step: 0, store: 0 });
      else if (event.key === "End") go({ step: BEHIND_ALL, store: 0 });
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => {
      removeEventListener("keydown", press);
    };
  }, [moment, most, answer, go]);

  if (!catalogue || !answer)
    return (
      <main class="waiting">
        <h1>kreplica explorer</h1>
        {trouble === undefined ? <p>The kernel is booting…</p> : <p role="alert">{trouble}</p>}
        {trouble === undefined ? null : <a href="#">Begin with the plain kernel</a>}
      </main>
    );

  const { view } = answer;
  const change = (values: Partial<Place>): void => {
    const { configuration: _, ...rest } = place;
    // What a defect needs of the machine goes with the defect.
    const kept = "laid" in values ? rest : place;
    setPlace({ ...kept, ...values, moment: { step: Math.min(moment.step, AFTER_BOOT), store: 0 } });
  };
  const add = (more: readonly { readonly op: string }[]): void => {
    const done = Math.max(0, Math.min(moment.step - AFTER_BOOT, place.operations.length));
    setPlace({
      ...place,
      operations: [...place.operations.slice(0, done), ...more, ...place.operations.slice(done)],
      moment: { step: AFTER_BOOT + done + more.length, store: 0 },
    });
  };
  const lesson = catalogue.lessons.find((each) => sameStory(placeOfLesson(each), place));
  const step = steps[moment.step - 1];
  const now =
    moment.store > 0
      ? `In the middle of: ${steps[moment.step]?.words || steps[moment.step]?.name}`
      : step === undefined
        ? "The machine is on, and nothing has been done."
        : step.kind === "boot"
          ? `${step.name}: ${step.words}`
          : step.words;

  return (
    <div
      class={dragged ? "app dragged" : "app"}
      onDragOver={(event) => {
        event.preventDefault();
        setDragged(true);
      }}
      onDragLeave={() => {
        setDragged(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setDragged(false);
        const [file] = event.dataTransfer?.files ?? [];
        if (file) void open(file);
      }}
    >
      <header>
        <h1>
          kreplica <span>explorer</span>
        </h1>
        <p>How page tables work, and how a kernel keeps a copy of itself on every NUMA node.</p>
        <label class="file">
          open a saved counterexample
          <input
            type="file"
            accept=".json,application/json"
            onChange={({ currentTarget }) => {
              const [file] = currentTarget.files ?? [];
              if (file) void open(file);
            }}
          />
        </label>
      </header>
      {trouble === undefined ? null : (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      <nav class="bar" aria-label="Where in the story">
        <Transport
          moment={moment}
          stores={view.stores}
          length={length}
          most={most}
          go={go}
          end={() => {
            go({ step: BEHIND_ALL, store: 0 });
          }}
          took={answer.took}
        />
        <p class={view.broken.length > 0 ? "now broken" : "now"}>{now}</p>
      </nav>
      <main>
        <div class="left">
          <Lessons
            catalogue={catalogue}
            current={lesson}
            policy={place.policy}
            choose={(chosen) => {
              setPlace(chosen ? placeOfLesson(chosen) : FIRST);
            }}
            tellWith={(policy) => {
              setPlace({ ...place, policy, moment: { step: BEHIND_ALL, store: 0 } });
            }}
          />
          <Story
            steps={steps}
            moment={moment}
            failedAt={failedAt}
            go={go}
            remove={(at) => {
              setPlace({
                ...place,
                operations: place.operations.filter((_, index) => index !== at),
                moment: { step: Math.min(moment.step, AFTER_BOOT + place.operations.length - 1), store: 0 },
              });
            }}
          />
          <Operations catalogue={catalogue} nodes={place.nodes} add={add} />
          <KernelChoice place={place} catalogue={catalogue} change={change} />
        </div>
        <div class="middle">
          <Rules view={view} catalogue={catalogue} blamed={blamedBy(view)} />
          <MachinePicture view={view} cpu={cpu} choose={setCpu} />
          <Tables
            view={view}
            blamed={blamedBy(view)}
            choose={(address) => {
              setPlace({ ...place, page: `0x${address.toString(16)}` });
            }}
          />
        </div>
        <div class="right">
          <Changes view={view} />
          <Page
            view={view}
            choose={(page) => {
              const { page: _, ...rest } = place;
              setPlace(page === undefined ? rest : { ...rest, page });
            }}
          />
          <Cached view={view} cpu={cpu} blamed={blamedBy(view)} />
        </div>
      </main>
      <footer>
        <p>
          Everything runs in this page, in a worker; nothing you open leaves the browser. The address always names what
          you see: copy it to show somebody else the same step.
        </p>
      </footer>
    </div>
  );

  async function open(file: File): Promise<void> {
    try {
      setPlace(placeOfFile(file.name, await file.text(), place));
    } catch (error) {
      setTrouble((error as Error).message);
    }
  }
}
