/**
 * Frames of a recording and frames of the model never meet: not on a machine with windows for the guest, not on one of
 * its own size.
 */
/// <reference types="node" />
import type { MachineSpec } from "@kreplica/hw-x86";
import { pagesBetween } from "@kreplica/hw-x86/api";
import { e52690v3, recordedGuest, tiny2Node } from "@kreplica/machines";
import { imageFrame } from "@kreplica/mm-core";
import { dataFile } from "@kreplica/recordings";
import { framesIn, framesToReserve, scheduledFrames } from "@kreplica/replay/program";
import { guestEnd, imagePages, shippedGuest } from "@kreplica/trace";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { recordedRun } from "../../src/inputs/trace-file.js";
import { tracedKernel } from "../../src/traced-kernel.js";
import { loadFile } from "../load-file.js";

test("the recorded image has one end: that of the traced kernel, both alignments", () => {
  for (const alignment of ["recorded", "patch-06"] as const) {
    const { stext, end } = tracedKernel(alignment);
    expect(pagesBetween(stext, end).pages).toBe(imagePages(shippedGuest.image));
  }
});

/** Whether a frame lies in what the recorded kernel gave back of its image's, behind text and behind rodata. */
const inTail = (frame: number): boolean => {
  const { stext, firstPage, tails } = shippedGuest.image;
  const address = stext + BigInt(frame - firstPage) * 4096n;
  return tails.some(({ start, end }) => address >= start && address < end);
};

describe.each<[string, MachineSpec, readonly [number, number], string[]]>([
  ["the guest's own size", recordedGuest, [0, 1], ["fork1", "mount", "insmod"]],
  ["the guest's own size, image on node 1", recordedGuest, [1, 0], ["fork1"]],
  ["tiny", tiny2Node, [0, 1], ["kill", "poke"]],
  ["with windows", e52690v3, [0, 1], ["fork1"]],
  ["with windows, image on node 1", e52690v3, [1, 1], ["fork1", "poke"]],
])("a machine of %s", (name, spec, nodes, keys) => {
  test.each(keys)(
    "%s: each recorded frame has a place of its own, which the allocator neither holds nor gave out",
    (key) => {
      const file = dataFile(`traces/hsw-${key}.kt.zst`);
      const run = recordedRun(file);
      const reserved = framesToReserve(spec, nodes, run.recording, scheduledFrames(run));
      for (const policy of ["single-copy", "per-node"]) {
        const { recorded, allocator, image, layout } = boot({
          spec,
          policy,
          pti: true,
          masterNode: nodes[0],
          recordedNodes: nodes,
          reserved,
        });
        const used = [...framesIn(run.recording)].filter((frame) => frame < guestEnd(shippedGuest));
        const places = new Set(used.map((frame) => recorded.frame(frame)));
        expect([places.size, places.size > 100]).toEqual([used.length, true]);
        // The boot did not give them out, and nothing does from now on.
        for (const place of places)
          for (let order = 0; order <= 10; order++)
            expect(allocator.owns(place - (place % (1 << order)), order)).toBe(false);
        recorded.runsOn(0);
        loadFile(file, (address, frame) => recorded.map(address, frame));
        const first = imageFrame(layout, image.stext, image.stext);
        const end = imageFrame(layout, image.stext, image.end);
        for (const frame of used) {
          const place = recorded.frame(frame);
          expect(allocator.claim(place, "kernel")).toBe(false);
          // What the recorded kernel gave back of its image was anybody's: nowhere in this one, where there is room.
          expect(place >= first && place < end).toBe(
            frame >= 0x1000 &&
              frame < 0x1000 + imagePages(shippedGuest.image) &&
              !(name.startsWith("with windows") && inTail(frame)),
          );
        }
      }
    },
  );
});
