/**
 * The entries behind a broken rule: of each address and slot that its words name, the way down from each root, entry by
 * entry, and what CPUs have cached of it.
 */
import { entryBytes, frameOf, isLeaf, leafFrame, type PhysMemory } from "@kreplica/hw-x86/api";
import { walk } from "@kreplica/mm-core";
import { flagsOf } from "./tables.js";
import type { BrokenRule, CpuView, EntryView, LeadView, RootView } from "./view.js";

/** Addresses that are followed, at most. */
const FOLLOWED = 3;
/** Roots that are gone down from, at most. */
const ROOTS = 12;

/** Canonical addresses in a rule's words, and the first address of each top-level slot that they name. */
export function addressesIn(detail: string, levels: 4 | 5): bigint[] {
  const bits = levels === 5 ? 57 : 48;
  const canonical = (address: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(bits, address));
  const named = Array.from(detail.matchAll(/0x[0-9a-f]{5,16}\b/g), ([text]) => BigInt(text)).filter(
    (address) => canonical(address) === address,
  );
  const slots = Array.from(detail.matchAll(/\bslot (\d{1,3})\b/g), ([, slot]) =>
    canonical(BigInt(slot!) << BigInt(bits - 9)),
  );
  return [...new Set([...named, ...slots])].slice(0, FOLLOWED);
}

/** @param cpus with all that they have cached, of whom those on line are looked at */
export function leadsOf(
  memory: PhysMemory,
  levels: 4 | 5,
  roots: readonly RootView[],
  cpus: readonly CpuView[],
  broken: readonly BrokenRule[],
): LeadView[] {
  const addresses = [...new Set(broken.flatMap(({ detail }) => addressesIn(detail, levels)))].slice(0, FOLLOWED);
  return addresses.map((address) => ({
    address: `0x${address.toString(16)}`,
    ways: roots
      .filter(({ process }) => address >> 63n || process !== undefined)
      .slice(0, ROOTS)
      .map(({ name, frame }) => ({ root: name, entries: wayDown(memory, frame, levels, address) })),
    cached: cpus.flatMap((cpu) => {
      // The first and the second TLB may hold the same.
      const seen = new Map(
        cpu.cached.filter((entry) => covers(entry, address)).map((entry) => [JSON.stringify(entry), entry]),
      );
      return [...seen.values()].map((entry) => ({ cpu: cpu.id, ...entry }));
    }),
  }));
}

const covers = ({ address, structure, level }: CpuView["cached"][number], wanted: bigint): boolean => {
  // A structure entry stands for what the entry above its table does.
  const bytes = entryBytes(structure ? level + 1 : level);
  return BigInt.asUintN(64, BigInt(address)) / bytes === wanted / bytes;
};

/** Entries from the root on, to the leaf or to the first that is not present. */
function wayDown(memory: PhysMemory, root: number, levels: 4 | 5, address: bigint): EntryView[] {
  const entries: EntryView[] = [];
  for (let wanted: number = levels; wanted >= 1; wanted--) {
    const { level, table, index, lo, hi, present } = walk(memory, root, levels, address, wanted);
    // What lies above is a leaf or a hole, and was said.
    if (level !== wanted) break;
    const leaf = isLeaf(lo, level);
    const to = leaf ? leafFrame(lo, hi, level) : frameOf(lo, hi);
    const more = present ? { to, node: memory.nodeOf(to), flags: flagsOf(lo, hi, leaf, level) } : {};
    entries.push({ level, frame: table, index, ...more });
    // A table that lies in no memory cannot be read.
    if (present && !leaf && memory.nodeOf(to) < 0) break;
  }
  return entries;
}
