/** B10: what the booting CPU reads of the image before replication it reads behind it, page by page. */
import { type Frame, PAGE_BYTES } from "@kreplica/hw-x86";
import { imageAddress, imageFrame } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { boot, type Booted } from "../src/boot.js";
import type { BootParts } from "../src/index.js";
import { smallImage, smallMachine } from "../src/small-kernel.js";

/** Boots with something done in the step that replicates, behind it, on a CPU of the master or of the other node. */
function booted(bootCpu: number, meanwhile: (parts: BootParts) => void): Booted {
  return boot({
    spec: smallMachine(2),
    image: smallImage(),
    bootCpu,
    before: (parts) =>
      parts.boot.during("numa-replicate-kernel", () => {
        meanwhile(parts);
        return "";
      }),
  });
}

const broken = (kernel: Booted): string[] =>
  kernel.checkInvariants().violated.flatMap(({ id, detail }) => (id === "B10" ? [detail] : []));
/** Where the image has an address. */
const at = ({ layout, image }: BootParts, address: bigint): Frame => imageFrame(layout, image.stext, address);
const pageOf = ({ image }: BootParts, address: bigint): number => Number(address - image.stext) / PAGE_BYTES;

describe.each([0, 2])("with CPU %i booting", (cpu) => {
  test("nothing is told of a boot that changes nothing", () => {
    expect(broken(booted(cpu, () => undefined))).toEqual([]);
  });

  test("a byte of text, wherever it is in its page, is told by its page", () => {
    for (const word of [0, 511, 1023]) {
      let page = -1;
      const kernel = booted(cpu, (parts) => {
        const { entries, image, view, machine, options } = parts;
        const address = image.stext + 5n * BigInt(PAGE_BYTES);
        page = pageOf(parts, address);
        const node = machine.nodeOfCpu(options.bootCpu);
        const frame = view.replicaFrame(imageAddress(parts.layout, address), node) ?? at(parts, address);
        entries.memory.write32(frame, word, ~entries.memory.read32(frame, word));
      });
      expect(broken(kernel)).toEqual([
        `page ${page} of the image has other bytes on the booting CPU's node than before`,
      ]);
    }
  });
});
