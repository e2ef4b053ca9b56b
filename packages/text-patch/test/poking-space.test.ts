/** The poking alias as tables of their own: what happens to the process below while a CPU is on them. */
import type { CpuId } from "@kreplica/hw-x86";
import { type AddressSpace, PGD_ORDER } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import { makeKernel, type PatchKernel, TEXT } from "./kernel.js";

const AT = 0x1000_0000n;
const PAGES = 40;
/** Crosses a line, so that a CPU is on the alias for several steps. */
const SITE = TEXT + 0x3dn;
const NEW = Uint8Array.of(0xe8, 1, 0, 0, 0);
const POKING: CpuId = 2;

function withProcess(holders: readonly number[]): PatchKernel & { space: AddressSpace } {
  const kernel = makeKernel(holders);
  const space = kernel.spaces.create(0)!;
  for (let page = 0; page < PAGES; page++) {
    space.set(
      AT + BigInt(page) * 4096n,
      {
        frame: kernel.frame(holders[0]!, 32 + page),
        level: 1,
        present: true,
        writable: true,
        executable: false,
        global: false,
        user: true,
        cache: "wb",
      },
      0,
    );
  }
  for (const cpu of [0, POKING]) kernel.switcher.switchTo(cpu, space);
  kernel.cpus.current = POKING;
  return { ...kernel, space };
}

/**
 * Steps of a batch on one process after the other, with something in the middle of the n-th, until there is no n-th.
 */
function atEveryStep(
  holders: readonly number[],
  meanwhile: (kernel: ReturnType<typeof withProcess>) => void,
  after: (kernel: ReturnType<typeof withProcess>, away: boolean) => void,
): number {
  let met = 0;
  for (let nth = 1; ; nth++) {
    const kernel = withProcess(holders);
    const core = kernel.machine.cpu(POKING);
    let steps = 0;
    let away = false;
    for (const _ of kernel.poke.batchSteps([{ address: SITE, bytes: NEW }])) {
      if (++steps !== nth) continue;
      away = kernel.switcher.temporary(POKING) !== undefined;
      const root = core.rootFrame;
      meanwhile(kernel);
      if (away) expect(core.rootFrame).toBe(root);
      met += Number(away);
    }
    for (const node of holders) expect(kernel.bytes(node, SITE, 5)).toEqual(NEW);
    expect(kernel.switcher.temporary(POKING)).toBeUndefined();
    after(kernel, away);
    if (steps < nth) return met;
  }
}

describe.each([[[0]], [[0, 1]], [[1, 3]]])("holders %j", (holders) => {
  test.each([1, PAGES])(
    "a flush of %i pages of the process below leaves the alias loaded, and is made up afterwards",
    (pages) => {
      const met = atEveryStep(
        holders,
        ({ space, switcher }) => {
          for (let page = 0; page < pages; page++) space.clear(AT + BigInt(page) * 4096n);
          switcher.flush(space, { start: AT, pages }, true, 0);
        },
        ({ space, machine, switcher }, away) => {
          expect(machine.cpu(POKING).rootFrame).toBe(space.pgd(2));
          if (!away) return;
          switcher.enterUser(POKING);
          expect(machine.cpu(POKING).load(Number(AT), 0)).not.toBe(0);
        },
      );
      // A step a byte, in each copy.
      expect(met).toBe(6 * holders.length);
    },
  );

  test("the process below ends: its PGD stays until the CPU is back, on init_mm", () => {
    const met = atEveryStep(
      holders,
      ({ space, switcher, allocator }) => {
        const away = switcher.temporary(POKING) !== undefined;
        const pgd = space.pgd(2);
        switcher.forget(space);
        space.free();
        expect(allocator.owns(pgd, PGD_ORDER)).toBe(away);
      },
      ({ machine, view, spaces }) => {
        if (spaces.all.size === 0) expect(machine.cpu(POKING).rootFrame).toBe(view.kernelRoot(2));
      },
    );
    // A step a byte, in each copy.
    expect(met).toBe(6 * holders.length);
  });
});

test("a poke from user mode goes back to user mode", () => {
  const kernel = withProcess([0, 1]);
  const core = kernel.machine.cpu(POKING);
  kernel.switcher.enterUser(POKING);
  const { cr3 } = core;
  kernel.poke.poke(TEXT, Uint8Array.of(0x90));
  expect([core.cr3, core.privilege]).toEqual([cr3, 3]);
});

test("what all share of the alias lies where it is made, a holder's root on the holder", () => {
  const kernel = makeKernel([0, 1]);
  kernel.cpus.current = 3;
  const before = kernel.machine.nodes.map((node) => kernel.allocator.usedFrames(node, "page-table"));
  void kernel.poke.pokingSpace;
  expect(kernel.machine.nodes.map((node, i) => kernel.allocator.usedFrames(node, "page-table") - before[i]!)).toEqual([
    1, 1, 0, 3,
  ]);
});
