/** The control block in WebAssembly: what a thread and a batch tell each other. */
import type { Code } from "../wasm/code.js";
import { i32 } from "../wasm/operations.js";
import { Control } from "./control.js";
import type { Places } from "./places.js";
import { type I32, number } from "./set-code.js";

/** Reads a word of the control block. */
export const control = (places: Places, word: Control): I32 => i32.load(number(places.control), word * 4);

/** Writes one. */
export const setControl = (places: Places, word: Control, value: I32): Code =>
  i32.store(number(places.control), value, word * 4);

/** Says that something other than a hit of L1 was counted under the region. */
export const counted = (places: Places): Code =>
  setControl(
    places,
    Control.Counted,
    i32.or(control(places, Control.Counted), i32.shl(number(1), control(places, Control.Region))),
  );
