/** ldt-writable: user mode's view of an LDT can be written. */
import { overlay } from "@kreplica/di";
import { Bit, isPresent } from "@kreplica/hw-x86/api";
import { AddressSpaces, eachNewSpace, KernelLayout, TableMemory, ldtAddress, walk } from "@kreplica/mm-core/api";
import type { Bug } from "../bug.js";
import { spawn } from "../steps.js";

export const LDT_WRITABLE: Bug = {
  id: "ldt-writable",
  room: "KPTI and LDT",
  sentence: "the mapping of an LDT that both halves have is writable",
  happened:
    "The first versions mapped the LDT writable, because processors set the accessed bit of descriptors: a writable mapping of what decides about segments, at a fixed address.",
  mended:
    "In 4.15 (December 2017), still before its first release, the mapping became read-only; the accessed bit is set beforehand.",
  commits: [{ subject: "x86/ldt: Make the LDT mapping RO" }],
  invariant: "C6",
  kernel: { pti: true },
  path: [spawn(), { op: "ldt", p: 0, cpu: 0, entry: 0, value: 7 }],
  copies: {
    without: "C6",
    with: "C6",
    words: "The same: the table below the slot is shared by all PGDs of a process.",
  },
  overlays: [
    overlay(AddressSpaces, (spaces, get) => {
      const [entries, { levels }] = [get(TableMemory), get(KernelLayout)];
      return eachNewSpace(spaces, (space) => {
        const mapLdt = space.mapLdt.bind(space);
        space.mapLdt = (frames, place, node) => {
          const mapped = mapLdt(frames, place, node);
          const { table, index, lo, hi } = walk(
            entries.memory,
            space.pgd(space.pgdNodes[0]!),
            levels,
            ldtAddress(levels, place),
          );
          if (isPresent(lo)) entries.write(table, index, (lo | Bit.Writable) >>> 0, hi);
          return mapped;
        };
      });
    }),
  ],
};
