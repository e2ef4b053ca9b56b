/**
 * Text that goes while somebody keeps addresses of it: disarmed without a write, or refused; afterwards nobody writes
 * there any more.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { MmError } from "@kreplica/mm-core/api";
import { describe, expect, test } from "vitest";
import {
  branch32,
  CALL,
  DebuggerBreakpoints,
  Ftrace,
  JMP32,
  JumpLabels,
  Kprobes,
  Livepatch,
  nops,
  plainPatchState,
  StaticCalls,
  TextPatchError,
} from "../src/api.js";
import { areasOn } from "./areas.js";
import { placeCode } from "./cpus.js";
import { makeKernel, TEXT } from "./kernel.js";

const PAGE = 0x1000n;
/** Text that goes, and text that stays. */
const GONE = TEXT + PAGE,
  STAYS = TEXT;
const RANGE = [{ start: GONE, end: GONE + PAGE }];
const code = (run: () => unknown): string => {
  try {
    run();
    return "done";
  } catch (error) {
    return error instanceof TextPatchError || error instanceof MmError ? error.code : (error as Error).message;
  }
};

function start() {
  const kernel = makeKernel([0, 1, 3]);
  const { areas, pages } = areasOn(kernel);
  for (const at of [GONE, STAYS])
    placeCode(
      kernel,
      at + 0x40n,
      Uint8Array.of(...nops(5), 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc1, 0x48, 0xff, 0xc2, 0xc3),
    );
  const goes = (): string =>
    code(() => {
      kernel.textUsers.release(RANGE);
    });
  const bytes = (): Uint8Array => kernel.poke.read(bytesAt(GONE, 0x100));
  return { kernel, poke: kernel.poke, areas, pages, goes, bytes };
}
type Kernel = ReturnType<typeof start>;
const sitesOf = ({ kernel }: Kernel): bigint[] =>
  [...kernel.textUsers.all].flatMap((user) => [...user.sites()]).filter((site) => site >= GONE && site < GONE + PAGE);
/** What is under way when text is to go: one byte of a site that stays has been written. */
function during(kernel: Kernel, work: () => void): void {
  const steps = kernel.poke.batchSteps([{ address: STAYS + 0x80n, bytes: nops(5) }]);
  steps.next();
  work();
  for (const _ of steps);
}

describe("kprobes", () => {
  test("are gone with the text, their slots and detours free; what was there is not written", () => {
    const kernel = start();
    const slots = kernel.pages(32),
      detours = kernel.pages(128);
    let graces = 0;
    const probes = new Kprobes(kernel.poke, slots, detours, () => {
      graces++;
    });
    const site = GONE + 0x45n;
    probes.arm(site);
    probes.optimise(site, new Uint8Array(), GONE + 0x40n, 15);
    probes.arm(STAYS + 0x45n);
    const before = kernel.bytes();
    expect(sitesOf(kernel)).toEqual([site]);
    const waited = graces;
    expect(kernel.goes()).toBe("done");
    expect(sitesOf(kernel)).toEqual([]);
    expect(kernel.bytes()).toEqual(before);
    expect([graces - waited, detours.areas.length, slots.areas.length]).toEqual([1, 0, 1]);
    expect([
      code(() => {
        probes.disarm(site);
      }),
      probes.hit(site),
    ]).toEqual(["no-site", undefined]);
    // The other lives on.
    probes.disarm(STAYS + 0x45n);
    expect(slots.areas.length).toBe(0);
  });

  test("an optimised probe before the border, whose jump reaches in, goes too", () => {
    const kernel = start();
    const probes = new Kprobes(kernel.poke, kernel.pages(32), kernel.pages(128));
    placeCode(kernel.kernel, GONE - 4n, Uint8Array.of(0x48, 0xff, 0xc0, 0x48, 0xff, 0xc1, 0xc3));
    probes.arm(GONE - 4n);
    probes.optimise(GONE - 4n, new Uint8Array(), GONE - 4n, 7);
    expect(kernel.goes()).toBe("done");
    expect(probes.hit(GONE - 4n)).toBeUndefined();
  });

  test("cannot give slots back while a patch is under way elsewhere: refused, then done", () => {
    const kernel = start();
    const probes = new Kprobes(kernel.poke, kernel.pages(32), kernel.pages(128));
    probes.arm(GONE + 0x45n);
    during(kernel, () => {
      expect(kernel.goes()).toBe("text-in-use");
      expect(probes.hit(GONE + 0x45n)).toBeDefined();
    });
    expect(kernel.goes()).toBe("done");
  });
});

test("a patch under way, or gathered, keeps its text; one elsewhere does not", () => {
  const kernel = start();
  const steps = kernel.poke.batchSteps([{ address: GONE - 2n, bytes: nops(5) }]);
  steps.next();
  expect(kernel.goes()).toBe("text-in-use");
  for (const _ of steps) if (kernel.poke.underWay.length > 0) expect(kernel.goes()).toBe("text-in-use");
  expect(kernel.goes()).toBe("done");
  during(kernel, () => {
    expect(kernel.goes()).toBe("done");
  });
  const single = kernel.poke.pokeSteps(GONE + 0x10n, Uint8Array.of(0x90));
  single.next();
  expect(kernel.goes()).toBe("text-in-use");
  for (const _ of single);
  kernel.poke.queue({ address: GONE + 0x80n, bytes: nops(5) });
  expect(kernel.goes()).toBe("text-in-use");
  kernel.poke.finish();
  expect(kernel.goes()).toBe("done");
});

test("where one refuses, nobody has forgotten anything", () => {
  const kernel = start();
  const points = new DebuggerBreakpoints(kernel.poke);
  points.set(GONE + 0x50n);
  kernel.poke.queue({ address: GONE + 0x80n, bytes: nops(5) });
  expect(kernel.goes()).toBe("text-in-use");
  expect(sitesOf(kernel).sort()).toEqual([GONE + 0x50n, GONE + 0x80n].sort());
  kernel.poke.finish();
  points.remove(GONE + 0x50n);
});

test("traced functions, live-patched ones, static keys and calls, and breakpoints go with the text, unwritten", () => {
  const kernel = start();
  const { poke } = kernel;
  const [site, other] = [GONE + 0x40n, STAYS + 0x40n];
  const slots = kernel.pages(64);
  const ftrace = new Ftrace(poke, slots, [site, other]);
  const patches = new Livepatch(ftrace);
  patches.apply(site, STAYS + 0x80n);
  patches.apply(other, STAYS + 0x80n);
  const key = 0x1230n,
    gonesKey = GONE + 0x800n;
  placeCode(kernel.kernel, GONE + 0xc0n, nops(5));
  placeCode(kernel.kernel, STAYS + 0xc0n, nops(5));
  const label = (address: bigint, of: bigint) => ({
    address,
    target: address + 5n,
    key: of,
    branch: false,
    init: false,
  });
  const labels = new JumpLabels(
    poke,
    [label(GONE + 0xc0n, key), label(STAYS + 0xc0n, key), label(GONE + 0xd0n, gonesKey)],
    () => 0,
  );
  placeCode(kernel.kernel, GONE + 0xe0n, branch32(CALL, GONE + 0xe0n, STAYS + 0x80n));
  const calls = new StaticCalls(
    poke,
    [{ address: GONE + 0xe0n, key: 0x77n, tail: false, init: false }],
    [],
    plainPatchState,
  );
  const points = new DebuggerBreakpoints(poke);
  points.set(GONE + 0x50n);
  const before = kernel.bytes();
  expect(kernel.goes()).toBe("done");
  expect(sitesOf(kernel)).toEqual([]);
  expect(kernel.bytes()).toEqual(before);
  labels.increment(key);
  expect(kernel.bytes()).toEqual(before);
  expect([...poke.read(bytesAt(STAYS + 0xc0n, 1))]).toEqual([0xe9]);
  expect(
    [
      () => ftrace.enable([site], 0n),
      () => patches.revert(site),
      () => labels.increment(gonesKey),
      () => calls.update(0x77n, STAYS),
      () => points.remove(GONE + 0x50n),
    ].map(code),
  ).toEqual(["no-site", "no-site", "no-site", "no-site", "no-site"]);
  patches.revert(other);
  // The trampoline of the function that went was given back.
  expect(slots.areas.length).toBe(0);
});

test("whoever leads CPUs from text that stays into text that goes refuses: a live patch, a static call, until they lead elsewhere", () => {
  const kernel = start();
  const ftrace = new Ftrace(kernel.poke, kernel.pages(64), [STAYS + 0x40n]);
  const patches = new Livepatch(ftrace);
  patches.apply(STAYS + 0x40n, GONE + 0x80n);
  expect(kernel.goes()).toBe("text-in-use");
  patches.revert(STAYS + 0x40n);
  expect(kernel.goes()).toBe("done");
  const trampoline = STAYS + 0xe0n;
  placeCode(kernel.kernel, trampoline, branch32(JMP32, trampoline, STAYS));
  const calls = new StaticCalls(kernel.poke, [], [{ address: trampoline, key: 0x77n }], plainPatchState);
  calls.update(0x77n, GONE + 0x80n);
  expect(kernel.goes()).toBe("text-in-use");
  calls.update(0x77n, 0n);
  expect(kernel.goes()).toBe("done");
});

test("an area whose code is patched is not freed: nothing has changed, and afterwards it goes", () => {
  const kernel = start();
  const slots = kernel.pages(64);
  const slot = slots.take();
  const [area] = slots.areas;
  const steps = kernel.poke.pokeSteps(slot, Uint8Array.of(0x90));
  steps.next();
  expect(
    code(() => {
      kernel.areas.free(area!);
    }),
  ).toBe("text-in-use");
  expect(kernel.areas.find(slot)).toBe(area);
  for (const _ of steps);
  kernel.areas.free(area!);
  expect(kernel.areas.find(slot)).toBeUndefined();
});
