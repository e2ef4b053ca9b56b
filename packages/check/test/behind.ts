/** What tests do behind a kernel's back, and the words of what is found then. */
import { type AddressSpaces, type Process, walk, type WalkEnd } from "@kreplica/mm-core";
import { failureIn } from "../src/check-failure.js";
import type { CheckedSystem } from "../src/checked-system.js";
import type { Operation } from "../src/family.js";
import type { Population } from "../src/population.js";
import type { Subject } from "../src/subject.js";
import type { Given } from "./met.js";

export const perform = (system: CheckedSystem, ...operations: readonly Given[]): void => {
  for (const each of operations) system.perform(each as Operation);
};

/** Id and detail of what a look finds; undefined where all is as the model says. */
export function found(look: () => void): string | undefined {
  const failure = failureIn(look);
  return failure && `${failure.invariant}: ${failure.detail}`;
}

/** What a number of looks in turn find. */
export const foundInTurn = (population: Population, looks: number): string[] =>
  Array.from({ length: looks }, () =>
    found(() => {
      population.compareInTurn();
    }),
  ).filter((each) => each !== undefined);

/** The entry of an address in the tables that a process has on node 0. */
export const entryOf = ({ parts }: Subject, { space }: Process, address: bigint, level = 1): WalkEnd =>
  walk(parts.entries.memory, space.pgd(0), parts.layout.levels, address, level);

/** Has each entry that is cleared name a strange frame for the time of one store before. */
export function strangeBeforeCleared(spaces: AddressSpaces): void {
  const create = spaces.create.bind(spaces);
  spaces.create = (...given) => {
    const space = create(...given);
    if (!space) return undefined;
    const clear = space.clear.bind(space);
    space.clear = (address) => {
      const mapping = space.lookup(address);
      if (mapping) space.set(address, { ...mapping, frame: 0x1000 }, 0);
      clear(address);
      return mapping;
    };
    return space;
  };
}
