/**
 * Replacement policies against slow models of what each says, alone and behind caches and TLBs; and parts of one's own
 * in a machine.
 */
import { assemble, bindFactory, bindValue, override } from "@kreplica/di";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Counters,
  Cr0,
  Cr4,
  cr3Value,
  Efer,
  hwX86,
  Kind,
  Machine,
  type MachineParts,
  MachineParts as Parts,
  type MachineSpec,
  type Replacement,
  references,
  standardParts,
  Tlb,
  victimsOf,
  Walker,
} from "../src/index.js";
import { PolicyCache, PolicySharedCache } from "../src/policy-cache.js";
import { PolicyTlb } from "../src/policy-tlb.js";
import { GoldenTrace, goldenMachine, identityMap, runGolden, tinyMachine } from "../src/testing.js";

const POLICIES: readonly Replacement[] = [
  { policy: "tree-plru" },
  { policy: "fifo" },
  { policy: "random", seed: 9 },
  { policy: "nru" },
  { policy: "srrip" },
];

/** One set, as lists and numbers nobody doubts: told what happens, and asked which way of a full set goes. */
interface Model {
  used(way: number): void;
  filled(way: number): void;
  victim(): number;
}
const MODELS: Record<Exclude<Replacement["policy"], "random" | "lru">, (ways: number) => Model> = {
  fifo: (ways) => {
    let queue = Array.from({ length: ways }, (_, way) => way);
    return {
      used() {},
      filled(way) {
        queue = [...queue.filter((each) => each !== way), way];
      },
      victim: () => queue[0]!,
    };
  },
  "tree-plru": (ways) => {
    // The half that was used less lately, then its half: by a recursive walk over names of halves.
    const away = new Map<string, "low" | "high">();
    const use = (way: number): void => {
      for (let from = 0, size = ways; size > 1; size /= 2) {
        const high = way >= from + size / 2;
        away.set(`${from}+${size}`, high ? "low" : "high");
        if (high) from += size / 2;
      }
    };
    const find = (from: number, size: number): number =>
      size === 1
        ? from
        : away.get(`${from}+${size}`) === "high"
          ? find(from + size / 2, size / 2)
          : find(from, size / 2);
    return { used: use, filled: use, victim: () => find(0, ways) };
  },
  nru: (ways) => {
    let recent = new Set<number>();
    const use = (way: number): void => {
      recent.add(way);
      if (recent.size === ways) recent = new Set([way]);
    };
    return {
      used: use,
      filled: use,
      victim: () => Array.from({ length: ways }, (_, way) => way).find((way) => !recent.has(way)) ?? 0,
    };
  },
  srrip: (ways) => {
    const distance = Array.from({ length: ways }, () => 0);
    return {
      used(way) {
        distance[way] = 0;
      },
      filled(way) {
        distance[way] = 2;
      },
      victim() {
        while (!distance.includes(3))
          distance.forEach((each, way) => {
            distance[way] = each + 1;
          });
        return distance.indexOf(3);
      },
    };
  },
};

describe.each(Object.keys(MODELS) as (keyof typeof MODELS)[])("%s", (policy) => {
  test.each([1, 2, 8, 32, 64])("%i ways: the model's victims, in each of three sets", (ways) => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ set: fc.nat(2), way: fc.nat(ways - 1), use: fc.boolean() }), {
          maxLength: 200,
          size: "max",
        }),
        (steps) => {
          const victims = victimsOf({ policy }, 3, ways);
          const models = [0, 1, 2].map(() => MODELS[policy](ways));
          for (let set = 0; set < 3; set++)
            for (let way = 0; way < ways; way++) {
              victims.filled(set, way);
              models[set]!.filled(way);
            }
          for (const { set, way, use } of steps) {
            if (use) {
              victims.used(set, way);
              models[set]!.used(way);
              continue;
            }
            const gone = victims.victim(set);
            expect(gone).toBe(models[set]!.victim());
            victims.filled(set, gone);
            models[set]!.filled(gone);
          }
        },
      ),
      { numRuns: 30, seed: 3 },
    );
  });
});

test("random: all ways go in the end, and a seed is a sequence, before and after a clearing", () => {
  const draw = (seed: number): number[] => {
    const victims = victimsOf({ policy: "random", seed }, 4, 16);
    return Array.from({ length: 200 }, () => victims.victim(0));
  };
  expect(new Set(draw(1)).size).toBe(16);
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  const victims = victimsOf({ policy: "random", seed: 5 }, 4, 16);
  const first = [victims.victim(0), victims.victim(0), victims.victim(0)];
  victims.clear();
  expect([victims.victim(0), victims.victim(0), victims.victim(0)]).toEqual(first);
  expect(new Set(draw(0)).size).toBe(16);
});

describe.each(POLICIES)("$policy behind its structures", (replacement) => {
  test("a cache says of every line whether it is there, modified and shared, and what left", () => {
    const step = fc.record({
      op: fc.constantFrom("touch", "touch", "touch", "modify", "remove"),
      frame: fc.nat(20),
      line: fc.constantFrom(0, 63),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const cache = new PolicyCache({ bytes: 2 * 4 * 4096, ways: 4 }, replacement, false, true);
        const held = new Map<string, number>();
        for (const { op, frame, line } of steps) {
          const base = cache.baseOf(frame, line);
          const key = `${frame}/${line}`;
          if (op === "touch") {
            const hit = cache.touch(base, frame);
            expect(hit).toBe(held.has(key) ? 1 : 0);
            if (hit === 0 && cache.victimFrame !== -1) {
              expect(cache.victimModified).toBe(held.get(`${cache.victimFrame}/${line}`)! & 1);
              held.delete(`${cache.victimFrame}/${line}`);
            }
            if (hit === 0) held.set(key, 0);
            expect(cache.words[base + cache.first + cache.way]).toBe(frame);
          } else if (op === "modify" && held.has(key)) {
            cache.setState(base, cache.find(base, frame), 3);
            held.set(key, 3);
          } else if (op === "remove") {
            expect(cache.remove(base, frame)).toBe(held.has(key) ? held.get(key)! & 1 : -1);
            held.delete(key);
          }
        }
        const found = new Map<string, number>();
        cache.forEachLine((frame, line) => {
          const base = cache.baseOf(frame, line);
          found.set(`${frame}/${line}`, cache.stateOf(base, cache.find(base, frame)));
        });
        expect(new Map([...found].sort())).toEqual(new Map([...held].sort()));
        // Hints never lead to a line: each use is told to the policy.
        expect(cache.hints.every((hint) => cache.words[cache.first + hint] === -1)).toBe(true);
      }),
      { numRuns: 40, seed: 4 },
    );
  });

  test("an L3 fills its empty ways before anything leaves", () => {
    const cache = new PolicySharedCache({ bytes: 8 * 4096, ways: 8 }, replacement);
    for (let frame = 0; frame < 8; frame++) expect([cache.touch(frame, 5), cache.victimFrame]).toEqual([false, -1]);
    expect(cache.modify(3, 5)).toBe(true);
    expect([cache.clean(3, 5), cache.clean(3, 5), cache.remove(3, 5), cache.remove(3, 5), cache.holds(3, 5)]).toEqual([
      1,
      0,
      0,
      -1,
      false,
    ]);
    cache.touch(9, 5);
    expect(cache.victimFrame).toBe(-1);
    cache.touch(10, 5);
    expect(cache.victimFrame).not.toBe(-1);
    expect(cache.holds(cache.victimFrame, 5)).toBe(false);
  });

  test("a TLB may forget but never lies, and a page used last is found without asking", () => {
    const step = fc.record({
      op: fc.constantFrom("fill", "fill", "lookup", "drop", "flush"),
      page: fc.nat(15),
      pcid: fc.nat(1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps) => {
        const tlb = new PolicyTlb({ entries: 8, ways: 4 }, replacement, true);
        tlb.countRegions();
        const truth = new Map<string, number>();
        for (const { op, page, pcid } of steps) {
          const [key, tag] = [`${pcid}/${page}`, pcid << 13];
          if (op === "flush") {
            tlb.flush(0xfff << 13, tag);
            for (const each of [...truth.keys()]) if (each.startsWith(`${pcid}/`)) truth.delete(each);
          }
          if (op === "drop") {
            tlb.drop(page, page, 0xfff << 13, tag);
            truth.delete(key);
          }
          if (op === "fill" && tlb.lookup(page, page, tag, -2) === -1) {
            truth.set(key, truth.size + 100 * page + 1);
            tlb.insert(page, page, tag, truth.get(key)!, 0);
            expect(tlb.lookup(page, page, tag, -2)).not.toBe(-1);
          }
          const at = tlb.lookup(page, page, tag, -2);
          if (at === -1) continue;
          expect(tlb.entries[at + 2]).toBe(truth.get(key));
          expect(((page & tlb.setMask) * tlb.ways + (tlb.order[page & tlb.setMask]! & tlb.lastMask)) * 4).toBe(at);
        }
        const live = tlb.entries.filter((_, at) => at % 4 === 1 && tlb.entries[at] !== -1).length;
        expect(tlb.regions.reduce((sum, count) => sum + count, 0)).toBe(live);
        if (live > 0) expect(tlb.used).toBe(1);
      }),
      { numRuns: 40, seed: 5 },
    );
  });
});

/** The golden machine with one policy everywhere. */
function replaced(spec: MachineSpec, replacement: Replacement): MachineSpec {
  const [l1i, l1d, l2] = [spec.l1i, spec.l1d, spec.l2].map((cache) => ({ ...cache, replacement })) as [
    MachineSpec["l1i"],
    MachineSpec["l1i"],
    MachineSpec["l1i"],
  ];
  const { instruction, data, second } = spec.translation;
  const tlb = <T extends object>(shape: T): T => ({ ...shape, replacement });
  return {
    ...spec,
    l1i,
    l1d,
    l2,
    l3: { ...spec.l3, replacement },
    translation: {
      ...spec.translation,
      instruction: { ...instruction, small: tlb(instruction.small) },
      data: { ...data, small: tlb(data.small) },
      second: tlb(second),
    },
  };
}

describe("a machine", () => {
  const run = (spec: MachineSpec): { counts: number[]; walks: number } => {
    const assembly = assemble([hwX86(spec)]);
    const machine = assembly.get(Machine);
    identityMap(machine.memory, machine.cpu(0));
    const records = new Uint32Array(20_000);
    new GoldenTrace("mixed").fill(records);
    runGolden(machine.cpu(0), records);
    const { nodes } = assembly.get(Counters).layout;
    const counters = assembly.get(Counters).of(0);
    return {
      counts: [Kind.Load, Kind.Store].map((kind) => references(counters, nodes, kind)),
      walks: references(counters, nodes, Kind.Walk),
    };
  };
  test.each(["inclusive", "victim"] as const)(
    "of each policy, L3 %s: the same references, other misses, the same twice",
    (inclusion) => {
      const ours = run(goldenMachine(inclusion));
      const walks = new Set([ours.walks]);
      for (const replacement of POLICIES) {
        const spec = replaced(
          goldenMachine(inclusion),
          replacement.policy === "tree-plru" ? { policy: "nru" } : replacement,
        );
        const found = run(spec);
        expect(found.counts).toEqual(ours.counts);
        if (replacement.policy === "random") expect(run(spec)).toEqual(found);
        walks.add(found.walks);
      }
      expect(walks.size).toBeGreaterThan(3);
    },
  );

  /** A booted CPU whose every access is to one mapped page. @returns reads of the page tables */
  const walksOf = (parts: MachineParts): number => {
    const assembly = assemble(override([hwX86(tinyMachine())], bindValue(Parts, parts)));
    const machine = assembly.get(Machine);
    const cpu = machine.cpu(0);
    for (const [table, next] of [
      [16, 17],
      [17, 18],
      [18, 19],
      [19, 20],
    ] as const)
      machine.memory.write64(BigInt(table) << 12n, (BigInt(next) << 12n) | 0x23n);
    cpu.cr4 = Cr4.PhysicalAddressExtension;
    cpu.writeCr3(cr3Value(16));
    cpu.efer = Efer.LongModeEnable;
    cpu.cr0 = Cr0.Paging;
    for (let n = 0; n < 10; n++) expect([cpu.load(n * 64, 0), cpu.lastFrame]).toEqual([0, 20]);
    return references(assembly.get(Counters).of(0), assembly.get(Counters).layout.nodes, Kind.Walk);
  };
  test("with a TLB of one's own that keeps nothing walks at every access", () => {
    class Forgetful extends Tlb {
      override insert(): void {}
    }
    const once = walksOf(standardParts);
    expect(walksOf({ ...standardParts, tlb: (shape, regions) => new Forgetful(shape, regions) })).toBe(once + 9);
  });
  test("with a walker of one's own asks that one, and it can be laid over by a plain function", () => {
    let asked = 0;
    class Counting extends Walker {
      override walk(...of: Parameters<Walker["walk"]>): number {
        asked++;
        return super.walk(...of);
      }
    }
    const parts: MachineParts = {
      ...standardParts,
      walker: (memory, core, bits, counters) => new Counting(memory, core, bits, counters),
    };
    walksOf(parts);
    expect(asked).toBe(1);
    const made = assemble(
      override(
        [hwX86(tinyMachine())],
        bindFactory(Parts, () => parts),
      ),
    );
    expect(made.get(Parts)).toBe(parts);
  });
  test("whose TLB has four ways by a tree loses the page the tree says", () => {
    const shape = { entries: 4, ways: 4, replacement: { policy: "tree-plru" } } as const;
    const tlb = standardParts.tlb(shape, false);
    for (const page of [0, 1, 2, 3]) tlb.insert(page, page, 0, page, 0);
    tlb.lookup(0, 0, 0, -2);
    tlb.insert(4, 4, 0, 4, 0);
    // True LRU would lose 1.
    expect([0, 1, 2, 3, 4].map((page) => tlb.lookup(page, page, 0, -2) !== -1)).toEqual([
      true,
      true,
      false,
      true,
      true,
    ]);
  });
});

test.each([
  [{ policy: "newest" }, "l2.replacement.policy: newest is no policy"],
  [{ policy: "fifo", seed: 1 }, "l2.replacement.seed: fifo draws nothing"],
  [{ policy: "random", seed: -1 }, "l2.replacement.seed: -1 is no seed"],
  [{ policy: "tree-plru" }, "l2.replacement.policy: a tree over 12 ways is not even"],
])("a specification with %j is refused", (replacement, message) => {
  const spec = tinyMachine();
  expect(() =>
    hwX86({ ...spec, l2: { ...spec.l2, bytes: 12 * 4096, ways: 12, replacement: replacement as Replacement } }),
  ).toThrow(message);
});
