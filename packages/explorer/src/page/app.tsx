/** The page: what is seen now, and what may be done about it. The state is in the address. */
import { useCallback, useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { VNode } from "preact";
import type { First } from "../first.js";
import { AFTER_BOOT, BEHIND_ALL, FIRST, hashOf, lessonIn, type Place, placeOf } from "../hash.js";
import type { Moment, StoryStep, View } from "../model/view.js";
import { type StartWorker, useAsking } from "./asking.js";
import { KernelChoice, Operations } from "./controls.jsx";
import { DropArea, FileButton, Opened, Trouble } from "./files.jsx";
import { Folds } from "./shown.jsx";
import { Cached, Changes, Page, Rules } from "./inspect.jsx";
import { Lessons } from "./lessons.jsx";
import { MachinePicture } from "./machine.jsx";
import { Played } from "./played.jsx";
import { placeOfLesson, sameStory } from "./place.js";
import { Story, Transport } from "./story.jsx";
import { Tables } from "./tables.jsx";

/** Frames that a broken rule's words name: `frame 4660`, `root 4660`. */
const blamedBy = ({ broken }: View): ReadonlySet<number> =>
  new Set(
    broken.flatMap(({ detail }) =>
      Array.from(detail.matchAll(/\b(?:frame|root) (\d+)\b/g), ([, frame]) => Number(frame)),
    ),
  );

export function App({ start, known }: { start: StartWorker; known: Promise<First> }): VNode {
  const [place, setPlace] = useState<Place>(() => placeOf(location.hash, FIRST));
  const [wanted, setWanted] = useState(() => lessonIn(location.hash));
  const { catalogue, answer, fault, complain, busy, open } = useAsking(start, known, place, wanted === undefined, setPlace);

  useEffect(() => {
    const gone = (): void => {
      setWanted(lessonIn(location.hash));
      setPlace(placeOf(location.hash, FIRST));
    };
    addEventListener("hashchange", gone);
    return () => {
      removeEventListener("hashchange", gone);
    };
  }, []);

  // A lesson that is asked for by name is known once the catalogue is.
  useEffect(() => {
    if (!catalogue || wanted === undefined) return;
    const lesson = catalogue.lessons.find(({ id }) => id === wanted);
    if (!lesson) {
      complain({ reason: `There is no lesson ${wanted}: choose one from the list.` });
      return;
    }
    setPlace(placeOfLesson(lesson));
    setWanted(undefined);
  }, [catalogue, wanted, complain]);

  useEffect(() => {
    if (wanted !== undefined) return;
    const hash = `#${hashOf(place)}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }, [place, wanted]);

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
      <DropArea open={open} complain={complain}>
        <main class="waiting">
          <h1>kreplica explorer</h1>
          {fault === undefined || busy ? <p>The kernel is booting…</p> : <Trouble fault={fault} />}
          {fault === undefined ? null : (
            <p class="quick">
              <FileButton open={open} /> <a href="#">Begin with the plain kernel</a>
            </p>
          )}
        </main>
      </DropArea>
    );

  const { view } = answer;
  const { cpu = 0 } = place;
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
    <DropArea open={open} complain={complain}>
      <header>
        <h1>
          kreplica <span>explorer</span>
        </h1>
        <p>How page tables work, and how a kernel keeps a copy of itself on every NUMA node.</p>
        <Opened place={place} change={setPlace} />
        <FileButton open={open} />
      </header>
      {fault === undefined ? null : <Trouble fault={fault} />}
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
          took={busy ? undefined : answer.took}
        />
        <p class={view.broken.length > 0 ? "now broken" : "now"}>{now}</p>
      </nav>
      <Folds.Provider
        value={{
          open: place.folds ?? [],
          turn: (name, now) => {
            const others = (place.folds ?? []).filter((each) => each !== name);
            setPlace({ ...place, folds: now ? [...others, name] : others });
          },
        }}
      >
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
          <Operations catalogue={catalogue} nodes={place.nodes} policy={place.policy} add={add} />
          <KernelChoice place={place} catalogue={catalogue} change={change} />
        </div>
        <div class="middle">
          <Played
            played={answer.played}
            unplayed={answer.unplayed}
            go={(reference) => {
              setPlace({ ...place, reference });
            }}
            runOn={(on) => {
              setPlace({ ...place, on });
            }}
          />
          <Rules view={view} catalogue={catalogue} blamed={blamedBy(view)} />
          <MachinePicture
            view={view}
            cpu={cpu}
            choose={(chosen) => {
              setPlace({ ...place, cpu: chosen });
            }}
          />
          <Tables
            view={view}
            whose={place.whose}
            setWhose={(process) => {
              const { whose: _, ...rest } = place;
              setPlace(process === undefined ? rest : { ...rest, whose: process });
            }}
            turned={place.tables ?? []}
            turn={(path, now) => {
              const others = (place.tables ?? []).filter((each) => each.slice(1) !== path);
              setPlace({ ...place, tables: [...others, `${now ? "+" : "-"}${path}`] });
            }}
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
            asked={place.page}
            choose={(page) => {
              const { page: _, ...rest } = place;
              setPlace(page === undefined ? rest : { ...rest, page });
            }}
          />
          <Cached view={view} cpu={cpu} blamed={blamedBy(view)} />
        </div>
      </main>
      </Folds.Provider>
      <footer>
        <p>
          Everything runs in this page, in a worker; nothing you open leaves the browser. The address always names what
          you see: copy it to show somebody else the same step.
        </p>
      </footer>
    </DropArea>
  );
}
