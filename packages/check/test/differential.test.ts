/**
 * The second oracle: what a user sees is the same with a single copy; whatever differs is found, whether models agree
 * or not.
 */
import { type BootOptions, POLICIES, smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import type { Process } from "@kreplica/mm-core";
import { failureOf } from "../src/campaign.js";
import type { Subject } from "../src/subject.js";
import { Differential } from "../src/differential.js";
import { FAMILIES, repertoire } from "../src/families.js";
import type { Operation, OperationFamily } from "../src/family.js";
import { entryOf } from "./behind.js";

const kernel = (policy = "per-node", nodes = 2): BootOptions => ({
  spec: smallMachine(nodes),
  policy,
  image: smallImage(),
});
const operation = (each: Record<string, unknown> & { op: string }): Operation => each;

const SETUP = [
  { op: "spawn", cpu: 0 },
  { op: "mmap", p: 0, cpu: 0, page: 0, pages: 3, writable: true, large: false, locked: false, policy: 0 },
  { op: "touch", cpu: 0, page: 0, kind: "write", value: 77 },
  { op: "touch", cpu: 0, page: 1, kind: "read", value: 1 },
].map(operation);

/** Of an area of 512 pages that has a large one. */
const LARGE_PAGE = 0x400n;

/** The leaf of a process's first page, on the kernel under check. */
const leaf = (system: Subject, process: Process, page = 0x200n) => entryOf(system, process, page << 12n);

/** Does something wrong to the kernel under check alone. */
function vandal(harm: (system: Subject, process: Process) => void): OperationFamily {
  return {
    name: "vandal",
    kinds: { harm: { weight: 1, fields: {} } },
    draw: (op) => ({ op }),
    describe: () => "harm",
    start: (system) => ({
      perform() {
        harm(system, system.population.live[0]!.process);
      },
    }),
  };
}

const flip =
  (bits: number, page?: bigint) =>
  (system: Subject, process: Process): void => {
    const { table, index, lo, hi } = leaf(system, process, page);
    system.parts.entries.write(table, index, lo ^ bits, hi);
    forget(system);
  };

/** CPUs hold nothing of what was changed behind the kernel's back, so that G12 has nothing to say of it. */
const forget = ({ parts }: Subject): void => {
  parts.cpus.flushRanges([{ start: 0x20_0000n, pages: 3 }], true);
};

describe("a difference is seen:", () => {
  test.each<[string, (system: Subject, process: Process) => void, RegExp]>([
    [
      "one word of a page",
      (system, process) => {
        system.parts.machine.memory.write32(process.space.lookup(0x20_0000n)!.frame, 512, 9);
      },
      /0\.2=9.*with a single copy/,
    ],
    ["a page that may not be written", flip(2), /level 1 flags .*with a single copy/],
    ["a dirty bit that is gone", flip(0x40), /flags/],
    ["an accessed bit that is gone", flip(0x20, 0x201n), /flags/],
    [
      "a page that may be executed",
      (system, process) => {
        const { table, index, lo, hi } = leaf(system, process);
        system.parts.entries.write(table, index, lo, hi & 0x7fff_ffff);
      },
      /flags/,
    ],
    ["a page that is gone", flip(1), /page 0x2/],
    [
      "a page too many in RSS",
      (_system, process) => {
        process.rss++;
      },
      /3 pages resident.*2 pages resident/,
    ],
    [
      "a locked page",
      (_system, process) => {
        const vma = process.vmas.at(0x20_0000n)!;
        process.vmas.remove(vma);
        process.vmas.insert({ ...vma, locked: true });
        process.locked += 3;
      },
      /3 locked.*0 locked/,
    ],
    [
      "a page that counts one user too many",
      (system, process) => {
        system.population.userFrames.share(process.space.lookup(0x20_0000n)!.frame);
      },
      /2 users.*1 users/,
    ],
    [
      "a fault that need not be",
      (system) => {
        (system.population.processes.faults as { taken: number }).taken++;
      },
      /3 faults taken, with a single copy 2/,
    ],
    [
      "an area that grew",
      (_system, process) => {
        const vma = process.vmas.at(0x20_0000n)!;
        process.vmas.remove(vma);
        process.vmas.insert({ ...vma, end: vma.end + 4096n });
      },
      /area 0x200000 to 0x204000.*to 0x203000/,
    ],
    [
      "a process too few",
      (system) => {
        system.population.remove(system.population.live[0]!);
      },
      /0 processes are alive, with a single copy 1/,
    ],
  ])("%s", (_what, harm, detail) => {
    const pair = new Differential(kernel(), "step", [...FAMILIES, vandal(harm)]);
    pair.run(SETUP);
    // Compared where a user could tell: the operation after the harm, and the end of the run.
    const after = operation({ op: "idle", cpu: 3 });
    expect(() => {
      pair.run([...SETUP, operation({ op: "harm" }), after]);
    }).toThrow(detail);
  });
});

describe("what counts as one:", () => {
  const harmed = (harm: (system: Subject, process: Process) => void, comparison: "step" | "end" = "step") => {
    const pair = new Differential(kernel(), comparison, [...FAMILIES, vandal(harm)]);
    const idle = operation({ op: "idle", cpu: 3 });
    return () => {
      pair.run([
        ...SETUP,
        operation({ op: "ldt", p: 0, cpu: 0, entry: 0, value: 5 }),
        ...[operation({ op: "harm" }), idle, operation({ op: "harm" }), idle],
      ]);
    };
  };
  test("descriptors, by what is in their pages", () => {
    const word = (entry: number) => (system: Subject, process: Process) => {
      const address = (BigInt(process.ldt!.frames[0]!) << 12n) + BigInt(entry * 8);
      system.parts.machine.memory.write64(address, system.parts.machine.memory.read64(address) ^ 0x77n);
    };
    for (const entry of [0, 511]) expect(harmed(word(entry))).toThrow(/LDT of 1 entries: .*with a single copy LDT/);
    expect(harmed(word(2))).not.toThrow();
  });

  test("what is gone before the end is seen after every operation alone", () => {
    const toggled = (comparison: "step" | "end") => {
      let by = 1;
      return harmed((_system, process) => {
        process.rss += by;
        by = -by;
      }, comparison);
    };
    expect(toggled("step")).toThrow(/3 pages resident.*2 pages resident/);
    expect(toggled("end")).not.toThrow();
  });

  test("not the mark of a reader that came in between, on its page", () => {
    const marked = (page: bigint) => (system: Subject, process: Process) => {
      system.population.probed.add(page);
      flip(0x20, 0x201n)(system, process);
    };
    expect(harmed(marked(0x201n))).not.toThrow();
    expect(harmed(marked(0x200n))).toThrow(/page 0x201 level 1 flags/);
  });

  test("nor on a large page, wherever in it the reader came, and on no other", () => {
    const run = (page: bigint) => () => {
      const harm = (system: Subject, process: Process): void => {
        system.population.probed.add(page);
        const { entries } = system.parts;
        let table = process.space.pgd(0);
        for (let level = 4; level > 2; level--)
          table = entries.low(table, Number((LARGE_PAGE >> BigInt(9 * (level - 1))) & 511n)) >>> 12;
        const index = Number((LARGE_PAGE >> 9n) & 511n);
        entries.write(table, index, entries.low(table, index) ^ 0x20, entries.high(table, index));
        system.parts.cpus.flushRanges([{ start: LARGE_PAGE << 12n, pages: 512 }], true);
      };
      new Differential(kernel(), "step", [...FAMILIES, vandal(harm)]).run([
        ...SETUP,
        operation({ ...SETUP[1]!, page: 5, pages: 512, large: true }),
        operation({ op: "touch", cpu: 0, page: 5, kind: "write", value: 8 }),
        operation({ op: "harm" }),
        operation({ op: "idle", cpu: 3 }),
      ]);
    };
    for (const page of [LARGE_PAGE, LARGE_PAGE + 7n, LARGE_PAGE + 511n]) expect(run(page), String(page)).not.toThrow();
    for (const page of [LARGE_PAGE - 1n, LARGE_PAGE + 512n]) expect(run(page)).toThrow(/page 0x400 level 2 flags/);
  });

  test("nothing where nothing is compared: there is no kernel beside it", () => {
    let ran = 0;
    const families = [
      ...FAMILIES,
      vandal(({ population }) => {
        ran += population.live.length;
      }),
    ];
    for (const pair of [
      new Differential(kernel(), "off", families),
      new Differential(kernel("single-copy"), "step", families),
    ]) {
      pair.run([...SETUP, operation({ op: "harm" })]);
      pair.compare();
      expect([pair.twin, pair.parted]).toEqual([undefined, 0]);
    }
    expect(ran).toBe(2);
    expect(new Differential(kernel(), "end").twin).toBeDefined();
  });
});

describe("no difference:", () => {
  test.each(Object.keys(POLICIES).filter((name) => name !== "rfc-v1" && name !== "single-copy"))(
    "%s, compared after every operation, memory refused now and then",
    (policy) => {
      for (const [levels, pti] of [
        [4, true],
        [5, false],
      ] as const) {
        const pair = new Differential({ ...kernel(policy, 3), levels, pti }, "step");
        for (let seed = 0; seed < 3; seed++) pair.run(repertoire.drawRun(seed, 70));
        expect(pair.parted).toBe(0);
      }
    },
  );

  test("an allocation refused on one is refused on the other: the same page stays away, the same process is not made", () => {
    const refuse = operation({ op: "refuse", nth: 1 });
    const pair = new Differential(kernel(), "step");
    pair.run([
      ...SETUP,
      refuse,
      operation({ op: "touch", cpu: 0, page: 2, kind: "write", value: 5 }),
      refuse,
      operation({ op: "fork", p: 0, cpu: 1 }),
      operation({ op: "refuse", nth: 3 }),
      operation({ op: "fork", p: 0, cpu: 1 }),
    ]);
    expect(pair.parted).toBe(0);
  });
});

test("a run in which the other kernel alone has no memory is compared no further, and counted; the next is compared", () => {
  const pair = new Differential(kernel(), "step");
  pair.twin!.parts.allocator.refuse(1);
  pair.run(SETUP);
  expect(pair.parted).toBe(1);
  pair.run(SETUP);
  expect(pair.parted).toBe(1);
});

test("a locked stack that grows counts what it grew by", () => {
  expect(
    failureOf(
      kernel(),
      [
        { op: "spawn", cpu: 0 },
        { op: "stack", p: 0, cpu: 0, page: 2, pages: 1 },
        { op: "mlock", p: 0, cpu: 0, page: 2, pages: 1, on: true },
        { op: "touch", cpu: 0, page: 0, kind: "write", value: 9 },
      ].map(operation),
    ),
  ).toBeUndefined();
});
