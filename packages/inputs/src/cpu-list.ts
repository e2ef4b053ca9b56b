/**
 * Lists of CPU or node numbers as Linux writes them: `0-11,24-35`; and the hexadecimal mask form, `00000000,0000000f`.
 */

/** Numbers above this in a list are refused before the list is spelt out: `0-4000000000` must not fill memory. */
const HIGHEST = 65_535;

/**
 * The numbers a list names, ascending, each once; empty for an empty list.
 *
 * @returns undefined when the text is not such a list
 * @source Linux admin guide, "The kernel's command-line parameters", "cpu lists"
 */
export function parseCpuList(text: string): number[] | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  const numbers = new Set<number>();
  for (const part of trimmed.split(",")) {
    const range = /^\s*(\d{1,6})(?:-(\d{1,6}))?\s*$/.exec(part);
    if (!range) return undefined;
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    if (last < first || last > HIGHEST) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}

/** @param numbers ascending, each once */
export function formatCpuList(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length;) {
    let end = i;
    while (end + 1 < numbers.length && numbers[end + 1] === numbers[end]! + 1) end++;
    parts.push(end === i ? `${numbers[i]}` : `${numbers[i]}-${numbers[end]}`);
    i = end + 1;
  }
  return parts.join(",");
}

/**
 * The numbers of a mask: groups of up to eight hexadecimal digits, the most significant first, separated by commas.
 *
 * @returns undefined when the text is not such a mask
 * @source Linux Documentation/ABI/stable/sysfs-devices-node, "cpumap"
 */
export function parseCpuMask(text: string): number[] | undefined {
  const groups = text.trim().split(",");
  if (groups.length > (HIGHEST + 1) / 32 || !groups.every((group) => /^[0-9a-fA-F]{1,8}$/.test(group)))
    return undefined;
  const numbers: number[] = [];
  for (const [index, group] of groups.reverse().entries()) {
    const word = Number.parseInt(group, 16);
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) numbers.push(index * 32 + bit);
  }
  return numbers;
}
