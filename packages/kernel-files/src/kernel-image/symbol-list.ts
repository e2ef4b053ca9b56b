/** Symbols as text: a System.map or a copy of /proc/kallsyms, one `ADDRESS TYPE NAME [MODULE]` a line. */
import { InputError } from "@kreplica/inputs";
import type { KernelSymbol } from "./kallsyms.js";

const LINE = /^([0-9a-f]{8,16}) ([A-Za-z?]) (\S+)(?:\s+\[(\S+)\])?$/;

/** All that Debian's /boot/System.map-RELEASE holds; unlike a real one's, the line's name has blanks. */
const DEBIAN_STUB = /^[0-9a-f]+ [A-Za-z] The real System\.map is in the (\S+) package/;
/** Letters of a wrong line that are quoted. */
const QUOTED = 160;

/**
 * @throws InputError naming the line; also when every address is 0, as an unprivileged reader of /proc/kallsyms sees
 *   them.
 */
export function readSymbolList(text: string, file: string): KernelSymbol[] {
  const symbols: KernelSymbol[] = [];
  const stub = DEBIAN_STUB.exec(text);
  if (stub) {
    throw new InputError({
      file,
      line: 1,
      reason: `Debian's placeholder for a System.map: the real one is in the package ${stub[1]!}`,
      remedy: "leave the option out: the image's own kallsyms are used; or install that package and give its file",
    });
  }
  let line = 0;
  for (const each of text.split("\n")) {
    line++;
    if (each.trim() === "") continue;
    const match = LINE.exec(each.trimEnd());
    if (!match)
      throw new InputError({
        file,
        line,
        reason: `not "ADDRESS TYPE NAME": ${JSON.stringify(each.slice(0, QUOTED))}`,
        remedy: "give a System.map or a copy of /proc/kallsyms",
      });
    if (match[4] === undefined) symbols.push({ address: BigInt(`0x${match[1]!}`), type: match[2]!, name: match[3]! });
  }
  if (!symbols.some(({ address }) => address !== 0n)) {
    throw new InputError({
      file,
      reason: symbols.length === 0 ? "no symbol in it" : "every address is 0",
      remedy: "give a System.map, or copy /proc/kallsyms as root",
    });
  }
  return symbols;
}
