/** C9 on tables in which one encryption bit is wrong, in either half, or what the host was told. */
import { hex, LARGE, PAGE } from "@kreplica/hw-x86/api";
import { imageAddress, SHARED_HIGH } from "@kreplica/mm-core/api";
import { afterEach, expect, test } from "vitest";
import { type CheckedKernel, checkInvariants } from "../src/index.js";
import { twoHolders } from "./two-holders.js";

const sound = twoHolders({ encryptionBit: 47 });
const { layout, image, entries, allocator, machine } = sound;
const [R0, R1] = [0, 1].map((node) => sound.view.kernelRoot(node)) as [number, number];
const TEXT = imageAddress(layout, image.stext);
const shared = new Set<number>();
const cr3 = machine.cpuIds.map((cpu) => machine.cpu(cpu).cr3);

const said = (more: Partial<CheckedKernel> = {}): string[] =>
  checkInvariants({ ...sound, sharedMemory: { frames: shared }, ...more }, ["C9"]).violated.map(({ detail }) => detail);
const open = (lo: number, hi: number): [number, number] => [lo, hi | SHARED_HIGH];

afterEach(() => {
  sound.undo();
  shared.clear();
  machine.cpuIds.forEach((cpu, at) => {
    machine.cpu(cpu).writeCr3(cr3[at]!);
  });
  expect(said()).toEqual([]);
});

test("it is not reached where the machine has no such bit", () => {
  expect(checkInvariants(twoHolders({ pti: false }), ["C9"]).notReached).toEqual(["C9"]);
  expect(checkInvariants(sound, ["C9"]).checked).toEqual(["C9"]);
});

test.each([
  ["the kernel's", 0],
  ["the user", 1],
])("a leaf and a pointer of %s half of one holder", (_which, half) => {
  sound.change(R1 + half, TEXT, 2, open);
  expect(said()).toEqual([
    expect.stringMatching(
      new RegExp(
        `^${half ? "the user half of " : ""}node 1: the level-2 leaf at ${hex(TEXT)} has the encryption bit clear, and of frames \\d+ to \\d+ none is shared$`,
      ),
    ),
  ]);
  sound.undo();
  sound.change(R1 + half, TEXT, 3, open);
  expect(said()).toEqual([
    expect.stringMatching(/the level-3 entry at \S+ leads to table \d+ without the encryption bit$/),
  ]);
});

test("a page of a process, and the table that leads there", () => {
  const pgd = [...sound.spaces.all][0]!.pgd(1);
  sound.change(pgd, 0x1000n, 1, open);
  expect(said()).toEqual([
    expect.stringMatching(/^space 1 on node \d: the level-1 leaf at 0x1000 has the encryption bit clear, and of frame/),
  ]);
  sound.undo();
  sound.change(pgd + 1, 0x1000n, 4, open);
  expect(said()).toEqual([
    expect.stringMatching(/^the user half of space 1 on node 1: the level-4 entry at 0x0 leads to table \d+ without/),
  ]);
});

test("CR3, of a CPU that is on line", () => {
  machine.cpu(3).writeCr3(BigInt(R1) << 12n);
  expect(said()).toEqual(["CR3 of CPU 3 has no encryption bit"]);
});

test("a frame that is shared is so by every address, alone and free of others", () => {
  const frame = allocator.allocate(1, 9, { purpose: "data" });
  shared.add(frame);
  // Its view in the direct map is of 2 MiB, whose other frames are private.
  expect(said()).toEqual([expect.stringMatching(/has the encryption bit set, and of frames \d+ to \d+ 1 is shared/)]);
  allocator.free(frame, 9);
  expect(said()).toEqual([`frame ${frame} is free, and shared still (and 1 more)`]);
});

test("devices, behind which no memory is", () => {
  const controllers: bigint[] = [];
  for (let address = layout.fixmapStart; address < layout.fixmapStart + 4n * LARGE; address += PAGE)
    if ([0xfec00, 0xfee00].includes(sound.kernel.tables.lookup(0, address)?.frame ?? 0)) controllers.push(address);
  expect(controllers).toHaveLength(2);
  sound.change(R0, controllers[0]!, 1, (lo, hi) => [lo, hi & ~SHARED_HIGH]);
  expect(said()).toEqual([expect.stringMatching(/has the encryption bit set, and no memory is behind frame 1043456/)]);
});

test("the firmware's root", () => {
  const root = allocator.allocate(0, 1, { purpose: "page-table", zero: true });
  entries.copy(R0, root, 0, 512);
  expect(said({ otherRoots: [{ name: "EFI's root", root }] })).toEqual([]);
  entries.write(root, 0, ((R1 << 12) | 0x63) >>> 0, SHARED_HIGH);
  expect(said({ otherRoots: [{ name: "EFI's root", root }] })).toEqual([
    `EFI's root: the level-4 entry at 0x0 leads to table ${R1} without the encryption bit`,
  ]);
  allocator.free(root, 1);
});
