/** Which operations a story may have, and which subsystems its kernel needs for them. */
import { CORE_FAMILIES, FAMILIES, familiesOfBug, type OperationFamily, Repertoire } from "@kreplica/check";
import { bugOf } from "@kreplica/museum";
import { bpfFamily } from "./bpf-family.js";
import type { Story } from "./setup.js";

/** The checker's, and those that only the explorer has. */
export const STORY_FAMILIES: readonly OperationFamily[] = [...FAMILIES, bpfFamily];

/** Their words, and what is wrong with an operation. */
export const storyRepertoire = new Repertoire(STORY_FAMILIES);

/** Defects of areas and of patching are laid over subsystems that only their families bring. */
const WITH_ALL = ["D5", "D6", "D7", "D12", "N1", "N3"];

/**
 * The core's, those of the story's operations where it has others, and those that a bug of the museum is about: a
 * kernel with fewer boots sooner. Always in the order of {@link STORY_FAMILIES}.
 */
export function familiesFor({ operations, laid }: Pick<Story, "operations" | "laid">): readonly OperationFamily[] {
  const all = laid.some((id) => WITH_ALL.includes(id));
  const words = JSON.stringify(operations);
  const needed = laid.flatMap((id) => bugOf(id) ?? []).flatMap((bug) => familiesOfBug(bug).map(({ name }) => name));
  // The family of areas splits the direct map's leaves before the story begins, which else would look like a leak.
  if (words.includes('"op":"bpf')) needed.push("areas");
  return STORY_FAMILIES.filter(
    (family) =>
      (all && FAMILIES.includes(family)) ||
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
