/**
 * Executing CPUs of the check keep what they have fetched: each synchronisation of the INT3 protocol that is left out
 * comes to torn code, or to bytes that text holds no longer.
 */
import { type Binding, overlay } from "@kreplica/di";
import { Machine } from "@kreplica/hw-x86";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { TextPoke } from "@kreplica/text-patch";
import { expect, test } from "vitest";
import { failureOf } from "../src/campaign.js";
import { patchingFamily } from "../src/families/patching.js";

/** As the class has it: private, and what a fault leaves out. */
interface Synchronising {
  sync(phase: string): Generator<unknown, void>;
}
const without = (phase: string): Binding =>
  overlay(TextPoke, (poke) => {
    const inside = poke as unknown as Synchronising;
    const sync = inside.sync.bind(inside);
    inside.sync = function* (which) {
      if (which !== phase) yield* sync(which);
    };
    return poke;
  });
/** One CPU hears of it, whoever else is to. */
const firstOnly = overlay(Machine, (machine) => {
  const interrupt = machine.interrupt.bind(machine);
  machine.interrupt = (from, to) => {
    interrupt(from, to.slice(0, 1));
  };
  return machine;
});

/**
 * What patching comes to: static calls aimed in turn by every CPU, one of which stands still in two patches of three.
 */
function outcome(overlays: readonly Binding[]): string | undefined {
  const operations = Array.from({ length: 36 }, (_, i) => ({
    op: "patch",
    change: "static-call",
    nth: i % 3,
    cpu: (i >> 1) % 4,
  }));
  const kernel = {
    spec: smallMachine(2),
    policy: "per-node",
    image: smallImage(),
    defects: [{ id: "fewer synchronisations", overlays }],
  };
  return failureOf(kernel, operations, "off", [patchingFamily])?.message;
}

test("nothing stale is executed where every synchronisation is there", () => {
  expect(outcome([])).toBeUndefined();
});

const TORN = /^P4: CPU \d executes [0-9a-f]{10} at 0x[0-9a-f]+, neither [0-9a-f]{10} nor [0-9a-f]{10}/;
test.each([
  ["the INT3", "int3", TORN],
  ["the tail", "tail", TORN],
  ["the first byte", "first", /^P4: CPU \d met a breakpoint at 0x[0-9a-f]+ that nobody answers for|^P15: CPU \d keeps/],
])("without the synchronisation behind %s", (_where, phase, sentence) => {
  expect(outcome([without(phase)])).toMatch(sentence);
});

test("interrupts that reach one CPU only: the others keep what they fetched, and P15 says so", () => {
  expect(outcome([firstOnly])).toMatch(/^P15: CPU \d keeps/);
});
