/** What the places of executed text are called: functions of the kernel, and what stands for one in brackets. */
import { NO_PLACE, OUTSIDE_PLACE, USER_PLACE } from "../replay/text-place.js";
import { STRETCH_PARTS, TimeLineRecorder } from "../replay/time-line.js";
import { CAUSES } from "./causes.js";
import type { TextFunction, TextSymbols } from "./text-symbols.js";

/** Text without a symbol: module text and what lies outside the image's 4 GiB. */
export const NO_SYMBOL = "[no symbol]";
export const USER = "[user]";
/** Charged to no text. */
export const NOWHERE = "[nowhere]";

/** What stands for a function where there is none. */
export const bracketed = (place: number): string | undefined =>
  place === USER_PLACE ? USER : place === NO_PLACE ? NOWHERE : place === OUTSIDE_PLACE ? NO_SYMBOL : undefined;

/** The function that a place is in, or what stands for one. */
export const functionAt = (
  place: number,
  symbols: TextSymbols,
): Pick<TextFunction, "name" | "bytes"> & { readonly start: number | undefined } =>
  (place < 0 ? undefined : symbols.at(place)) ?? {
    name: bracketed(place) ?? NO_SYMBOL,
    start: undefined,
    bytes: 0,
  };

/** What makes the time line of a run whose text has such symbols. */
export const timeLineRecorder = (symbols: TextSymbols): TimeLineRecorder =>
  new TimeLineRecorder(
    (place) => {
      const { name, start, bytes } = functionAt(place, symbols);
      return start === undefined ? { name, start: place, places: 1 } : { name, start, places: bytes };
    },
    (cause) => STRETCH_PART[cause]!,
    NOWHERE,
  );

/** Of each cause, which part of a stretch it is in. */
const STRETCH_PART = CAUSES.map((cause) =>
  STRETCH_PARTS.indexOf(
    cause === "instructions"
      ? "instructions"
      : cause === "text.remote"
        ? "far text"
        : cause.startsWith("text.")
          ? "other text"
          : "rest",
  ),
);
