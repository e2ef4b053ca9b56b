/** The story beside the picture: the steps of the boot, the operations, the end; and the buttons that go along it. */
import { countText } from "@kreplica/inputs";
import { useEffect, useRef } from "preact/hooks";
import type { VNode } from "preact";
import type { Moment, StoryStep } from "../model/view.js";
import { Panel } from "./shown.jsx";

/** @param go to a moment @param remove an operation, by its place among the operations */
export function Story({
  steps,
  moment,
  failedAt,
  go,
  remove,
}: {
  steps: readonly StoryStep[];
  moment: Moment;
  failedAt: number | undefined;
  go: (moment: Moment) => void;
  remove: (operation: number) => void;
}): VNode {
  const here = useRef<HTMLLIElement>(null);
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const [item, box] = [here.current, list.current];
    if (
      item &&
      box &&
      (item.offsetTop < box.scrollTop || item.offsetTop + item.offsetHeight > box.scrollTop + box.clientHeight)
    )
      box.scrollTop = item.offsetTop - box.clientHeight / 2;
  });
  const boot = steps.filter(({ kind }) => kind === "boot").length;
  return (
    <Panel name="story" title="The story">
      <ol ref={list} tabIndex={0} aria-label="Steps">
        {steps.map((step, index) => {
          const done = index < moment.step;
          const last = index === moment.step - 1;
          const name = step.kind === "operation" ? step.words : step.name;
          return (
            <li
              key={index}
              ref={last ? here : null}
              class={`${done ? "done" : ""} ${last ? "last" : ""} ${failedAt === index + 1 ? "failed" : ""}`}
            >
              <button
                type="button"
                aria-current={last ? "step" : undefined}
                disabled={failedAt !== undefined && index >= failedAt}
                onClick={() => {
                  go({ step: index + 1, store: 0 });
                }}
              >
                <span class="number">{index + 1}</span>
                <span>
                  {name}
                  {step.fromSeries ? <em> the series' own</em> : null}
                  {step.kind === "boot" && last && step.words ? <small>{step.words}</small> : null}
                </span>
              </button>
              {step.kind === "operation" ? (
                <button
                  type="button"
                  class="remove"
                  aria-label={`remove: ${step.words}`}
                  onClick={() => {
                    remove(index - boot);
                  }}
                >
                  ×
                </button>
              ) : null}
            </li>
          );
        })}
      </ol>
    </Panel>
  );
}

/** Forward, back, by step and by single store. */
export function Transport({
  moment,
  stores,
  length,
  most,
  go,
  end,
  took,
}: {
  moment: Moment;
  /** Of the step under way or just done. */
  stores: number;
  length: number;
  /** The last step there is to go to. */
  most: number;
  go: (moment: Moment) => void;
  /** Goes to the last step there is. */
  end: () => void;
  /** Milliseconds; undefined while the worker is at work. */
  took: number | undefined;
}): VNode {
  const { step, store } = moment;
  return (
    <div class="transport" role="toolbar" aria-label="Steps forward and back">
      <button
        type="button"
        title="to the beginning (Home)"
        onClick={() => {
          go({ step: 0, store: 0 });
        }}
        disabled={step === 0 && store === 0}
      >
        |◀<span class="hidden"> to the beginning</span>
      </button>
      <button
        type="button"
        title="a step back (←)"
        onClick={() => {
          go(store > 0 ? { step, store: 0 } : { step: step - 1, store: 0 });
        }}
        disabled={step === 0 && store === 0}
      >
        ◀ step
      </button>
      <button
        type="button"
        class="main"
        title="a step forward (→)"
        onClick={() => {
          go({ step: step + 1, store: 0 });
        }}
        disabled={step >= most}
      >
        step ▶
      </button>
      <button
        type="button"
        title="one store back (Shift ←)"
        onClick={() => {
          go(store > 0 ? { step, store: store - 1 } : { step: step - 1, store: stores - 1 });
        }}
        disabled={store === 0 && (step === 0 || stores === 0)}
      >
        ◂ store
      </button>
      <button
        type="button"
        title="one store forward (Shift →)"
        onClick={() => {
          go({ step, store: store + 1 });
        }}
        disabled={step >= most}
      >
        store ▸
      </button>
      <button
        type="button"
        title="to the end (End)"
        onClick={() => {
          end();
        }}
        disabled={step >= most}
      >
        ▶|<span class="hidden"> to the end</span>
      </button>
      <span class="where" role="status">
        step {step} of {length}
        {store > 0 ? `, then store ${store} of ${stores}` : stores > 0 ? `, ${countText(stores, "store")}` : ""}
        <small>{took === undefined ? " at work…" : ` ${Math.round(took)} ms`}</small>
      </span>
    </div>
  );
}
