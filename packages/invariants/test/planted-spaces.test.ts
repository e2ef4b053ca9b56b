/**
 * Groups F, G, H, I and P at rest: PGDs of a process, what CPUs have loaded, frames that are counted, text that is
 * kept.
 */
import { type Frame, hex } from "@kreplica/hw-x86/api";
import { ldtAddress, walk } from "@kreplica/mm-core/api";
import { expect, test } from "vitest";
import { type CheckedKernel } from "../src/index.js";
import {
  layout,
  allocator,
  machine,
  memory,
  R0,
  R1,
  TEXT,
  TAIL,
  WINDOW,
  TEXT_FRAME,
  spaces,
  PGD,
  said,
  to,
  having,
  gone,
  NX,
  type Planted,
  change,
  silentUntilPlanted,
} from "./planted.js";

const SPACED: readonly Planted[] = [
  [
    "F1",
    "a slot that one node lacks",
    () => change(PGD(1), 0n, 4, gone),
    "slot 0 of space 1 on node 1 (kernel half) is not that of node 0",
  ],
  [
    "F1",
    "a slot that leads elsewhere in a user half",
    () => change(PGD(1) + 1, 255n << 39n, 4, () => [0, 1]),
    "slot 255 of space 1 on node 1 (user half) is not that of node 0",
  ],
  [
    "F2",
    "a kernel slot that is not its node's",
    () => change(PGD(1), WINDOW, 4, (_lo, hi) => [walk(memory, R0, 4, WINDOW, 4).lo, hi]),
    "kernel slot 511 of space 1 on node 1 is not that of the node's root",
  ],
  [
    "F2",
    "the first kernel slot's high half",
    () => change(PGD(0), layout.pageOffset, 4, having(0, 1)),
    `kernel slot ${layout.kernelBoundary} of space 1 on node 0 is not that of the node's root`,
  ],
  [
    "F3",
    "a slot the canonical PGD lacks",
    () => change(PGD(1) + 1, 7n << 39n, 4, () => [0x9067, 0]),
    "slot 7 of space 1 is there on node 1 (user half) and not in the canonical PGD",
  ],
  [
    "F6",
    "a PGD that is no allocation",
    () => ({
      allocator: Object.assign(Object.create(allocator) as typeof allocator, {
        owns: (frame: Frame) => frame !== PGD(1),
      }),
    }),
    "the PGD of space 1 on node 1 is not an allocation of two pages",
  ],
  [
    "F6",
    "a firmware's PGD that is none",
    () => ({ otherRoots: [{ name: "EFI's root", root: TEXT_FRAME }] }),
    `EFI's root, frame ${TEXT_FRAME}, is not an allocation of two pages`,
  ],
  [
    "F6",
    "a PGD of two spaces",
    () => ({
      spaces: {
        all: new Set([spaces[0]!, { ...spaces[1]!, pgd: (node: number) => PGD(node), pgdNodes: [1] }]),
      } as unknown as CheckedKernel["spaces"],
    }),
    "spaces 1 and 2 use the same PGD",
  ],
  [
    "F6",
    "a PGD on another node",
    () => ({
      spaces: {
        all: new Set([{ ...spaces[0]!, pgd: () => PGD(0), pgdNodes: [1] }]),
      } as unknown as CheckedKernel["spaces"],
    }),
    "the PGD of space 1 for node 1 lies on node 0",
  ],
  [
    "F9",
    "an LDT that one user half lacks",
    () => change(PGD(1) + 1, ldtAddress(4, 0), 4, gone),
    "the LDT's slot of space 1 is missing in the user half on node 1",
  ],
  [
    "F9",
    "another LDT in a kernel half",
    () => change(PGD(1), ldtAddress(4, 0), 4, to(9)),
    "the LDT's slot of space 1 is another in the kernel half on node 1",
  ],
];
silentUntilPlanted(SPACED);

const RUN: readonly Planted[] = [
  [
    "G1",
    "a CPU on another node's root",
    () => machine.cpu(2).writeCr3(BigInt(R0) << 12n),
    `CR3 of CPU 2 names frame ${R0}, not ${R1}: the root of node 1`,
  ],
  [
    "G10",
    "a CPU that fetches another node's text",
    () => change(R1, TAIL, 1, to(TEXT_FRAME + 512)),
    "CPU 2 of node 1 fetches text page 512 from node 0, its copy is on node 1",
  ],
  [
    "G11",
    "entry text of another node in a user half",
    () => change(R1 + 1, TEXT, 2, to(TEXT_FRAME)),
    new RegExp(
      `^the user half of node 1 leads to node 0 at ${hex(TEXT)}: its CPUs fetch that node's copy when they enter the kernel, and the translation is global`,
    ),
  ],
  [
    "G11",
    "the same in a process's",
    () => change(PGD(1) + 1, WINDOW, 4, (_lo, hi) => [walk(memory, R0 + 1, 4, WINDOW, 4).lo, hi]),
    `the user half of space 1 on node 1 leads to node 0 at ${hex(TEXT)}: its CPUs fetch that node's copy when they enter the kernel, and the translation is global`,
  ],
  [
    "H5",
    "other bytes for user mode",
    () => change(R1 + 1, TEXT, 2, to(0x200)),
    new RegExp(`^node 1: user mode reads other bytes than the kernel at ${hex(TEXT)}`),
  ],
  [
    "H5",
    "text that the kernel does not map",
    () => change(R1, TEXT, 2, gone),
    new RegExp(`^node 1: user mode reads other bytes than the kernel at ${hex(TEXT)}`),
  ],
  [
    "I3",
    "a frame for copies that no copy needs",
    () => ({
      allocator: Object.assign(Object.create(allocator) as typeof allocator, {
        usedFrames: (node: number, purpose: "text") =>
          allocator.usedFrames(node, purpose) + Number(node === 1 && purpose !== "text"),
      }),
    }),
    "516 frames are used for copies of rodata, 1 copies need 515",
  ],
  [
    "P14",
    "text that a probe keeps and that is gone",
    () => {
      change(R1, TAIL, 1, gone);
      return {
        textUsers: { all: [{ name: "a probe", sites: () => [TAIL + 5n] }] } as unknown as NonNullable<
          CheckedKernel["textUsers"]
        >,
      };
    },
    `a probe keeps ${hex(TAIL + 5n)}, where node 1 has nothing`,
  ],
  [
    "P14",
    "text that may not be executed",
    () => {
      change(R0, TAIL, 1, having(0, NX));
      return {
        textUsers: { all: [{ name: "a probe", sites: () => [TAIL + 5n] }] } as unknown as NonNullable<
          CheckedKernel["textUsers"]
        >,
      };
    },
    `a probe keeps ${hex(TAIL + 5n)}, where node 0 has no code`,
  ],
];

silentUntilPlanted(RUN);

test("G1: a CPU is on the root of what it has loaded, its user half in user mode", () => {
  const cpu = machine.cpu(2);
  const { cr3 } = cpu;
  const with_ = (switcher: object) =>
    said("G1", { switcher: { temporary: () => undefined, loaded: () => undefined, useOf: () => "used", ...switcher } });
  const mine = { loaded: (id: number) => (id === 2 ? spaces[0] : undefined) };
  expect(with_({})).toEqual([]);
  expect(with_(mine)).toEqual([
    `CR3 of CPU 2 names frame ${R1}, not ${PGD(1)}: the PGD of space 1, which it has loaded, for node 1`,
  ]);
  cpu.writeCr3(BigInt(PGD(1)) << 12n);
  expect(with_(mine)).toEqual([]);
  cpu.privilege = 3;
  expect(with_(mine)).toHaveLength(1);
  cpu.writeCr3(BigInt(PGD(1) + 1) << 12n);
  expect(with_(mine)).toEqual([]);
  cpu.privilege = 0;
  expect(with_(mine)).toHaveLength(1);
  const firmware = {
    temporary: (id: number) => (id === 2 ? { name: "the firmware", root: (node: number) => 40 + node } : undefined),
  };
  expect(with_(firmware)).toEqual([
    `CR3 of CPU 2 names frame ${PGD(1) + 1}, not 41: the root of the firmware for node 1`,
  ]);
  cpu.writeCr3(41n << 12n);
  expect(with_(firmware)).toEqual([]);
  cpu.writeCr3(cr3);
});
