/**
 * CPUs of several nodes execute a site while it is patched. Small cases: every interleaving of single instructions and
 * stored bytes; large ones: random schedules. Each passage of the site must be the old code, the trap, or the new code.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { branch32, CALL, JMP32, nops, type PokeItem } from "../src/api.js";
import { placeCode, type Position, type RunningCpu, startCpus } from "./cpus.js";
import { makeKernel, type PatchKernel, TEXT } from "./kernel.js";

const LEAF = TEXT + 0x3000n;
const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** `site; inc rax; jmp site`, a leaf `inc rcx; ret`, and somewhere to jump to that comes back behind the site. */
function placeLoop(kernel: PatchKernel, site: bigint, bytes: Uint8Array): void {
  const end = site + BigInt(bytes.length);
  placeCode(kernel, site, Uint8Array.of(...bytes, 0x48, 0xff, 0xc0, ...branch32(JMP32, end + 3n, site)));
  placeCode(kernel, LEAF, Uint8Array.of(0x48, 0xff, 0xc1, 0xc3));
  placeCode(kernel, LEAF + 0x100n, Uint8Array.of(0x48, 0xff, 0xc2, ...branch32(JMP32, LEAF + 0x103n, end)));
}

/** What a site may hold: they lead back to the loop. */
const FORMS = {
  nop: () => nops(5),
  call: (site: bigint) => branch32(CALL, site, LEAF),
  jump: (site: bigint) => branch32(JMP32, site, LEAF + 0x100n),
} as const;
type Form = keyof typeof FORMS;

/** Checks that what the CPU is about to execute at the site is one of the two instructions, or the trap. */
function passage(
  kernel: PatchKernel,
  cpu: RunningCpu,
  site: bigint,
  old: Uint8Array,
  next: Uint8Array,
): "old" | "trap" | "new" {
  const bytes = kernel.bytes(kernel.view.nearest(cpu.node), site, old.length);
  if (bytes[0] === 0xcc) return "trap";
  if (equal(bytes, next)) return "new";
  if (equal(bytes, old)) return "old";
  throw new Error(`CPU ${cpu.id} executes ${Buffer.from(bytes).toString("hex")}, neither old nor new`);
}

describe.each([
  ["inside a page", TEXT + 0x40n],
  ["across a page", TEXT + 0xffdn],
])("a site %s", (_where, site) => {
  test.each([[[0]], [[0, 1]], [[1, 3]]])("holders %j: every interleaving is old, trap or new", (holders) => {
    for (const [from, to] of [
      ["nop", "call"],
      ["call", "nop"],
      ["nop", "jump"],
      ["jump", "call"],
    ] as readonly (readonly [Form, Form])[]) {
      const kernel = makeKernel(holders);
      const old = FORMS[from](site);
      const next = FORMS[to](site);
      placeLoop(kernel, site, old);
      const cpus = startCpus(kernel, [0, 1, 2, 3], (address) => kernel.poke.breakpoint(address));
      // The CPU that patches cannot be interrupted while it does: three run, any of the four patches.
      kernel.cpus.current = 3;
      const running = cpus.filter(({ id }) => id !== 3);
      /**
       * Positions a CPU can be in, with the newest code it has passed: CPUs meet only through the text, so each one's
       * are all there is to explore.
       */
      const reach = running.map((cpu): Map<string, { position: Position; newest: number }> => {
        const start = { position: { rip: site, rsp: cpu.stack, stack: [], held: [] }, newest: 0 };
        return new Map([[key(start), start]]);
      });
      const outcomes = new Set<string>();
      let phases = 0;
      let states = 0;
      const explore = (): void =>
        running.forEach((cpu, i) => {
          const open = [...reach[i]!.values()];
          for (let at = open.pop(); at; at = open.pop()) {
            cpu.position = at.position;
            let { newest } = at;
            if (at.position.rip === site) {
              const seen = passage(kernel, cpu, site, old, next);
              outcomes.add(seen);
              // Whoever ran the new code never runs the old again.
              if (seen === "old") expect(newest).toBe(0);
              if (seen === "new") newest = 1;
            } else expect(at.position.rip > site && at.position.rip < site + BigInt(old.length)).toBe(false);
            cpu.step();
            states++;
            const then = { position: cpu.position, newest };
            if (reach[i]!.has(key(then))) continue;
            reach[i]!.set(key(then), then);
            open.push(then);
          }
        });
      explore();
      for (const step of kernel.poke.batchSteps([{ address: site, bytes: next }])) {
        explore();
        if (!step.synchronised) continue;
        phases++;
        // The synchronisation waits until every CPU has left its handler: none is in it afterwards.
        running.forEach((_, i) => {
          for (const [name, { position }] of reach[i]!) {
            running[i]!.position = position;
            if (running[i]!.trapped) reach[i]!.delete(name);
          }
        });
      }
      explore();
      expect(phases).toBe(3);
      expect([...outcomes].sort()).toEqual(["new", "old", "trap"]);
      expect(states).toBeGreaterThan(200);
    }
  });
});

const key = ({ position, newest }: { position: Position; newest: number }): string =>
  `${position.rip}/${position.stack.join(",")}/${newest}`;

test("random schedules: four CPUs on three nodes, batches of sites, hundreds of rounds", () => {
  let traps = 0;
  const sites = Array.from({ length: 8 }, (_, i) => TEXT + 0xfc0n + BigInt(i) * 11n);
  const round = fc.record({
    forms: fc.array(fc.constantFrom<Form>("nop", "call", "jump"), { minLength: 8, maxLength: 8 }),
    chosen: fc.array(fc.nat(7), { minLength: 1, maxLength: 8 }),
    poker: fc.nat(3),
    schedule: fc.array(fc.nat(3), { minLength: 1, maxLength: 60, size: "max" }),
  });
  fc.assert(
    fc.property(fc.array(round, { minLength: 1, maxLength: 6, size: "max" }), (rounds) => {
      const kernel = makeKernel([0, 1, 3]);
      // One loop over all sites; a jump would leave it, so here it goes to the next instruction.
      const now = sites.map((): Form => "nop");
      const bytesOf = (form: Form, site: bigint): Uint8Array =>
        form === "jump" ? branch32(JMP32, site, site + 5n) : FORMS[form](site);
      sites.forEach((site) => placeCode(kernel, site, Uint8Array.of(...nops(5), 0x48, 0xff, 0xc0, 0x66, 0x90, 0x90)));
      const last = sites[7]! + 11n;
      placeCode(kernel, last, branch32(JMP32, last, sites[0]!));
      placeCode(kernel, LEAF, Uint8Array.of(0x48, 0xff, 0xc1, 0xc3));
      const cpus = startCpus(kernel, [0, 1, 2, 3], (address) => kernel.poke.breakpoint(address));
      for (const cpu of cpus) cpu.goTo(sites[0]!, cpu.stack);
      for (const { forms, chosen, poker, schedule } of rounds) {
        const picked = [...new Set(chosen)].sort((a, b) => a - b);
        const items: PokeItem[] = picked.map((i) => ({ address: sites[i]!, bytes: bytesOf(forms[i]!, sites[i]!) }));
        const before = sites.map((site, i) => bytesOf(now[i]!, site));
        picked.forEach((i) => {
          now[i] = forms[i]!;
        });
        const after = sites.map((site, i) => bytesOf(now[i]!, site));
        kernel.cpus.current = poker;
        // Whoever patches has left its loop: out of a handler it may be in.
        if (cpus[poker]!.trapped) cpus[poker]!.step();
        let turn = 0;
        const run = (steps: number): void => {
          for (let k = 0; k < steps; k++) {
            const cpu = cpus[schedule[turn++ % schedule.length]!]!;
            if (cpu.id === poker) continue;
            const at = sites.indexOf(cpu.position.rip);
            if (at >= 0) passage(kernel, cpu, sites[at]!, before[at]!, after[at]!);
            cpu.step();
            if (cpu.trapped) traps++;
          }
        };
        for (const step of kernel.poke.batchSteps(items)) {
          run(1 + (turn % 5));
          if (step.synchronised) for (const cpu of cpus) if (cpu.trapped) cpu.step();
        }
        for (const [i, site] of sites.entries()) kernel.poke.verify(site, after[i]!);
        run(20);
      }
      // Each CPU is in its loop or the leaf, with its stack as deep as that needs.
      for (const cpu of cpus) {
        while (cpu.position.rip !== sites[0]!) cpu.step();
        expect(cpu.position.rsp).toBe(cpu.stack);
      }
    }),
    { numRuns: 20 },
  );
  // The schedules did meet the INT3.
  expect(traps).toBeGreaterThan(10);
});

describe("what would go wrong otherwise is seen", () => {
  const broken =
    (mutate: (kernel: PatchKernel) => void): (() => void) =>
    () => {
      const kernel = makeKernel([0, 1]);
      const site = TEXT + 0x40n;
      placeLoop(kernel, site, nops(5));
      mutate(kernel);
      const [cpu] = startCpus(kernel, [1], (address) => kernel.poke.breakpoint(address));
      kernel.cpus.current = 0;
      const next = FORMS.call(site);
      for (const _ of kernel.poke.pokeSteps(site, next)) {
        cpu!.goTo(site, cpu!.stack);
        passage(kernel, cpu!, site, nops(5), next);
      }
    };
  test("writing five bytes without the INT3 lets a CPU run a mix", () => {
    expect(broken(() => undefined)).toThrow(/neither old nor new/);
  });
  test("an INT3 written by nobody's batch is not answered for", () => {
    const kernel = makeKernel([0, 1]);
    placeLoop(kernel, TEXT, Uint8Array.of(0xcc, ...nops(4)));
    const [cpu] = startCpus(kernel, [1], (address) => kernel.poke.breakpoint(address));
    cpu!.goTo(TEXT, cpu!.stack);
    cpu!.step();
    expect(cpu!.trapped).toBe(true);
    expect(() => cpu!.step()).toThrow(/no patch answers/);
  });
});
