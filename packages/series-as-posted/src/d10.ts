/** D10: a node whose memory comes later counts as a holder, without tables. */
import { overlay } from "@kreplica/di";
import { ReplicaView } from "@kreplica/mm-core/api";
import type { SeriesDefect } from "./defect.js";

/** The view, whose holders are to change after the boot. */
type Changeable = { -readonly [Key in keyof ReplicaView]: ReplicaView[Key] };

export const D10: SeriesDefect = {
  id: "D10",
  sentence: "a node whose memory comes later counts as a holder, without tables",
  patch: "03/12 include/linux/numa_replication.h for_each_replica",
  effect: "loops over the nodes with memory meet one without a PGD",
  breaks: ["I4"],
  confirmed: "read in the patch",
  configuration: "late memory",
  overlays: [
    overlay(ReplicaView, (view: Changeable) => {
      view.memoryAdded = (node) => {
        if (!view.copies.text && !view.copies.rodata) return;
        const nearest = view.nearest.bind(view);
        view.nearest = (each) => (each === node ? node : nearest(each));
        view.holders = [...view.holders, node].sort((a, b) => a - b);
      };
      return view;
    }),
  ],
};
