/**
 * Kernel text as the boot patches it: code laid before there are copies and changed afterwards (P8), init text (P9),
 * addresses of text in copies (P13).
 */
import { alignUp, bytesAt, PAGE } from "@kreplica/hw-x86/api";
import type { Finding } from "@kreplica/invariants";
import { type BootParts, broken } from "@kreplica/kernel";
import { directAddress, frameAt, imageAddress } from "@kreplica/mm-core";
import { nops, TextPoke, TextReader } from "@kreplica/text-patch";
import { lateCode, patchedCode, patchedText, type PatchedText } from "./patched-text.js";

/** What was seen of patching while a kernel booted. */
interface BootNotes {
  faults: Finding[];
}
const notes = new WeakMap<BootParts, BootNotes>();

/**
 * Lays the code before there are copies (P8), patches it afterwards, and init text (P9); asks for text's addresses in
 * copies (P13).
 */
export function patchWhileBooting(parts: BootParts): void {
  const poke = parts.assembly.get(TextPoke);
  const { image, layout, view, entries } = parts;
  const text = patchedText(image, layout.imageOffset);
  const seen: BootNotes = { faults: [] };
  notes.set(parts, seen);
  const early = (code: ReturnType<typeof patchedCode>): void => {
    for (const [address, bytes] of code) poke.early(address, bytes);
  };
  parts.boot.during("setup-arch", () => {
    early(patchedCode(text));
    return "code laid that checks patch";
  });
  parts.boot.during("alternatives", () => {
    early(lateCode(text));
    const init = imageAddress(layout, image.initBegin) + 0x40n;
    const before = poke.cost.framesWritten;
    poke.early(init, nops(5));
    const frames = new Set(
      view.holders.map((node) => frameAt(entries.memory, view.kernelRoot(node), layout.levels, init)),
    );
    if (frames.size !== 1 || poke.cost.framesWritten - before !== 1)
      seen.faults.push(
        broken(
          "P9",
          `a patch of init text wrote ${poke.cost.framesWritten - before} frames, ${frames.size} are behind it`,
        ),
      );
    addressesInCopies(parts, true, seen);
    return "";
  });
  parts.boot.during("numa-clear-linear", () => {
    addressesInCopies(parts, false, seen);
    return "";
  });
}

/** P13: text of a holder, and nothing else, has an address in a copy, until the addresses are cleared. */
function addressesInCopies({ view, image, layout, machine }: BootParts, known: boolean, seen: BootNotes): void {
  const [start, end] = [imageAddress(layout, image.stext), imageAddress(layout, image.etext)];
  for (const node of machine.nodes) {
    const holds = known && view.holders.length > 1 && view.holders.includes(node);
    for (const [address, inside] of [
      [start, true],
      [end - 1n, true],
      [start - 1n, false],
      [alignUp(end, PAGE), false],
      [imageAddress(layout, image.startRodata), false],
    ] as const) {
      const found = view.addressInReplica(address, node);
      const frame = view.replicaFrame(address, node);
      const wanted =
        holds && inside && frame !== undefined ? directAddress(layout, frame) + (address & (PAGE - 1n)) : undefined;
      if (found !== wanted)
        seen.faults.push(
          broken(
            "P13",
            `0x${address.toString(16)} on node ${node} has ${found === undefined ? "no address" : `address 0x${found.toString(16)}`} in a copy, it should be ${wanted === undefined ? "none" : `0x${wanted.toString(16)}`}`,
          ),
        );
    }
  }
}

/** What is wrong with patches of the boot: what was seen meanwhile, and P8, what was patched is in all copies. */
export function patchedAtBoot(parts: BootParts, text: PatchedText): readonly Finding[] {
  const faults = [...(notes.get(parts)?.faults ?? [])];
  const { view } = parts;
  const reader = new TextReader(parts);
  const late = new Map(lateCode(text).map(([address, bytes]) => [address, bytes]));
  for (const [address, bytes] of [...patchedCode(text), ...late]) {
    const wanted = bytes.slice();
    for (const [at, code] of late)
      if (at >= address && at < address + BigInt(bytes.length)) wanted.set(code, Number(at - address));
    for (const node of view.holders) {
      const found = reader.bytes(node, bytesAt(address, bytes.length));
      const wrong = wanted.findIndex((byte, i) => byte !== found[i]);
      if (wrong >= 0)
        faults.push(
          broken(
            "P8",
            `node ${node} has 0x${found[wrong]!.toString(16)} at 0x${(address + BigInt(wrong)).toString(16)} after the boot, which patched 0x${wanted[wrong]!.toString(16)} there`,
          ),
        );
    }
  }
  return faults;
}
