/** A value as one text, whatever the order in which its fields were written: what a cell's name is the digest of. */

/**
 * JSON without blanks, members by name in the order of their UTF-16 units; absent members are left out.
 * @throws TypeError for what JSON has no word for: NaN, infinities, functions, big integers
 */
export function canonicalText(value: unknown): string {
  if (value === null || typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (typeof value === "object") {
    const members = Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, each]) => `${JSON.stringify(key)}:${canonicalText(each)}`).join(",")}}`;
  }
  throw new TypeError(`${String(value)} has no canonical text`);
}
