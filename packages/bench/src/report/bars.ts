/** Small bars beside figures: they show what the figure beside them says, and nothing else. */
import type { Screen } from "./terminal.js";

/** A cell's part from an eighth to the whole, from the left. */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/** Percent at which a gain's bar ends: a loss of many times what there was would leave no other bar to see. */
export const LONGEST_BAR = 100;

/**
 * A bar of a value's size, `width` letters at most, which is the size of `most`. What is below zero is of other letters
 * than what is above, and of the same length. Nothing for what is too small for the shortest bar there is.
 *
 * @param most above 0; a greater value's bar is as long as its
 */
export function bar(value: number, most: number, width: number, screen: Screen): string {
  const cells = Math.min(1, Math.abs(value) / most) * width;
  if (!screen.blocks) return (value < 0 ? "-" : "#").repeat(Math.round(cells));
  if (value < 0) return "░".repeat(Math.round(cells));
  const eighths = Math.round(8 * cells);
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7]!;
}
