/** recycled-mm: a new address space where a dead one was is taken for it, and finds its translations. */
import { overlay } from "@kreplica/di";
import { SwitchMm } from "@kreplica/mm-core/api";
import { CR3_NO_FLUSH, Machine } from "@kreplica/hw-x86/api";
import type { Bug } from "../bug.js";
import { mmap, run, spawn, touch } from "../steps.js";
import { switcherBooks } from "./switcher-books.js";

export const RECYCLED: Bug = {
  id: "recycled-mm",
  room: "lazy TLB and PCIDs",
  sentence: "a new address space in the place of a dead one is taken for it",
  happened:
    "A CPU that remembers spaces by the address of their structure cannot tell a new one from the dead one whose memory it got: the PCID seems to be its own and current, and the first accesses go to the dead process's pages.",
  mended:
    "Before PCIDs came into 4.14 (2017) every address space got a number that is never used again, and CPUs remember that.",
  commits: [{ id: "f39681ed0f48", subject: "x86/mm: Give each mm TLB flush generation a unique ID" }],
  invariant: "G12",
  kernel: {},
  path: [spawn(), mmap(0, 1), run(2), touch(2, 0), { op: "exit", p: 0 }, spawn(2), run(2)],
  copies: {
    without: "G14",
    with: "G12",
    words:
      "The same, and better hidden: PGDs of a node come back to the node, so that the new one has the very frame of the old one and the root tells nothing.",
  },
  overlays: [
    overlay(SwitchMm, (switcher, get) => {
      const machine = get(Machine);
      const { cpus } = switcherBooks(switcher);
      const dead = new Map<number, number>();
      const forget = switcher.forget.bind(switcher);
      switcher.forget = (space) => {
        for (const [cpu, { spaces }] of cpus) if (spaces.includes(space)) dead.set(cpu, spaces.indexOf(space));
        forget(space);
      };
      const switchTo = switcher.switchTo.bind(switcher);
      switcher.switchTo = (cpu, space) => {
        const slot = dead.get(cpu);
        const book = cpus.get(cpu);
        if (slot === undefined || book === undefined || book.spaces.includes(space)) return switchTo(cpu, space);
        dead.delete(cpu);
        book.spaces[slot] = space;
        const core = machine.cpu(cpu);
        const write = core.writeCr3.bind(core);
        core.writeCr3 = (value) => {
          write(value | CR3_NO_FLUSH);
        };
        const written = switchTo(cpu, space);
        core.writeCr3 = write;
        return written;
      };
      return switcher;
    }),
  ],
};
