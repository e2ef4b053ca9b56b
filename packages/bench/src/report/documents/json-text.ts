/** How a JSON document is laid out. */

/**
 * A value as a JSON document, two blanks deep; what fits on a line stays on it, so that a CPU or a row of a matrix is
 * one line.
 */
export const jsonText = (value: unknown): string => `${jsonLines(value, "")}\n`;

function jsonLines(value: unknown, indent: string): string {
  const flat = JSON.stringify(value) ?? "null";
  if (typeof value !== "object" || value === null || (indent !== "" && flat.length + indent.length <= 100))
    return spaced(value, flat);
  const inner = `${indent}  `;
  const members = Array.isArray(value)
    ? value.map((each) => jsonLines(each, inner))
    : Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([key, member]) => `${JSON.stringify(key)}: ${jsonLines(member, inner)}`);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  return members.length === 0
    ? `${open}${close}`
    : `${open}\n${members.map((member) => inner + member).join(",\n")}\n${indent}${close}`;
}

/** On one line, with a blank after every comma and colon. */
function spaced(value: unknown, flat: string): string {
  if (typeof value !== "object" || value === null) return flat;
  if (Array.isArray(value)) return `[${value.map((each) => spaced(each, JSON.stringify(each) ?? "null")).join(", ")}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}: ${spaced(member, JSON.stringify(member) ?? "null")}`);
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
}
