/** D16: rodata is copied with rodata=off, and then written. */
import { overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86/api";
import {
  imageAddress,
  imageRange,
  KernelBoot,
  KernelImage,
  KernelLayout,
  KernelTables,
  ReplicaView,
} from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";
import { writeInCopy } from "./write-in-copy.js";

export const D16: SeriesDefect = {
  id: "D16",
  sentence: "rodata is copied with rodata=off, and then written",
  patch: "03/12 mm/numa_replication.c numa_replicate_kernel_rodata",
  effect: "later stores reach one copy, and nodes go on with different constants",
  breaks: ["A5"],
  confirmed: "seen on a running kernel",
  configuration: "rodata=off",
  onlyThere: true,
  overlays: [
    overlay(KernelBoot, (boot, get) => {
      const [tables, view, image, layout, machine] = [
        get(KernelTables),
        get(ReplicaView),
        get(KernelImage),
        get(KernelLayout),
        get(Machine),
      ];
      const start = imageAddress(layout, image.startRodata);
      boot.during("numa-replicate-rodata", () => {
        tables.edit((editor) =>
          editor.protect(imageRange(layout, { start: image.startRodata, end: image.endRodata }), { writable: true }),
        );
        return "rodata stays writable";
      });
      boot.during("running", () => {
        const last = view.holders[view.holders.length - 1]!;
        writeInCopy({ view, machine }, last, start + 0x18n, Uint8Array.of(0x6b, 0x72));
        return "a driver wrote to rodata";
      });
      return boot;
    }),
  ],
};
