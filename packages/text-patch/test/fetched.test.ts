/**
 * CPUs that keep the instructions they have fetched, while text is patched: with every synchronisation of the protocol
 * they execute the old code, the trap or the new code; without any one of them, torn code or a trap nobody answers for.
 * Looked for in what is executed; nothing here counts synchronisations to judge.
 */
import { bytesAt } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { branch32, CALL, type Emulation, type InsnPages, JMP32, Kprobes, nops } from "../src/api.js";
import { placeCode, startCpus } from "./cpus.js";
import { Explorer, wrong } from "./fetched.js";
import { makeKernel, type PatchKernel, TEXT } from "./kernel.js";

/**
 * `inc rax`, then the site with its first byte in one window of 16 bytes and its tail in the next, then a jump back.
 */
const LOOP = TEXT + 0x4cn;
const SITE = LOOP + 3n;
const LEAF = TEXT + 0x3000n;
const FORMS = {
  nop: nops(5),
  call: branch32(CALL, SITE, LEAF),
  jump: branch32(JMP32, SITE, LEAF + 0x100n),
};

/** @param lost number of the synchronisation, from 0, whose interrupts reach nobody; -1 for none */
function losing(kernel: PatchKernel, lost: number): { sent: number } {
  const interrupt = kernel.machine.interrupt.bind(kernel.machine);
  const count = { sent: 0 };
  kernel.machine.interrupt = (from, to) => {
    if (count.sent++ !== lost) interrupt(from, to);
  };
  return count;
}

function loopWith(holders: readonly number[], instruction: Uint8Array): PatchKernel {
  const kernel = makeKernel(holders);
  placeCode(kernel, LOOP, Uint8Array.of(0x48, 0xff, 0xc0, ...instruction, ...branch32(JMP32, SITE + 5n, LOOP)));
  placeCode(kernel, LEAF, Uint8Array.of(0x48, 0xff, 0xc1, 0xc3));
  placeCode(kernel, LEAF + 0x100n, branch32(JMP32, LEAF + 0x100n, SITE + 5n));
  return kernel;
}

/** What CPU 1 executes at the site during a batch, and afterwards. */
function batch(from: keyof typeof FORMS, to: keyof typeof FORMS, lost: number, holders: readonly number[] = [0, 1]) {
  const kernel = loopWith(holders, FORMS[from]);
  const count = losing(kernel, lost);
  const [cpu] = startCpus(kernel, [1], (address) => kernel.poke.breakpoint(address), true);
  kernel.cpus.current = 0;
  const explorer = new Explorer(kernel, cpu!, SITE, { old: FORMS[from], new: FORMS[to] }, LOOP);
  for (const _ of kernel.poke.batchSteps([{ address: SITE, bytes: FORMS[to] }])) explorer.explore();
  const during = explorer.take();
  explorer.explore();
  expect(count.sent).toBe(3);
  expect(explorer.states).toBeGreaterThan(100);
  return { during, after: explorer.take() };
}

const PAIRS = [
  ["nop", "call"],
  ["jump", "call"],
] as const;

describe.each(PAIRS)("a batch turns a %s into a %s", (from, to) => {
  test.each([[[0]], [[0, 1]]])("holders %j: with its synchronisations nothing torn is executed", (holders) => {
    expect(batch(from, to, -1, holders)).toEqual({ during: ["new", "old", "trap"], after: ["new"] });
  });

  test("without the one behind the INT3 the old first byte is executed with a tail that is written already", () => {
    const { during } = batch(from, to, 0);
    expect(wrong(during)).not.toEqual([]);
    const first = FORMS[from][0]!.toString(16).padStart(2, "0");
    for (const each of wrong(during)) expect(each.slice(5, 7)).toBe(first);
  });

  test("without the one behind the tail the new first byte is executed with the old tail", () => {
    const { during } = batch(from, to, 1);
    expect(wrong(during)).not.toEqual([]);
    const first = FORMS[to][0]!.toString(16).padStart(2, "0");
    for (const each of wrong(during)) expect(each.slice(5, 7)).toBe(first);
  });

  test("without the last a trap is executed that memory holds no longer, and nobody answers for it", () => {
    const { during, after } = batch(from, to, 2);
    expect(wrong(during)).toEqual([]);
    expect(after).toEqual(["met an INT3 that no patch answers for", "new", "trap"]);
  });
});

describe("probes", () => {
  const ORIGINAL = Uint8Array.of(0xb8, 0x11, 0x22, 0x33, 0x44);
  const DETOUR = TEXT + 0x2000n;

  /** A probe armed, optimised, unoptimised and disarmed while CPU 1 executes. @param lost as in {@link losing} */
  function life(lost: number): Record<string, string[]> {
    const kernel = loopWith([0, 1], ORIGINAL);
    const { poke } = kernel;
    const slots = (at: bigint): InsnPages =>
      ({
        slotBytes: 128,
        take: () => at,
        write: (address: bigint, bytes: Uint8Array) => placeCode(kernel, address, bytes),
        give: () => undefined,
      }) as unknown as InsnPages;
    const probes = new Kprobes(poke, slots(TEXT + 0x1000n), slots(DETOUR));
    const answer = (site: bigint): Emulation | undefined => {
      const patch = poke.breakpoint(site);
      if (patch) return patch;
      const action = probes.hit(site);
      return action && action.kind !== "emulate" ? { kind: "jump", to: action.slot } : undefined;
    };
    const count = losing(kernel, lost);
    const [cpu] = startCpus(kernel, [1], answer, true);
    kernel.cpus.current = 0;
    const forms = { original: ORIGINAL, jump: branch32(JMP32, SITE, DETOUR) };
    const explorer = new Explorer(kernel, cpu!, SITE, forms, LOOP);
    poke.poke = (address, bytes) => {
      for (const _ of poke.pokeSteps(address, bytes)) explorer.explore();
    };
    poke.batch = (items) => {
      for (const _ of poke.batchSteps(items)) explorer.explore();
    };
    const synchronise = poke.synchronise.bind(poke);
    poke.synchronise = () => {
      synchronise();
      explorer.explore();
    };
    const seen: Record<string, string[]> = {};
    const note = (step: string, work: () => void): void => {
      explorer.take();
      work();
      seen[step] = explorer.take();
      explorer.explore();
      seen[`${step}, done`] = explorer.take();
    };
    note("armed", () => probes.arm(SITE));
    note("optimised", () => probes.optimise(SITE, new Uint8Array(), LOOP, 13));
    note("unoptimised", () => probes.unoptimise(SITE));
    note("disarmed", () => probes.disarm(SITE));
    expect(count.sent).toBe(7);
    expect(poke.read(bytesAt(SITE, 5))).toEqual(ORIGINAL);
    return seen;
  }
  const anything = (seen: Record<string, string[]>): readonly string[] => wrong(Object.values(seen).flat());

  test("with their synchronisations nothing torn is executed, and what is done holds", () => {
    const seen = life(-1);
    expect(anything(seen)).toEqual([]);
    expect(seen["armed, done"]).toEqual(["trap"]);
    expect(seen["optimised, done"]).toEqual(["jump"]);
    expect(seen["unoptimised, done"]).toEqual(["trap"]);
    expect(seen["disarmed, done"]).toEqual(["original"]);
  });

  test("armed without one: the original is executed although the probe is armed", () => {
    expect(life(0)["armed, done"]).toContain("original");
  });

  test("optimised without the one behind the INT3: that has been everywhere since the probe was armed", () => {
    expect(anything(life(1))).toEqual([]);
  });

  test("optimised without the one behind the tail: torn", () => {
    expect(wrong(life(2)["optimised"]!).join()).toMatch(/^torn e9/);
  });

  test("unoptimised without the one behind its INT3: torn", () => {
    const seen = life(4);
    expect(wrong(seen["unoptimised"]!)).not.toEqual([]);
  });

  test("unoptimised without the one behind its tail: torn when the original comes back", () => {
    const seen = life(5);
    expect(wrong(seen["unoptimised"]!)).toEqual([]);
    expect(wrong(seen["disarmed"]!).join()).toMatch(/^torn b8/);
  });

  test("disarmed without one: a trap that nobody answers for", () => {
    expect(life(6)["disarmed, done"]).toContain("met an INT3 that no patch answers for");
  });
});
