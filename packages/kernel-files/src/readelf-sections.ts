/** Section headers from the text that `readelf -S -W` prints. */
import { InputError } from "@kreplica/inputs";
import type { SectionHeader } from "@kreplica/mm-core";

//                      [Nr]      Name      Type      Address           Off           Size          ES             Flg
const ROW =
  /^\s*\[\s*(\d+)\]\s+(\S+)\s+(\S+)\s+([0-9a-f]{16})\s+([0-9a-f]+)\s+([0-9a-f]+)\s+([0-9a-f]+)(?:\s+([A-Za-z]+))?\s/;

/** @returns sections in file order @throws InputError when a row is cut short, or there is none */
export function readSections(text: string, file: string): SectionHeader[] {
  const sections: SectionHeader[] = [];
  let line = 0;
  let inTable = false;
  for (const each of text.split("\n")) {
    line++;
    if (/^Section Headers:/.test(each)) inTable = true;
    else if (/^(Key to Flags|Program Headers):/.test(each)) inTable = false;
    if (!inTable || !/^\s*\[\s*\d+\]/.test(each) || /^\s*\[\s*0\]/.test(each)) continue;
    const row = ROW.exec(`${each} `);
    if (!row)
      throw new InputError({
        file,
        line,
        reason: `not a row of section headers: ${JSON.stringify(each.slice(0, 60))}`,
        remedy: "give the output of readelf -S -W, in the C locale",
      });
    const flags = row[8] ?? "";
    sections.push({
      name: row[2]!,
      address: BigInt(`0x${row[4]!}`),
      bytes: BigInt(`0x${row[6]!}`),
      writable: flags.includes("W"),
      executable: flags.includes("X"),
      occupies: flags.includes("A"),
    });
  }
  if (sections.length === 0)
    throw new InputError({ file, reason: "no section headers in it", remedy: "give the output of readelf -S -W" });
  return sections;
}
