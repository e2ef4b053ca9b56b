/** pgd-on-master: page tables lie on one node, whoever asks. */
import { overlay } from "@kreplica/di";
import { AddressSpaces, ReplicaView } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const PGD_PLACE: Bug = {
  id: "pgd-on-one-node",
  room: "user memory and NUMA",
  sentence: "every process's PGD lies on one node, wherever the process is made",
  happened:
    "Not a bug that Linux is known for, but what this model had until it was told: with a single copy every PGD was taken from the node that holds the kernel's image, and every walk from another node paid for the way.",
  mended: "A PGD comes from the node of the CPU that asks for it, as any page does.",
  commits: [],
  invariant: "F6",
  kernel: {},
  path: [spawn(2)],
  copies: {
    without: "F6",
    words: "A copy heals it: with one PGD a node each lies where its CPUs are, whoever asks.",
  },
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const view = get(ReplicaView);
      const create = spaces.create.bind(spaces);
      spaces.create = (node, parent) => create(view.holders.length === 1 ? view.master : node, parent);
      return spaces;
    }),
  ],
};
