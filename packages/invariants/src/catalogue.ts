/**
 * The list of invariants: this package's own rows by group, and the order in which they and those of subsystems stand.
 */
import { ACCOUNTING } from "./accounting.js";
import { GENERATED_CODE } from "./areas.js";
import { CACHED } from "./cached.js";
import { CPUS, HOTPLUG, PROCESSORS } from "./cpus.js";
import { ENCRYPTION } from "./encryption.js";
import { HALVES } from "./halves.js";
import type { Invariant } from "./invariant.js";
import { ORDER } from "./order.js";
import { PATCHING } from "./patching.js";
import { PLACEMENT } from "./placement.js";
import { PROTECTION } from "./protection.js";
import { SPACES } from "./spaces.js";
import type { Subject } from "./subject.js";
import { TABLES } from "./tables.js";

/** Letter and subject of every group, in the order of the list. */
export const GROUPS: ReadonlyMap<string, string> = new Map([
  ["A", "placement and content"],
  ["B", "page-table shape"],
  ["C", "protection"],
  ["P", "patching"],
  ["E", "vmalloc, modules, BPF"],
  ["F", "user address spaces"],
  ["G", "CPUs, CR3, TLB"],
  ["H", "boot order"],
  ["I", "configuration and accounting"],
]);

/** Rows about a kernel as a whole. vmalloc and modules have their own; an assembly lists all of them. */
export const KERNEL_INVARIANTS: readonly Invariant<Subject>[] = [
  ...PLACEMENT,
  ...TABLES,
  ...PROTECTION,
  ...HALVES,
  ...ENCRYPTION,
  ...PATCHING,
  ...GENERATED_CODE,
  ...SPACES,
  ...CPUS,
  ...CACHED,
  ...HOTPLUG,
  ...PROCESSORS,
  ...ORDER,
  ...ACCOUNTING,
];

const byId = new Map(KERNEL_INVARIANTS.map((row) => [row.id, row]));

/**
 * One of {@link KERNEL_INVARIANTS}, for whoever looks at it elsewhere too.
 * @throws RangeError when there is none of that id
 */
export function invariantOf(id: string): Invariant<Subject> {
  const row = byId.get(id);
  if (!row) throw new RangeError(`there is no invariant ${id} about a kernel as a whole`);
  return row;
}

/** Rows by group, known groups first, and by number. @throws RangeError when two have one id */
export function inOrder<Row extends Invariant<never>>(rows: readonly Row[]): Row[] {
  const seen = new Set<string>();
  for (const { id } of rows) {
    if (seen.has(id)) throw new RangeError(`two invariants have the id ${id}`);
    seen.add(id);
  }
  const letters = [...new Set([...GROUPS.keys(), ...rows.map(({ id }) => groupOf(id))])];
  const number = (id: string): number => Number(/\d+$/.exec(id)?.[0] ?? 0);
  return rows
    .map((row) => ({ row, letter: letters.indexOf(groupOf(row.id)), number: number(row.id) }))
    .sort((a, b) => a.letter - b.letter || a.number - b.number)
    .map(({ row }) => row);
}

/** Letter of the group that an id belongs to: what stands before its number. */
export const groupOf = (id: string): string => id.replace(/\d+$/, "");
