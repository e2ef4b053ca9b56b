/** What the page asks its worker, and what it hears: answers to the newest question alone. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type First, firstStep, isFirstKernel } from "../first.js";
import { hashOf, type Place } from "../hash.js";
import type { Catalogue } from "../model/choices.js";
import type { OpenedInput } from "../model/files.js";
import type { Answer, Fault, Preparation, Question, Reply } from "../protocol.js";
import { type Dropped, isFolder } from "./dropped.js";

/** What the worker has said. */
export interface Asking {
  readonly catalogue: Catalogue | undefined;
  readonly answer: Answer | undefined;
  /** Why the newest question has no answer. */
  readonly fault: Fault | undefined;
  readonly complain: (fault: Fault) => void;
  /** Whether the worker is at work. */
  readonly busy: boolean;
  /** Reads files and folders; the page goes where they lead. */
  readonly open: (files: readonly Dropped[]) => void;
}

/** What the worker is not asked about: it only says what of its answer is seen. */
const questionOf = ({ cpu: _cpu, whose: _whose, tables: _tables, folds: _folds, ...place }: Place): Place => place;

/** Starts a worker. @param files one that reads them, too @returns one that may have said hello already */
export type StartWorker = (files: boolean) => Worker & { readonly hears?: boolean };

/** The worker that is asked now. */
interface At {
  readonly worker: Worker;
  readonly files: boolean;
  /** It said hello. What is sent before, while its script waits for something, nobody hears. */
  hears: boolean;
  /** What it is told first of all. */
  preparation?: Preparation;
  /** The newest question it has not been asked. */
  waiting?: Question;
}

/** Whether a place is about something that only a worker with readers of files can tell. */
const hasFiles = ({ machine, kernel, recording }: Place): boolean =>
  machine !== undefined || kernel !== undefined || recording !== undefined;

/**
 * @param known comes when it has been fetched
 * @param asking whether the place is one to ask about yet
 * @param go to where an answer leads
 */
export function useAsking(
  start: StartWorker,
  known: Promise<First>,
  place: Place,
  asking: boolean,
  go: (next: (now: Place) => Place) => void,
): Asking {
  const [first, setFirst] = useState<First | undefined>(undefined);
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  const [fault, setFault] = useState<Fault | undefined>(undefined);
  const [busy, setBusy] = useState(true);
  const question = useMemo(() => questionOf(place), [place]);
  const named = useMemo(() => hashOf(question), [question]);
  const asked = useRef(0);
  const about = useRef("");
  const latest = useRef(place);
  latest.current = place;
  const wanted = useRef(asking);
  wanted.current = asking;
  const at = useRef<At | undefined>(undefined);

  const hear = useCallback(
    ({ data }: MessageEvent<Reply>): void => {
      if (data.kind === "hello") {
        const here = at.current!;
        here.hears = true;
        if (here.preparation) here.worker.postMessage(here.preparation);
        if (here.waiting) here.worker.postMessage(here.waiting);
      } else if (data.number !== asked.current) return;
      else if (data.kind === "opened") {
        // Of a place that is as it was nothing would be asked again.
        about.current = "";
        go((now) => ({ ...data.place, ...uiOf(now) }));
      } else if (data.kind === "refusal") {
        setBusy(false);
        setFault(data.fault);
      } else {
        setBusy(false);
        setFault(undefined);
        setAnswer(data);
        // Behind the end is the end, behind a step's last store the step: the address names the step that is seen.
        const { moment: seen } = data.view;
        const then = about.current;
        go((now) =>
          // Somebody may have gone on meanwhile.
          hashOf(questionOf(now)) !== then || (now.moment.step === seen.step && now.moment.store === seen.store)
            ? now
            : { ...now, moment: seen },
        );
      }
    },
    [go],
  );

  const workerFor = useCallback(
    (files: boolean): At => {
      if (at.current && (at.current.files || !files)) return at.current;
      at.current?.worker.terminate();
      const worker = start(files);
      at.current = { worker, files, hears: worker.hears === true };
      at.current.worker.addEventListener("message", hear);
      at.current.worker.addEventListener("error", ({ message }) => {
        setBusy(false);
        setFault({ reason: `The worker ended: ${message}`, remedy: "load the page again" });
      });
      return at.current;
    },
    [start, hear],
  );

  const ask = useCallback(
    (question: Omit<Question, "kind" | "number">) => {
      setBusy(true);
      const here = workerFor(question.files !== undefined || hasFiles(question.place));
      const numbered: Question = { kind: "question", number: ++asked.current, ...question };
      if (here.hears) here.worker.postMessage(numbered);
      else here.waiting = numbered;
    },
    [workerFor],
  );

  useEffect(() => {
    workerFor(hasFiles(latest.current));
    known.then(
      (come) => {
        const here = workerFor(false);
        // A worker with readers of files is about other kernels.
        if (!here.files && wanted.current && isFirstKernel(questionOf(latest.current))) {
          const { steps, views } = come;
          const preparation: Preparation = { kind: "preparation", boot: { steps, views } };
          if (here.hears) here.worker.postMessage(preparation);
          else here.preparation = preparation;
        }
        setFirst(come);
      },
      (error: unknown) => {
        setBusy(false);
        setFault({
          reason: `What can be chosen cannot be fetched: ${(error as Error).message}`,
          remedy: "load the page again",
        });
      },
    );
  }, [workerFor, known]);

  useEffect(() => {
    if (!asking) return;
    if (named === about.current) return;
    const step = firstStep(question);
    // It is on its way, and the worker would take longer.
    if (step !== undefined && !first) return;
    about.current = named;
    if (step === undefined || !first) {
      ask({ place: question });
      return;
    }
    // What the worker still says is about something else.
    const number = ++asked.current;
    setBusy(false);
    setFault(undefined);
    setAnswer({ kind: "answer", number, view: first.views[step]!, steps: first.steps, took: 0 });
  }, [question, named, asking, ask, first]);

  const open = useCallback(
    (files: readonly Dropped[]) => {
      setBusy(true);
      readAll(files).then(
        (read) => {
          ask({ place: latest.current, files: read });
        },
        (error: unknown) => {
          setBusy(false);
          setFault(error as Fault);
        },
      );
    },
    [ask],
  );
  // A place that was just gone to is asked about once it is drawn: until then what is known is of the one before.
  const unasked = asking && fault === undefined && named !== about.current;
  return { catalogue: first?.catalogue, answer, fault, complain: setFault, busy: busy || unasked, open };
}

const uiOf = ({ cpu, folds }: Place): Partial<Place> => ({
  ...(cpu === undefined ? {} : { cpu }),
  ...(folds === undefined ? {} : { folds }),
});

/** Rejects with a {@link Fault}. */
const readAll = (files: readonly Dropped[]): Promise<OpenedInput[]> =>
  Promise.all(
    files.map(async (file) => {
      try {
        if (isFolder(file)) {
          const read = [...file.entries].map(async ([path, each]) => [path, each && (await bytesIn(each))] as const);
          return { name: file.name, entries: new Map(await Promise.all(read)) };
        }
        const bytes = await bytesIn(file);
        return { name: file.name, bytes, digest: await digestOf(bytes) };
      } catch (error) {
        throw {
          file: file.name,
          reason: `cannot be read (${(error as Error).name}): it was moved, or is too large`,
          remedy: "copy it to another place first",
        } satisfies Fault;
      }
    }),
  );

const bytesIn = async (file: File): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await file.arrayBuffer());

async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
