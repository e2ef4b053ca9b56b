/** The invariants of an assembled kernel: those about it as a whole, and those that its subsystems bring. */
import {
  type Finding,
  findingOf,
  inOrder,
  type Invariant,
  KERNEL_INVARIANTS,
  type Subject,
} from "@kreplica/invariants";
import { MODULE_INVARIANTS } from "@kreplica/modules";
import { PATCH_INVARIANTS } from "@kreplica/text-patch";
import { AREA_INVARIANTS } from "@kreplica/vmalloc";
import { extensions } from "./extensions.js";

/** Rows that subsystems bring: about areas, modules, and text as it is patched. */
export const SUBSYSTEM_INVARIANTS: readonly Invariant<never>[] = [
  ...AREA_INVARIANTS,
  ...MODULE_INVARIANTS,
  ...PATCH_INVARIANTS,
];

/** All, in the order of the list. */
export const INVARIANTS: readonly Invariant<never>[] = inOrder<Invariant<never>>([
  ...KERNEL_INVARIANTS,
  ...SUBSYSTEM_INVARIANTS,
]);

/** Rows about a kernel at rest, with those of plugin files. */
export function stateInvariants(): readonly Invariant<Subject>[] {
  const { invariants } = extensions();
  return invariants.length === 0 ? KERNEL_INVARIANTS : [...KERNEL_INVARIANTS, ...invariants];
}

/** A row by its id, one of a plugin file too. */
export const invariantOf = (id: string): Invariant<never> | undefined =>
  byId.get(id) ?? extensions().invariants.find((each) => each.id === id);

const byId = new Map(INVARIANTS.map((row) => [row.id, row]));

/** An invariant that was seen broken, by its id. @throws RangeError when there is none of that id */
export function broken(id: string, detail: string): Finding {
  const row = invariantOf(id);
  if (!row) throw new RangeError(`there is no invariant ${id}: add its row first`);
  return findingOf(row, detail);
}
