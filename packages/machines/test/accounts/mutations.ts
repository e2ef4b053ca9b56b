/** Damaged texts for the readers: letters and lines cut, doubled and put elsewhere, from a seed. */
import { InputError } from "@kreplica/inputs";
import { accountsFromText, checkMachine, machineFromAccounts } from "../../src/index.js";

const PIECES = [
  "",
  " ",
  "\n",
  "\0",
  "-",
  ",",
  ":",
  "0",
  "-1",
  "99999999999",
  "1e999",
  "NaN",
  "0xffffffff",
  "<",
  ">",
  '"',
  "&lt;",
  "{",
  "]",
  "\u00e9",
];

/** A generator of 32-bit numbers (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function damaged(text: string, draw: (below: number) => number): string {
  for (let steps = 1 + draw(3); steps > 0; steps--) {
    const at = draw(text.length + 1);
    if (draw(4) === 0) {
      const lines = text.split("\n");
      const [moved] = lines.splice(draw(lines.length), 1 + draw(2));
      if (draw(2) === 0) lines.splice(draw(lines.length + 1), 0, moved!);
      text = lines.join("\n");
    } else if (draw(8) === 0) text = text.slice(0, at);
    else text = text.slice(0, at) + PIECES[draw(PIECES.length)]! + text.slice(at + draw(4));
  }
  return text;
}

/**
 * Reads that many damaged texts; each is a sound account, which makes a machine or is refused as one, or an InputError.
 *
 * @returns how many were read, and how many refused
 */
export function readDamaged(text: string, count: number, seed: number): { read: number; refused: number } {
  const draw = numbers(seed);
  let read = 0;
  for (let i = 0; i < count; i++) {
    const one = damaged(text, draw);
    try {
      // What does not hold between fields the loader tells from these faults.
      checkMachine(machineFromAccounts(accountsFromText(one, "box.txt"), "box"));
      read++;
    } catch (error) {
      if (!(error instanceof InputError) || error.remedy === "")
        throw new Error(`seed ${seed}, text ${i}: ${JSON.stringify(one)}`, { cause: error });
    }
  }
  return { read, refused: count - read };
}
