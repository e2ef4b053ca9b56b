/** Members of a list by what they have in common. */

/** Groups in the order in which they are first met, and so are their members. */
export function groupBy<T, Key>(all: readonly T[], key: (each: T) => Key): T[][] {
  const groups = new Map<Key, T[]>();
  for (const each of all) {
    const of = key(each);
    const group = groups.get(of);
    if (group) group.push(each);
    else groups.set(of, [each]);
  }
  return [...groups.values()];
}
