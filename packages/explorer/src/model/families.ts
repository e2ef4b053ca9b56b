/** Which operations a story may have, and which subsystems its kernel needs for them. */
import { ALL_FAMILIES, CORE_FAMILIES, familiesOfBug, type OperationFamily } from "@kreplica/check";
import { bugOf } from "@kreplica/museum";
import type { Story } from "./setup.js";

/** Defects of areas and of patching are laid over subsystems that only their families bring. */
const WITH_ALL = ["D5", "D6", "D7", "D12", "N1", "N3"];

/**
 * The core's, those of the story's operations where it has others, and those that a bug of the museum is about: a
 * kernel with fewer boots sooner. Always in the order of {@link ALL_FAMILIES}.
 */
export function familiesFor({ operations, laid }: Pick<Story, "operations" | "laid">): readonly OperationFamily[] {
  if (laid.some((id) => WITH_ALL.includes(id))) return ALL_FAMILIES;
  const words = JSON.stringify(operations);
  const needed = laid.flatMap((id) => bugOf(id) ?? []).flatMap((bug) => familiesOfBug(bug).map(({ name }) => name));
  return ALL_FAMILIES.filter(
    (family) =>
      CORE_FAMILIES.includes(family) ||
      needed.includes(family.name) ||
      Object.keys(family.kinds).some((op) => words.includes(`"op":"${op}"`)),
  );
}

/** Whether two stories' kernels boot with the same subsystems. */
export function sameFamilies(a: Story, b: Story): boolean {
  const [these, those] = [familiesFor(a), familiesFor(b)];
  return these.length === those.length && these.every((family) => those.includes(family));
}
