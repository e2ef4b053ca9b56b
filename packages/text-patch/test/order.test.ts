/** Orders and failure paths of patching, from what is called and written, one after the other. */
import { bytesAt, cr3Frame, PAGE } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import type { SetMemory } from "@kreplica/set-memory";
import type { Vmalloc } from "@kreplica/vmalloc";
import { INT3, InsnPages, JMP32, Kprobes } from "../src/api.js";
import { makeKernel, type PatchKernel, TEXT, YOUNG } from "./kernel.js";

/** Five one-byte no-ops and a return, all of it a function. */
const FUNCTION = Uint8Array.of(0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3);

/** A kernel whose pokes and whose slots are written down. */
function watched(): {
  kernel: PatchKernel;
  events: string[];
  probes: Kprobes;
} {
  const kernel = makeKernel([0, 1]);
  kernel.poke.copy(TEXT, FUNCTION);
  const events: string[] = [];
  const { poke } = kernel;
  const [write, synchronise, batch] = [poke.poke.bind(poke), poke.synchronise.bind(poke), poke.batch.bind(poke)];
  poke.poke = (address, bytes) => {
    events.push(`write ${address - TEXT} ${bytes.length === 1 && bytes[0] === INT3 ? "INT3" : "bytes"}`);
    write(address, bytes);
  };
  poke.synchronise = () => {
    events.push("sync");
    synchronise();
  };
  poke.batch = (items) => {
    events.push("batch");
    batch(items);
  };
  const slots = (name: string, at: bigint): InsnPages =>
    ({
      slotBytes: 128,
      take: () => (events.push(`take ${name}`), at),
      write: () => events.push(`fill ${name}`),
      give: () => events.push(`give ${name}`),
    }) as unknown as InsnPages;
  const probes = new Kprobes(poke, slots("slot", TEXT + 0x1000n), slots("detour", TEXT + 0x2000n), () =>
    events.push("grace"),
  );
  return { kernel, events, probes };
}

describe("a probe", () => {
  test("armed: its slot is whole and its action known before the INT3, which is everywhere when that returns", () => {
    const { kernel, events, probes } = watched();
    const { poke } = kernel.poke;
    kernel.poke.poke = (address, bytes) => {
      expect(probes.hit(TEXT), "a CPU that takes the INT3 finds no probe").toBeDefined();
      poke(address, bytes);
    };
    probes.arm(TEXT);
    expect(events).toEqual(["take slot", "fill slot", "write 0 INT3", "sync"]);
  });

  test("disarmed: the original everywhere, a grace period, and only then the slot goes", () => {
    const { events, probes } = watched();
    probes.arm(TEXT);
    events.length = 0;
    probes.disarm(TEXT);
    expect(events).toEqual(["write 0 bytes", "sync", "grace", "give slot"]);
  });

  test("no longer optimised: the INT3 everywhere before the tail, a grace period before the detour goes", () => {
    const { kernel, events, probes } = watched();
    probes.arm(TEXT);
    probes.optimise(TEXT, new Uint8Array(0), TEXT, FUNCTION.length);
    expect(kernel.poke.read(bytesAt(TEXT, 1))[0]).toBe(JMP32);
    events.length = 0;
    probes.unoptimise(TEXT);
    expect(events, "a CPU in the middle would run the jump's opcode with the old tail").toEqual([
      "write 0 INT3",
      "sync",
      "write 1 bytes",
      "sync",
      "grace",
      "give detour",
    ]);
    expect([...kernel.poke.read(bytesAt(TEXT, 7))]).toEqual([INT3, ...FUNCTION.subarray(1)]);
  });

  test("a detour that cannot be jumped to goes back, and the probe stays what it was", () => {
    const { kernel, events, probes } = watched();
    probes.arm(TEXT);
    kernel.poke.batch = () => {
      throw new Error("refused");
    };
    events.length = 0;
    expect(() => probes.optimise(TEXT, new Uint8Array(0), TEXT, FUNCTION.length)).toThrow("refused");
    expect(events).toEqual(["take detour", "fill detour", "give detour"]);
    expect(kernel.poke.read(bytesAt(TEXT, 1))[0]).toBe(INT3);
  });
});

test("a batch that left one copy behind says so, by its node", () => {
  const kernel = makeKernel([0, 1]);
  const { memory } = kernel.machine;
  const write = memory.writeBytes.bind(memory);
  const lost = BigInt(kernel.frame(1, 0)) * PAGE;
  memory.writeBytes = (physical, bytes) => {
    if (physical < lost || physical >= lost + PAGE) write(physical, bytes);
  };
  expect(() => kernel.poke.batch([{ address: TEXT, bytes: Uint8Array.of(0x90) }])).toThrow("the copy of node 1 holds");
});

test("a poke that fails leaves nothing open and the lock free", () => {
  const kernel = makeKernel([0, 1]);
  const { memory } = kernel.machine;
  const write = memory.writeBytes.bind(memory);
  memory.writeBytes = () => {
    throw new Error("memory is gone");
  };
  expect(() => kernel.poke.poke(TEXT, Uint8Array.of(0x90))).toThrow("memory is gone");
  memory.writeBytes = write;
  expect(kernel.poke.underWay).toEqual([]);
  expect(kernel.poke.pokingSpace.aliasEntries()).toEqual([0n, 0n]);
  kernel.poke.poke(TEXT, Uint8Array.of(0x91));
  expect(kernel.poke.read(bytesAt(TEXT, 1))[0]).toBe(0x91);
});

describe("the poking alias", () => {
  test("is forgotten while its root is loaded: afterwards INVLPG would not reach its PCID", () => {
    const kernel = makeKernel([0, 1]);
    const root = kernel.poke.pokingSpace.rootOf(0);
    const core = kernel.machine.cpu(0);
    const invlpg = core.invlpg.bind(core);
    const loaded: number[] = [];
    core.invlpg = (address) => {
      loaded.push(cr3Frame(core.cr3));
      expect(kernel.poke.pokingSpace.aliasEntries(), "still in the tables: a CPU may fetch it again").toEqual([0n, 0n]);
      invlpg(address);
    };
    kernel.poke.poke(TEXT, Uint8Array.of(0x90));
    // One a copy.
    expect(loaded).toEqual([root, root]);
  });

  test("is loaded with kernel slots as the node's root has them now", () => {
    const kernel = makeKernel([0, 1]);
    const { pokingSpace } = kernel.poke;
    const { entries, view } = kernel;
    const root = pokingSpace.rootOf(0);
    const slot = 300;
    for (const each of view.roots) entries.write(each.root, slot, 0x1234_5063, 0);
    expect(entries.low(root, slot)).not.toBe(0x1234_5063);
    kernel.poke.poke(TEXT, Uint8Array.of(0x90));
    expect(entries.low(root, slot)).toBe(0x1234_5063);
  });

  test("that lacks a table, whichever it is, keeps none", () => {
    for (let nth = 1; ; nth++) {
      const kernel = makeKernel([0, 1]);
      const used = (): number[] => kernel.machine.nodes.map((node) => kernel.allocator.usedFrames(node, "page-table"));
      const before = used();
      kernel.allocator.refuse(nth);
      let refused = false;
      try {
        void kernel.poke.pokingSpace;
      } catch (error) {
        refused = true;
        expect(error).toMatchObject({ code: "no-slot" });
      }
      kernel.allocator.refuse(0);
      if (!refused) {
        expect(nth).toBeGreaterThan(4);
        break;
      }
      expect(used(), `the ${nth}. table refused`).toEqual(before);
    }
  });
});

test("a page of slots that cannot be made executable goes back", () => {
  const kernel = makeKernel([0]);
  const freed: unknown[] = [];
  const area = { start: YOUNG, pages: 1 };
  const vmalloc = { allocate: () => area, write: () => {}, track: () => {}, free: (each: unknown) => freed.push(each) };
  const permissions = {
    readOnlyExecutable: () => {
      throw new Error("no table page");
    },
  };
  const pages = new InsnPages(
    vmalloc as unknown as Vmalloc,
    permissions as unknown as SetMemory,
    kernel.poke,
    kernel.layout,
    128,
    0,
  );
  expect(() => pages.take()).toThrow("no table page");
  expect(freed).toEqual([area]);
  expect(pages.areas).toEqual([]);
});
