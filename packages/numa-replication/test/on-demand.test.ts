/**
 * Copies that come when they pay and go when they do not: all invariants hold before, with and after them, nothing is
 * left of a refused one, and text that is patched is the same in all there are.
 */
import { PAGE } from "@kreplica/hw-x86/api";
import { BootWitness, checkInvariants } from "@kreplica/invariants";
import { type AddressSpaces, imageAddress, type TextUser, walk } from "@kreplica/mm-core/api";
import { replicaViewContract, testKernel, type TestKernel, type TestKernelOptions } from "@kreplica/mm-core/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DemandCopies, type DemandOutcome, type OnDemand, replicationBy, whenItPays } from "../src/index.js";

const spaces = { all: new Set<never>() } as unknown as AddressSpaces;
const nodes = [0, 1, 2].map((id) => ({ id, memoryMiB: 64, cpus: 1 }));
const PRICE = 1000;
const KEEP = 10;
const TERMS: OnDemand = { price: () => PRICE, keep: KEEP };

interface Demanding extends TestKernel {
  readonly demand: DemandCopies;
  readonly violated: () => string[];
  /** Frames of text taken on a node. */
  readonly copies: () => number[];
  readonly free: () => number[];
  /** Node of the frame that a node's first page of text lies on. */
  readonly from: (node: number) => number;
}

function boot(options: TestKernelOptions = {}, terms = TERMS): Demanding {
  const kernel = testKernel({ nodes, ...options, view: replicationBy(whenItPays(terms)) });
  const witness = BootWitness.of(kernel);
  kernel.boot.run();
  const { allocator, machine, view, layout, image } = kernel;
  return {
    ...kernel,
    demand: kernel.assembly.get(DemandCopies),
    violated: () =>
      checkInvariants({ ...kernel, spaces, reached: "running", witness }).violated.map(
        ({ id, detail }) => `${id}: ${detail}`,
      ),
    copies: () => machine.nodes.map((node) => allocator.usedFrames(node, "text")),
    free: () => machine.nodes.map((node) => allocator.freeFrames(node)),
    from: (node) => machine.memory.nodeOf(view.replicaFrame(imageAddress(layout, image.stext), node)!),
  };
}

const KINDS: readonly (readonly [string, TestKernelOptions])[] = [
  ["ends on 2 MiB", { alignment: "patch-06" }],
  ["ends inside 2 MiB", { alignment: "recorded" }],
  ["KPTI", { alignment: "patch-06", pti: true }],
  ["KPTI without PCIDs, 5 levels, ends inside 2 MiB", { alignment: "recorded", pti: true, pcid: false, levels: 5 }],
];

describe.each(KINDS)("%s", (_, options) => {
  test("the view keeps its contract: no copy at boot", () => {
    replicaViewContract((plugins) =>
      testKernel({ nodes, ...options, plugins, view: replicationBy(whenItPays(TERMS)) }),
    );
    const kernel = boot(options);
    expect(kernel.view.holders).toEqual([0, 1, 2]);
    expect(kernel.view.copyHolders).toEqual([0]);
    expect(kernel.copies()).toEqual([0, 0, 0]);
    expect(kernel.violated()).toEqual([]);
  });

  test("copies come and go as a list of counts says, and every rule holds at each", () => {
    const count = fc.record({ node: fc.nat(2), cycles: fc.constantFrom(0, 9, 10, 400, 1000), back: fc.boolean() });
    const kernel = boot(options);
    const pages = Math.ceil(Number(kernel.image.etext - kernel.image.stext) / Number(PAGE));
    const free = kernel.free();
    // Tables that split the direct map over a first copy stay.
    for (const node of [1, 2]) {
      kernel.demand.counted(node, PRICE);
      kernel.demand.giveBack(node);
    }
    const atRest = kernel.free();
    expect(free.every((frames, node) => frames - atRest[node]! <= 2)).toBe(true);
    fc.assert(
      fc.property(fc.array(count, { maxLength: 12 }), (counts) => {
        const held = new Set<number>();
        const waited = [0, kernel.demand.waited(1), kernel.demand.waited(2)];
        for (const { node, cycles, back } of counts) {
          if (back) expect(kernel.demand.giveBack(node)).toBe(held.delete(node));
          let wanted: DemandOutcome | undefined;
          if (node === 0) wanted = undefined;
          else if (held.has(node)) {
            wanted = cycles < KEEP ? "given back" : "kept";
            if (cycles < KEEP) held.delete(node);
          } else {
            waited[node]! += cycles;
            wanted = waited[node]! < PRICE ? "waits" : "copied";
            if (wanted === "copied") {
              held.add(node);
              waited[node] = 0;
            }
          }
          expect(kernel.demand.counted(node, cycles)).toBe(wanted);
          expect(kernel.view.copyHolders).toEqual([0, ...[1, 2].filter((each) => held.has(each))]);
          expect(kernel.copies()).toEqual([0, 1, 2].map((each) => (held.has(each) ? pages : 0)));
          expect([0, 1, 2].map((each) => kernel.from(each))).toEqual(
            [0, 1, 2].map((each) => (held.has(each) ? each : 0)),
          );
          expect(kernel.violated()).toEqual([]);
        }
        for (const node of held) kernel.demand.giveBack(node);
        expect(kernel.free()).toEqual(atRest);
      }),
      { numRuns: 4, seed: 3 },
    );
  });

  test("refused at any request: the node goes on with the master's, and nothing is kept", () => {
    let refused = 0;
    for (let nth = 1; ; nth++) {
      const kernel = boot(options);
      const free = kernel.free();
      kernel.allocator.refuse(nth);
      const outcome = kernel.demand.counted(1, PRICE);
      kernel.allocator.refuse(0);
      expect(kernel.violated()).toEqual([]);
      if (outcome === "copied") break;
      expect(outcome).toBe("refused");
      refused++;
      expect(kernel.free()).toEqual(free);
      expect(kernel.view.copyHolders).toEqual([0]);
      // What it has waited is not forgotten: the next count tries again.
      expect(kernel.demand.counted(1, 0)).toBe("copied");
      expect(kernel.violated()).toEqual([]);
    }
    expect(refused).toBeGreaterThan(0);
  });
});

test("while text is being written copies neither come nor go", () => {
  const kernel = boot();
  let writing = true;
  const user: TextUser = {
    name: "a writer",
    get writing() {
      return writing;
    },
    sites: () => [],
    refusal: () => undefined,
    forget: () => undefined,
  };
  kernel.textUsers.add(user);
  expect(kernel.demand.counted(1, PRICE)).toBe("refused");
  writing = false;
  expect(kernel.demand.counted(1, 0)).toBe("copied");
  writing = true;
  expect(kernel.demand.counted(1, 0)).toBe("kept");
  expect(kernel.demand.giveBack(1)).toBe(false);
  writing = false;
  expect(kernel.demand.counted(1, 0)).toBe("given back");
});

test("a copy holds the text as it is when it comes", () => {
  const kernel = boot();
  const { machine, view, layout, image } = kernel;
  const address = imageAddress(layout, image.stext) + 5n * PAGE;
  const frame = view.replicaFrame(address, 0)!;
  machine.memory.write64(BigInt(frame) * PAGE, 0x1234_5678_9abc_def0n);
  kernel.demand.counted(2, PRICE);
  expect(machine.memory.read64(BigInt(view.replicaFrame(address, 2)!) * PAGE)).toBe(0x1234_5678_9abc_def0n);
});

test("a node without a copy that runs another's is noticed", () => {
  const kernel = boot({ alignment: "patch-06" });
  kernel.demand.counted(1, PRICE);
  expect(kernel.violated()).toEqual([]);
  const { entries, view, layout, image } = kernel;
  const [of1, of2] = [1, 2].map((node) =>
    walk(entries.memory, view.kernelRoot(node), layout.levels, imageAddress(layout, image.stext)),
  );
  entries.write(of2!.table, of2!.index, of1!.lo, of1!.hi);
  expect(kernel.violated().map((each) => each.split(":")[0])).toContain("A2");
});
