/** Damaged texts for the readers: letters and lines cut, doubled and put elsewhere, from a seed. */
import { InputError } from "@kreplica/inputs";
import { damagedText, numbers } from "@kreplica/inputs/testing";
import { accountsFromText, checkMachine, machineFromAccounts } from "../../src/index.js";

/**
 * Reads that many damaged texts; each is a sound account, which makes a machine or is refused as one, or an InputError.
 *
 * @returns how many were read, and how many refused
 */
export function readDamaged(text: string, count: number, seed: number): { read: number; refused: number } {
  const draw = numbers(seed);
  let read = 0;
  for (let i = 0; i < count; i++) {
    const one = damagedText(text, draw);
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
