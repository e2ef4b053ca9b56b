/** Lessons to choose from, room by room, and the one that is told now. */
import type { VNode } from "preact";
import type { Catalogue } from "../model/choices.js";
import { Panel, roomsOf } from "./shown.jsx";

/** @param tellWith tells the same story where another policy says who holds copies */
export function Lessons({
  catalogue,
  current,
  policy,
  choose,
  tellWith,
}: {
  catalogue: Catalogue;
  current: Catalogue["lessons"][number] | undefined;
  policy: string;
  choose: (lesson: Catalogue["lessons"][number] | undefined) => void;
  tellWith: (policy: string) => void;
}): VNode {
  return (
    <Panel
      name="lessons"
      title="Lessons"
      note="Each defect of the series as posted, and bugs that Linux had, by a short way to see it. Step until a rule breaks."
    >
      <select
        aria-label="Lesson"
        value={current?.id ?? ""}
        onChange={({ currentTarget }) => {
          choose(catalogue.lessons.find(({ id }) => id === currentTarget.value));
        }}
      >
        <option value="">none: the corrected series, free to explore</option>
        {roomsOf(catalogue.lessons).map(([room, lessons]) => (
          <optgroup key={room} label={room}>
            {lessons.map(({ id, title, sentence }) => (
              <option key={id} value={id}>
                {title}: {sentence}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      {current ? (
        <div class="lesson">
          <h3>{current.title}</h3>
          <p>{current.sentence}.</p>
          <p class="note">{current.about}</p>
          <p class="note">It ends where this rule breaks: {current.rule}.</p>
          {current.copies === undefined ? null : (
            <>
              <p class="note copies">{current.copies}</p>
              <div class="quick" role="group" aria-label="Who holds copies in this lesson">
                {["single-copy", "per-node"].map((each) => (
                  <button
                    key={each}
                    type="button"
                    class="tab"
                    aria-pressed={each === policy}
                    onClick={() => {
                      tellWith(each);
                    }}
                  >
                    {each === "per-node" ? "with a copy on each node" : "with a single copy"}
                  </button>
                ))}
              </div>
            </>
          )}
        </div>
      ) : null}
    </Panel>
  );
}
