/** Bytes of a page in each of its copies, disassembled. */
import { frameAt, type KernelLayout } from "@kreplica/mm-core";
import { addressOfFrame, PAGE_BYTES, type PhysMemory } from "@kreplica/hw-x86/api";
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from "iced-x86";
import type { CopyView, PageView, RootView } from "./view.js";

/** Bytes that are shown, from the address on. */
const SHOWN = 96;

const text = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/**
 * @param roots each is asked where the address leads; several may lead to one frame
 * @param name of the symbol that the address is in
 */
export function pageAt(
  memory: PhysMemory,
  { levels }: KernelLayout,
  roots: readonly RootView[],
  address: bigint,
  name?: string,
): PageView {
  const copies = new Map<number, Set<number>>();
  for (const { frame: root, serves } of roots) {
    const frame = frameAt(memory, root, levels, address);
    if (frame !== undefined) copies.set(frame, (copies.get(frame) ?? new Set<number>()).add(serves));
  }
  return {
    address: `0x${address.toString(16)}`,
    ...(name === undefined ? {} : { name }),
    copies: [...copies].map(([frame, nodes]): CopyView => {
      const offset = address & 0xfffn;
      const bytes = new Uint8Array(Math.min(SHOWN, PAGE_BYTES - Number(offset)));
      memory.readBytes(addressOfFrame(frame) + offset, bytes);
      return {
        nodes: [...nodes],
        frame,
        lies: memory.nodeOf(frame),
        bytes: text(bytes),
        code: disassembled(address, bytes),
      };
    }),
  };
}

/** As many instructions as there are bytes for. */
function disassembled(address: bigint, bytes: Uint8Array): CopyView["code"] {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Nasm);
  decoder.ip = address;
  const lines: { address: string; bytes: string; text: string }[] = [];
  try {
    while (decoder.canDecode) {
      const at = decoder.position;
      const instruction = decoder.decode();
      lines.push({
        address: `0x${instruction.ip.toString(16)}`,
        bytes: text(bytes.subarray(at, decoder.position)),
        text: formatter.format(instruction),
      });
      instruction.free();
    }
  } finally {
    decoder.free();
    formatter.free();
  }
  return lines;
}
