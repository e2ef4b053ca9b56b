/**
 * Invariants no single kernel can show, each by several kernels that must be alike, and by one that breaks it and is
 * seen: H6 whichever node boots and holds the image, I1 the option off is the kernel without the series, I2 where there
 * is no such option, I6 determinism.
 */
import { CORE_FAMILIES, Differential, Repertoire } from "@kreplica/check";
import type { MachineSpec, NodeId } from "@kreplica/hw-x86";
import { boot, type BootOptions, POLICIES, smallImage, smallMachine } from "@kreplica/kernel";
import { bootRoot } from "@kreplica/mm-core";
import { everyNth, replicationBy } from "@kreplica/numa-replication";
import { defectOf } from "@kreplica/series-as-posted";
import { describe, expect, test } from "vitest";
import { prepare } from "../../src/boot.js";
import { ptdump } from "../../src/report/ptdump.js";
import { parting, traced } from "./kernel-trace.js";

const sound = Object.keys(POLICIES).filter((name) => name !== "rfc-v1");
const KINDS = ([4, 5] as const).flatMap((levels) => [false, true].map((pti) => ({ levels, pti })));
/** The least and the most there is, where all would take too long. */
const ENDS = [KINDS[0]!, KINDS[3]!];
const kernel = (spec: MachineSpec, more: Partial<BootOptions> = {}): BootOptions => ({
  spec,
  policy: "per-node",
  image: smallImage(),
  ...more,
});

/** Nodes of these ids, a CPU pair each. @param bare those without memory */
function machineOf(ids: readonly NodeId[], bare: readonly NodeId[] = []): MachineSpec {
  const spec = smallMachine(ids.length);
  return {
    ...spec,
    nodes: spec.nodes.map((node) => ({
      id: ids[node.id]!,
      memoryBytes: bare.includes(ids[node.id]!) ? 0 : node.memoryBytes,
    })),
    cpus: spec.cpus.map((cpu) => ({ ...cpu, node: ids[cpu.node]! })),
  };
}

describe("H6: it boots", () => {
  const repertoire = new Repertoire(CORE_FAMILIES);
  const shapes: readonly (readonly [string, MachineSpec])[] = [
    ["two nodes", machineOf([0, 1])],
    ["node 0 without memory", machineOf([0, 1, 2], [0])],
    ["the last without memory", machineOf([0, 1, 2], [2])],
    ["no node 0", machineOf([1, 2])],
  ];
  /** Each node with memory as master, a CPU of each node as the one that boots. */
  const corners = (spec: MachineSpec) =>
    spec.nodes
      .filter((node) => node.memoryBytes > 0)
      .flatMap(({ id }) =>
        spec.nodes.map((node) => ({ masterNode: id, bootCpu: spec.cpus.findLast((cpu) => cpu.node === node.id)!.id })),
      );

  describe.each(shapes)("%s", (_shape, spec) => {
    test.each(sound)(
      "%s: from a CPU of every node, the image on every node (other policies than ours: on the last), and users see what they see with a single copy",
      (policy) => {
        const own = policy === "per-node";
        for (const kind of own ? ENDS : ENDS.slice(0, 1)) {
          for (const corner of corners(spec).slice(own ? 0 : -spec.nodes.length)) {
            const pair = new Differential(kernel(spec, { policy, ...kind, ...corner }), "end", CORE_FAMILIES);
            const { machine, view } = pair.subject.parts;
            expect(view.master).toBe(corner.masterNode);
            for (const cpu of machine.cpuIds)
              expect(machine.cpu(cpu).rootFrame).toBe(view.kernelRoot(machine.nodeOfCpu(cpu)));
            pair.run(repertoire.drawRun(corner.bootCpu, 40));
            expect(pair.parted).toBe(0);
            pair.subject.fullCheck();
          }
        }
      },
    );

    test("with D1 laid over it does not, from a CPU off logical node 0", () => {
      for (const corner of corners(spec)) {
        if (spec.cpus.find((cpu) => cpu.id === corner.bootCpu)!.node === 0) continue;
        expect(() => boot(kernel(spec, { policy: "per-node", defects: [defectOf("D1")!], ...corner }))).toThrow(
          /boot table/,
        );
      }
    });
  });
});

describe("I1: with the option off, stores, frames, roots and faults are those of the kernel without the series, one by one", () => {
  const SEEDS = [1, 2, 3];
  /** The series' code is there, and its policy chooses nobody but the master. */
  const off = replicationBy(everyNth(64));

  describe.each(KINDS)("%j", (kind) => {
    test.each([1, 2, 3])("%i nodes", (nodes) => {
      const base = traced(kernel(smallMachine(nodes), { policy: "single-copy", ...kind }), SEEDS);
      const without = traced(kernel(smallMachine(nodes), { policy: off, ...kind }), SEEDS);
      expect(base.boot).toBeGreaterThan(4000);
      expect(base.trace.length).toBeGreaterThan(base.boot + 4000);
      expect(parting(without.trace, base.trace)).toBeUndefined();
      expect(without.system.parts.entries.replicaStores).toBe(0);
    });
  });

  test("the image's alignment may differ and does: users see the same all the same", () => {
    const runs = (["recorded", "patch-06"] as const).map((alignment) =>
      traced(kernel(smallMachine(2), { policy: "single-copy", image: smallImage(alignment) }), SEEDS),
    );
    const [plain, aligned] = runs.map(({ system }) => system.population.faultsOfRun);
    expect(aligned).toEqual(plain);
    expect(runs[1]!.trace.length).not.toBe(runs[0]!.trace.length);
  });

  test("a kernel whose fault handler the series broke with the option off (D2) is told apart, and one that takes a frame more", () => {
    // Faults of the kernel's own are rare in a run.
    const many = Array.from({ length: 80 }, (_, seed) => seed);
    const base = traced(kernel(smallMachine(2), { policy: "single-copy" }), many);
    expect(
      parting(
        traced(kernel(smallMachine(2), { policy: "single-copy", defects: [defectOf("D2")!] }), many).trace,
        base.trace,
      ),
    ).toBeGreaterThan(base.boot);
    const greedy = traced(
      kernel(smallMachine(2), {
        policy: "single-copy",
        before: ({ view, allocator }) => {
          view.replicateKernel = () => {
            allocator.allocate(1, 0, { purpose: "kernel" });
          };
        },
      }),
      many,
    );
    expect(parting(greedy.trace, base.trace)).toBeLessThan(base.boot);
  });
});

describe("I2: where there is no such option", () => {
  const refused = (options: Partial<BootOptions>) => () => prepare(kernel(smallMachine(2), options));

  test("KASAN with 5 levels excludes the series as posted, and nothing else of it does; ours needs no exclusion, and boots", () => {
    expect(refused({ policy: "rfc-v1", kasan: true, levels: 5 })).toThrow(
      /--kasan: the series as posted cannot be configured with KASAN and 5 levels/,
    );
    expect(refused({ policy: "rfc-v1", kasan: true, levels: 4 })).not.toThrow();
    expect(refused({ policy: "rfc-v1", kasan: false, levels: 5 })).not.toThrow();
    for (const policy of sound)
      expect(boot(kernel(smallMachine(2), { policy, kasan: true, levels: 5 })).checkInvariants().violated).toEqual([]);
  });

  test("MAXSMP is what a kernel for more than 64 nodes is built with: no policy, and no machine, goes there", () => {
    for (const policy of Object.keys(POLICIES)) {
      expect(() => prepare(kernel(smallMachine(65), { policy }))).toThrow(/65 nodes.*1 to 64/);
      expect(() => prepare(kernel(smallMachine(64), { policy }))).not.toThrow();
    }
  });
});

describe("I6: the same machine and image give the same tables and the same dump", () => {
  /** Every table reachable from every root, word for word, and the dump of each. */
  function dumpOf(options: BootOptions): readonly [tables: readonly string[], dumps: readonly string[][]] {
    const {
      machine: { memory },
      view,
      layout,
      image,
    } = boot(options);
    const seen = new Set<number>();
    const tables: string[] = [];
    const visit = (table: number, level: number): void => {
      if (seen.has(table)) return;
      seen.add(table);
      const words = Array.from({ length: 1024 }, (_, word) => memory.read32(table, word));
      tables.push(`${table}: ${words.join(" ")}`);
      for (let index = 0; index < 512; index++) {
        const lo = words[index * 2]!;
        if (level > 1 && (lo & 1) !== 0 && (lo & 0x80) === 0)
          visit((lo >>> 12) + (words[index * 2 + 1]! & 0xf_ffff) * 2 ** 20, level - 1);
      }
    };
    const roots = [...new Set([bootRoot(layout, image), ...view.roots.map(({ root }) => root)])];
    for (const root of roots) {
      visit(root, layout.levels);
      if (layout.pti) visit(root + 1, layout.levels);
    }
    return [tables, roots.map((root) => ptdump(memory, root, layout))];
  }
  const drawn = { kaslr: { text: true, memory: true } };

  test.each(sound)("%s", (policy) => {
    for (const kind of ENDS) {
      const options = kernel(smallMachine(3), { policy, ...kind, ...drawn, seed: 9 });
      const [tables, dumps] = dumpOf(options);
      expect(tables.length).toBeGreaterThan(10);
      // Another kernel in between leaves nothing behind that the next one could find.
      const other = dumpOf({ ...options, seed: 10 });
      expect(other[1]).not.toEqual(dumps);
      expect(dumpOf(options)).toEqual([tables, dumps]);
      const run = (): readonly number[] => traced(options, [7]).trace;
      expect(parting(run(), run())).toBeUndefined();
    }
  });

  test("a kernel that remembers the one before it is seen", () => {
    let booted = 0;
    const options = kernel(smallMachine(3), {
      before({ view, allocator }) {
        const replicate = view.replicateKernel.bind(view);
        view.replicateKernel = () => {
          for (let held = 0; held < booted; held++) allocator.allocate(1, 0, { purpose: "kernel" });
          booted++;
          replicate();
        };
      },
    });
    const [tables, dumps] = dumpOf(options);
    const again = dumpOf(options);
    expect(again[0]).not.toEqual(tables);
    // A dump prints no frames.
    expect(again[1]).toEqual(dumps);
  });
});
