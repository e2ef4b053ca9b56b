/** Files and folders of one's own: dropped anywhere onto the page or opened by a button; what is open, and what is wrong. */
import { useState } from "preact/hooks";
import type { ComponentChildren, VNode } from "preact";
import { nameOfKey, type Place } from "../hash.js";
import type { Fault } from "../protocol.js";
import { type Dropped, droppedIn } from "./dropped.js";

/** All that is inside takes files and folders. */
export function DropArea({
  open,
  complain,
  children,
}: {
  open: (files: readonly Dropped[]) => void;
  complain: (fault: Fault) => void;
  children: ComponentChildren;
}): VNode {
  const [dragged, setDragged] = useState(false);
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
        if (!event.dataTransfer) return;
        droppedIn(event.dataTransfer).then((all) => {
          if (all.length > 0) open(all);
        }, complain);
      }}
    >
      {children}
    </div>
  );
}

/** The same by a button. */
export const FileButton = ({ open }: { open: (files: readonly File[]) => void }): VNode => (
  <label class="file" title="A vmlinuz, a machine in any form kreplica reads, a recording, a saved counterexample">
    open files of your own, or drop them
    <input
      type="file"
      multiple
      onChange={({ currentTarget }) => {
        const files = [...(currentTarget.files ?? [])];
        // The same file again is a change, too.
        currentTarget.value = "";
        if (files.length > 0) open(files);
      }}
    />
  </label>
);

/** What of somebody's own is seen now, each to be put away. */
export function Opened({ place, change }: { place: Place; change: (place: Place) => void }): VNode | null {
  const { machine, kernel, recording } = place;
  const without = (what: "machine" | "kernel" | "recording"): Place => {
    const { [what]: _, ...rest } = place;
    const { reference: _reference, on: _on, ...other } = rest;
    return what === "recording" ? (other as Place) : (rest as Place);
  };
  const shown = (
    [
      ["machine", machine, "machine"],
      ["kernel", kernel, "kernel"],
      ["recording", recording, "recording"],
    ] as const
  ).filter(([, key]) => key !== undefined);
  if (shown.length === 0) return null;
  return (
    <ul class="opened" aria-label="Files of your own">
      {shown.map(([what, key, word]) => (
        <li key={what}>
          {word} <b>{nameOfKey(key!)}</b>
          <button
            type="button"
            aria-label={`put the ${word} ${nameOfKey(key!)} away`}
            onClick={() => {
              change(without(what));
            }}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Where something is wrong, what, and what to do: in that order. */
export function Trouble({ fault }: { fault: Fault }): VNode {
  const { others = [] } = fault;
  return (
    <div class="trouble" role="alert">
      {[fault, ...others].slice(0, 8).map((each, at) => (
        <p key={at}>
          {each.file === undefined ? null : (
            <>
              <b>{each.file}</b>
              {each.line === undefined ? "" : `, line ${each.line}`}
              {each.column === undefined ? "" : `, letter ${each.column}`}
              {each.offset === undefined ? "" : `, at byte ${each.offset}${each.unpacked ? " of what it unpacks to" : ""}`}
              {each.field === undefined ? null : (
                <>
                  , <code>{each.field}</code>
                </>
              )}
              :{" "}
            </>
          )}
          {sentence(each.reason)} {each.remedy === undefined ? null : <span>{sentence(each.remedy)}</span>}
        </p>
      ))}
      {others.length > 7 ? <p>and {others.length - 7} more</p> : null}
    </div>
  );
}

const sentence = (clause: string): string =>
  clause.charAt(0).toUpperCase() + clause.slice(1) + (/[.!?]$/.test(clause) ? "" : ".");
