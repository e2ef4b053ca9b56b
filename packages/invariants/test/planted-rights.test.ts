/** Group C on tables in which one right is wrong: of text, of its aliases, of user halves, of an LDT. */
import { hex, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { directAddress, ldtAddress } from "@kreplica/mm-core/api";
import {
  sound,
  layout,
  BOOT,
  R0,
  R1,
  TEXT,
  TAIL,
  RODATA,
  DATA,
  INIT,
  BSS,
  ownBss,
  WINDOW,
  frameAt,
  TEXT_FRAME,
  spaces,
  PGD,
  to,
  without,
  having,
  gone,
  W,
  U,
  G,
  NX,
  type Planted,
  change,
  silentUntilPlanted,
  table,
} from "./planted.js";

const PROTECTED: readonly Planted[] = [
  [
    "C1",
    "text that may be written",
    () => change(R1, TAIL, 1, having(W)),
    `node 1: text at ${hex(TAIL)} is RWX, not R-X (and 1 more)`,
  ],
  [
    "C1",
    "rodata that may be executed",
    () => change(R1, RODATA + LARGE, 1, without(0, NX)),
    `node 1: rodata at ${hex(RODATA + LARGE)} is R-X, not R--`,
  ],
  [
    "C1",
    "data that may not be written",
    () => {
      ownBss();
      change(R1, BSS, 1, without(W));
    },
    `node 1: data at ${hex(BSS)} is R--, not RW- or absent`,
  ],
  [
    "C1",
    "the tail of text executable",
    () => change(R1, TAIL + 2n * PAGE, 1, () => [0x5163, 0]),
    /^node 1: the tail of text at \S+ is RWX G, not RW- or absent/,
  ],
  [
    "C1",
    "writable and executable outside the image",
    () => change(R0, layout.pageOffset + LARGE, 2, (lo, hi) => [lo | W, hi & ~NX]),
    `node 0: level-2 leaf at ${hex(layout.pageOffset + LARGE)} is writable and executable`,
  ],
  [
    "C2",
    "the boot table as it was",
    () => {
      sound.move(BOOT, WINDOW, 3, 0);
      sound.move(BOOT, TAIL, 2, 0);
      change(BOOT, TAIL, 1, having(W));
    },
    `the boot table: text at ${hex(TAIL)} is RWX, not R-X (and 1 more)`,
  ],
  [
    "C2",
    "the firmware's root",
    () => {
      change(R1, TAIL, 1, having(W));
      return { otherRoots: [{ name: "EFI's root", root: R1 }] };
    },
    `EFI's root: text at ${hex(TAIL)} is RWX, not R-X`,
  ],
  [
    "C3",
    "a copy that may be written by its alias",
    () => change(R0, directAddress(layout, frameAt(R1, RODATA + 514n * PAGE)), 1, having(W)),
    `node 1: the direct map's view of rodata page 514 (${hex(directAddress(layout, frameAt(R1, RODATA + 514n * PAGE)))}) is writable`,
  ],
  [
    "C4",
    "freed init text that may be executed",
    () => {
      ownBss();
      change(R1, INIT + PAGE, 1, () => [0x5163, 0]);
    },
    "node 1: freed init page 1 is RWX G",
  ],
  [
    "C4",
    "freed init text that may not be written",
    () => {
      ownBss();
      change(R1, INIT, 1, () => [0x5161, NX]);
    },
    "node 1: freed init page 0 is R-- G",
  ],
  [
    "C6",
    "kernel data in a user half",
    () => change(R1 + 1, DATA, 2, () => [0xa0_00e3, 0]),
    `node 1: user mode maps ${hex(DATA)}, which is neither entry text, cpu_entry_area, espfix nor a TSS (and 2 more)`,
  ],
  [
    "C6",
    "kernel text that user mode may use",
    () => change(R1 + 1, TEXT, 2, having(U)),
    new RegExp(`^node 1: user mode maps ${hex(TEXT)}`),
  ],
  [
    "C6",
    "an LDT in what is nobody's page",
    () => change(PGD(0) + 1, ldtAddress(4, 0), 1, to(TEXT_FRAME)),
    new RegExp(
      `^space 1 on node 0: the LDT at ${hex(ldtAddress(4, 0))} leads to frame ${TEXT_FRAME}, which is no page of its own`,
    ),
  ],
  [
    "C6",
    "an LDT that is another process's",
    () => change(PGD(0) + 1, ldtAddress(4, 0), 1, to(frameAt(spaces[1]!.pgd(0) + 1, ldtAddress(4, 0)))),
    `space 2 on node 0: the LDT at ${hex(ldtAddress(4, 0))} is in frame ${frameAt(spaces[1]!.pgd(0) + 1, ldtAddress(4, 0))}, and so is that of space 1`,
  ],
  ...(
    [
      ["user", having(U)],
      ["writable", having(W)],
      ["global", having(G)],
      ["executable", without(0, NX)],
    ] as const
  ).map(([what, next]): Planted => [
    "C6",
    `an LDT that is ${what}`,
    () => change(PGD(0) + 1, ldtAddress(4, 0), 1, next),
    `space 1 on node 0: the LDT at ${hex(ldtAddress(4, 0))} is not read-only, the kernel's and this process's (and 1 more)`,
  ]),
  [
    "C7",
    "a user slot that the kernel may execute",
    () => change(PGD(1), 0n, 4, without(0, NX)),
    "space 1, node 1: user slot 0 is executable in the kernel's PGD",
  ],
  [
    "C7",
    "a user slot that user mode may not execute",
    () => change(PGD(1) + 1, 0n, 4, having(0, NX)),
    "space 1, node 1: user slot 0 is missing or not executable in the user PGD",
  ],
  [
    "C7",
    "a user slot that user mode lacks",
    () => change(PGD(1) + 1, 0n, 4, gone),
    "space 1, node 1: user slot 0 is missing or not executable in the user PGD",
  ],
  ...(
    [
      ["G", without(G)],
      ["frame", to(TEXT_FRAME)],
      ["right", having(W)],
      ["right", having(0, NX)],
      ["right", having(0x10)],
    ] as const
  ).map(([what, next]): Planted => [
    "C8",
    `another ${what} in a user half`,
    () => change(R1 + 1, TEXT, 2, next),
    `${hex(TEXT)} of node 1: the user half maps it with another ${what} than the kernel's half`,
  ]),
  [
    "C8",
    "a global small page of one that is large",
    () => {
      const small = table();
      change(R1 + 1, TEXT, 2, () => [(small << 12) | 0x63, 0]);
      change(R1 + 1, TEXT, 1, () => [(frameAt(R1, TEXT) << 12) | 0x161, 0]);
    },
    `${hex(TEXT)} of node 1: the user half maps it with another size than the kernel's half`,
  ],
];
silentUntilPlanted(PROTECTED);
