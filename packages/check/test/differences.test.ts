/**
 * The second oracle's words: each thing that a user can tell stands in the failure as it is on the kernel under check
 * and as it is with a single copy. And what a run does on which of the two.
 */
import { overlay } from "@kreplica/di";
import { addressOfFrame } from "@kreplica/hw-x86/api";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { type Process, Processes, type Vma } from "@kreplica/mm-core";
import { defectOf } from "@kreplica/series-as-posted";
import { beforeEach, describe, expect, test } from "vitest";
import { failureIn } from "../src/check-failure.js";
import type { CheckedSystem } from "../src/checked-system.js";
import { Coverage } from "../src/coverage.js";
import { Differential } from "../src/differential.js";
import { FAMILIES } from "../src/families.js";
import type { Operation, OperationFamily } from "../src/family.js";
import type { Subject } from "../src/subject.js";
import { entryOf, found as foundBy, perform } from "./behind.js";
import type { Given } from "./met.js";

const spec = { spec: smallMachine(2), policy: "per-node", image: smallImage() };
const on = { p: 0, cpu: 0 };
const area = { ...on, writable: true, large: false, locked: false, policy: 0 };
const touch = (page: number, kind: string, value: number) => ({ op: "touch", cpu: 0, page, kind, value });

const pair = new Differential(spec, "step", FAMILIES);
const [subject, twin] = [pair.subject, pair.twin!];
const both = (...operations: readonly Given[]): void => {
  for (const system of [subject, twin]) perform(system, ...operations);
};
const found = (): string | undefined =>
  foundBy(() => {
    pair.compare();
  });
const processOf = (system: CheckedSystem, index = 0): Process => system.population.live[index]!.process;
/** What is found while an area of a process of the kernel under check is another. */
const whileArea = (address: bigint, change: Partial<Vma>): string | undefined => {
  const { vmas } = processOf(subject);
  const was = vmas.at(address)!;
  const other = { ...was, ...change };
  vmas.remove(was);
  vmas.insert(other);
  const failure = found();
  vmas.remove(other);
  vmas.insert(was);
  expect(found()).toBeUndefined();
  return failure;
};
/** What is found while an entry of a kernel's has other bits. */
const whileEntry = (system: CheckedSystem, page: bigint, low: number, high = 0, level = 1): string | undefined => {
  const { entries } = system.parts;
  const { table, index, lo, hi } = entryOf(system, processOf(system), page << 12n, level);
  entries.write(table, index, (lo ^ low) >>> 0, (hi ^ high) >>> 0);
  const failure = found();
  entries.write(table, index, lo, hi);
  expect(found()).toBeUndefined();
  return failure;
};

beforeEach(() => {
  for (const { population } of [subject, twin]) population.clear();
  both({ op: "spawn", cpu: 0 }, { op: "mmap", ...area, page: 0, pages: 3 }, touch(0, "write", 77), touch(1, "read", 1));
  expect(found()).toBeUndefined();
});

describe("in its words, first as it is, then as it is with a single copy:", () => {
  const usual = "area 0x200000 to 0x203000 rw-";

  test.each<[Partial<Vma>, string]>([
    [{ readable: false }, "area 0x200000 to 0x203000 -w- local"],
    [{ writable: false }, "area 0x200000 to 0x203000 r-- local"],
    [{ executable: true }, "area 0x200000 to 0x203000 rwx local"],
    [{ locked: true }, `${usual} locked local`],
    [{ large: true }, `${usual} large local`],
    [{ stack: true }, `${usual} stack local`],
    [{ shared: true }, `${usual} shared local`],
    [{ policy: { kind: "preferred", node: 0 } }, `${usual} preferred`],
    [{ end: 0x20_5000n }, "area 0x200000 to 0x205000 rw- local"],
    [{ start: 0x1f_f000n }, "area 0x1ff000 to 0x203000 rw- local"],
    [{ locked: true, large: true, stack: true, shared: true }, `${usual} locked large stack shared local`],
  ])("an area with %o", (change, says) => {
    expect(whileArea(0x20_0000n, change)).toBe(`F8: process 0: ${says}; with a single copy ${usual} local`);
  });

  test("an area of a file, and from which of its pages", () => {
    both({ op: "map-file", ...on, page: 6, pages: 2, writable: true, file: 0, offset: 1, shared: true });
    const address = subject.address(6);
    const where = `area 0x${address.toString(16)} to 0x${(address + 0x2000n).toString(16)} rw-`;
    const of = "of a file from page";
    expect(whileArea(address, { offset: 2 })).toBe(
      `F8: process 0: ${where} ${of} 2 shared local; with a single copy ${where} ${of} 1 shared local`,
    );
    expect(whileArea(address, { file: undefined, shared: false })).toBe(
      `F8: process 0: ${where} local; with a single copy ${where} ${of} 1 shared local`,
    );
  });

  test("descriptors, each apart from the next, and pages of them", () => {
    const none = "LDT of 0 entries: ";
    perform(subject, ...[0, 1, 511].map((entry) => ({ op: "ldt", ...on, entry, value: entry + 2 })));
    expect(found()).toBe(`F8: process 0: LDT of 512 entries: 2:3:513; with a single copy ${none}`);
    perform(twin, ...[0, 1, 511, 512].map((entry) => ({ op: "ldt", ...on, entry, value: entry + 2 })));
    expect(found()).toBe(
      "F8: process 0: LDT of 512 entries: 2:3:513; with a single copy LDT of 513 entries: 2:3:513, 514:0:0",
    );
    perform(subject, { op: "ldt", ...on, entry: 512, value: 514 });
    expect(found()).toBeUndefined();
    // The same digits, elsewhere.
    const write = (entry: number, value: bigint): void => {
      const [frame] = processOf(subject).ldt!.frames;
      subject.parts.machine.memory.write64(addressOfFrame(frame!) + BigInt(entry * 8), value);
    };
    write(0, 23n);
    write(1, 513n);
    write(511, 0n);
    expect(found()).toMatch(/^F8: process 0: LDT of 513 entries: 23:513:0, 514:0:0; with .*: 2:3:513, 514:0:0$/);
  });

  test("what is resident, what is locked, and where the heap ends", () => {
    const process = processOf(subject);
    const says = (resident: number, locked: number, heap: string) =>
      `${resident} pages resident, ${locked} locked, heap to 0x${heap}`;
    const usually = says(2, 0, "555500000000");
    for (const [key, by, instead] of [
      ["rss", 1, says(3, 0, "555500000000")],
      ["locked", 2, says(2, 2, "555500000000")],
    ] as const) {
      process[key] += by;
      expect(found()).toBe(`F8: process 0: ${instead}; with a single copy ${usually}`);
      process[key] -= by;
    }
    process.brk += 0xa000n;
    expect(found()).toBe(`F8: process 0: ${says(2, 0, "55550000a000")}; with a single copy ${usually}`);
  });

  test.each<[string, number, number, string]>([
    ["written to", 0x2, 0, "e5 NX"],
    ["the kernel's alone", 0x4, 0, "63 NX"],
    ["not accessed", 0x20, 0, "47 NX"],
    ["clean", 0x40, 0, "27 NX"],
    ["executable", 0, 0x8000_0000, "67"],
  ])("a page that is %s", (_what, low, high, flags) => {
    const rest = ", 1 users, 0.1=77";
    const says = (each: string) => `page 0x200 level 1 flags ${each}${rest}`;
    const wanted = `F8: process 0: ${says(low === 2 ? "65 NX" : flags)}; with a single copy ${says("67 NX")}`;
    expect(whileEntry(subject, 0x200n, low, high)).toBe(wanted);
  });

  test("a page by what no user can tell is no other: G, and what is software's", () => {
    for (const bits of [0x100, 0x200, 0x400, 0x8, 0x10])
      expect(whileEntry(subject, 0x200n, bits), String(bits)).toBeUndefined();
  });

  test("a page that only one of them has, the last of all or not", () => {
    const page = "page 0x201 level 1 flags ";
    expect(whileEntry(subject, 0x201n, 1)).toMatch(
      new RegExp(`^F8: process 0: nothing; with a single copy ${page}\\w+ NX, 1 users$`),
    );
    expect(whileEntry(twin, 0x201n, 1)).toMatch(
      new RegExp(`^F8: process 0: ${page}\\w+ NX, 1 users; with a single copy nothing$`),
    );
    expect(whileEntry(subject, 0x200n, 1)).toMatch(
      new RegExp(`^F8: process 0: ${page}\\w+ NX, 1 users; with a single copy page 0x200 level 1 flags 67 NX`),
    );
  });

  test("words of a page, each by its place; of a large page, by the small page in it", () => {
    both({ op: "mmap", ...area, page: 5, pages: 512, large: true }, touch(5, "write", 8));
    const { memory } = subject.parts.machine;
    const frameOf = (address: bigint) => processOf(subject).space.lookup(address)!.frame;
    expect(processOf(subject).space.lookup(0x40_0000n)!.level).toBe(2);
    for (const word of [0, 2, 3]) {
      memory.write32(frameOf(0x20_0000n), word * 256, 9);
      const says = word === 0 ? "0.0=9, 0.1=77" : `0.1=77, 0.${word}=9`;
      expect(found()).toMatch(new RegExp(`, 1 users, ${says}; with a single copy .*, 1 users, 0\\.1=77$`));
      memory.write32(frameOf(0x20_0000n), word * 256, 0);
    }
    for (const small of [1, 511]) {
      memory.write32(frameOf(0x40_0000n) + small, 3 * 256, 6);
      expect(found()).toMatch(
        new RegExp(
          `process 0: page 0x400 level 2 flags e7 NX, 1 users, 0\\.0=8, ${small}\\.3=6; with .* 1 users, 0\\.0=8$`,
        ),
      );
      memory.write32(frameOf(0x40_0000n) + small, 3 * 256, 0);
    }
  });

  test("who shares a page, of the kernel that has it", () => {
    for (const system of [subject, twin]) {
      const { frame } = processOf(system).space.lookup(0x20_0000n)!;
      system.population.userFrames.share(frame);
      const [here, there] = system === subject ? [2, 1] : [1, 2];
      expect(found()).toMatch(new RegExp(` ${here} users, 0\\.1=77; with .* ${there} users, 0\\.1=77$`));
      system.population.userFrames.drop(frame);
    }
  });

  test("faults, taken and spurious, and how many are alive", () => {
    for (const kind of ["taken", "spurious"] as const) {
      const { faults } = subject.population.processes as { faults: Record<typeof kind, number> };
      const was = subject.population.faultsOfRun[kind];
      faults[kind] += 2;
      expect(found()).toBe(`F8: ${was + 2} faults ${kind}, with a single copy ${was}`);
      faults[kind] -= 2;
    }
    perform(twin, { op: "fork", p: 0, cpu: 1 });
    expect(found()).toBe("F8: 1 processes are alive, with a single copy 2");
  });

  test("whose it is: each process is compared with the one in its place", () => {
    both({ op: "spawn", cpu: 1 }, { op: "fork", p: 0, cpu: 2 });
    expect(found()).toBeUndefined();
    for (const index of [0, 1, 2]) {
      processOf(subject, index).rss += 9;
      expect(found()).toMatch(new RegExp(`^F8: process ${index}: \\d+ pages resident`));
      processOf(subject, index).rss -= 9;
    }
  });

  test("what a reader in between marked is told by its page alone, of 4 KiB or 2 MiB, beside any others", () => {
    both({ op: "mmap", ...area, page: 5, pages: 512, large: true }, touch(5, "write", 8));
    const { probed } = subject.population;
    for (const [page, level, within, beside] of [
      [0x200n, 1, 0x200n, 0x201n],
      [0x400n, 2, 0x477n, 0x3ffn],
    ] as const) {
      probed.clear();
      probed.add(beside);
      for (const bit of [0x20, 0x40]) expect(whileEntry(subject, page, bit, 0, level)).toMatch(/flags/);
      probed.add(within);
      for (const bit of [0x20, 0x40]) expect(whileEntry(subject, page, bit, 0, level)).toBeUndefined();
      for (const bit of [0x2, 0x4]) expect(whileEntry(subject, page, bit, 0, level)).toMatch(/flags/);
    }
    probed.clear();
    // It is asked of the kernel under check: the other has no readers.
    twin.population.probed.add(0x200n);
    expect(whileEntry(twin, 0x200n, 0x20)).toMatch(/flags 67 NX.*flags 47 NX/);
  });
});

/**
 * Families that tell what they are asked for, on which kernel; users see what one of them does, and not the other's.
 */
const asked: [what: string, of: Subject][] = [];
let act: (system: Subject) => void = () => undefined;
const telling = (op: string, seenByUsers: boolean): OperationFamily => ({
  name: op,
  seenByUsers,
  kinds: { [op]: { weight: 1, fields: {} } },
  draw: (each) => ({ op: each }),
  describe: () => op,
  start(system) {
    asked.push([`${op} starts`, system]);
    return {
      perform() {
        asked.push([op, system]);
        act(system);
      },
      afterStep: () => void asked.push([`${op} looks`, system]),
      compare: () => void asked.push([`${op} compares`, system]),
      undo: () => void asked.push([`${op} undoes`, system]),
    };
  },
});
const families = [...FAMILIES, telling("seen", true), telling("unseen", false)];
const SEEN: Operation = { op: "seen" };
const UNSEEN: Operation = { op: "unseen" };
const operation = (each: Given): Operation => each;
const SETUP = [{ op: "spawn", cpu: 0 }, { op: "mmap", ...area, page: 0, pages: 3 }, touch(0, "write", 77)].map(
  operation,
);

describe("a run", () => {
  const coverage = new Coverage();
  const pairs = {
    step: new Differential(spec, "step", families, { coverage }),
    end: new Differential(spec, "end", families),
  };
  const own = pairs.step;
  const sides = [own.subject, own.twin!] as const;
  const which = (system: Subject): string => (system === own.subject ? "mine" : system === own.twin ? "other" : "");
  const said = (): string[] => asked.map(([what, of]) => `${what}: ${which(of)}`).filter((each) => !each.endsWith(" "));
  const started = said();
  const failure = (run: readonly Operation[], comparison: "step" | "end" = "step") =>
    failureIn(() => {
      pairs[comparison].run(run);
    });
  beforeEach(() => {
    for (const { subject: one, twin: other } of Object.values(pairs))
      for (const { population } of [one, other!]) population.clear();
    asked.length = 0;
    act = () => undefined;
  });

  test("begins on two kernels, of which the one beside has what users see alone", () => {
    expect(started).toEqual(["seen starts: mine", "unseen starts: mine", "seen starts: other"]);
  });

  test("does what users see on both, first on the kernel under check, which alone is looked at; both are left as they were", () => {
    const before = sides.map(({ steps }) => steps);
    own.run([...SETUP, SEEN, UNSEEN]);
    const looks = ["seen looks: mine", "unseen looks: mine"];
    expect(said()).toEqual([
      ...SETUP.flatMap(() => looks),
      ...["seen: mine", ...looks, "seen: other", "unseen: mine", ...looks],
      ...["seen compares: mine", "unseen compares: mine", "unseen undoes: mine", "seen undoes: mine", ...looks],
      "seen undoes: other",
    ]);
    expect(sides.map(({ steps }, index) => steps - before[index]!)).toEqual([SETUP.length + 2, SETUP.length + 1]);
    expect(sides.map(({ population }) => population.live)).toEqual([[], []]);
    expect(own.parted).toBe(0);
    expect(coverage.count.states).toBeGreaterThan(1);
  });

  test("ends in a difference where the other kernel breaks a rule, and in any other error as it is", () => {
    const harmed = (side: CheckedSystem, harm: (system: Subject) => void) => {
      act = (system) => {
        if (system === side) harm(system);
      };
      return failure([SEEN]);
    };
    const wrong = (system: Subject) => system.fail("F7", "reads 1, was written 2");
    const told = (side: CheckedSystem) => {
      const broken = harmed(side, wrong);
      return broken && [broken.invariant, broken.detail];
    };
    expect(told(sides[0])).toEqual(["F7", "reads 1, was written 2"]);
    expect(told(sides[1])).toEqual([
      "F8",
      expect.stringMatching(/^with a single copy the same operations come to something else: .*reads 1, was written 2/),
    ]);
    const other = new TypeError("no rule");
    for (const side of sides)
      expect(() =>
        harmed(side, () => {
          throw other;
        }),
      ).toThrow(other);
  });

  test("tells the other kernel whether what came in between did", () => {
    const followed: unknown[] = [];
    act = (system) => {
      if (system === own.twin) followed.push(system.follow);
      else system.met = followed.length === 1;
    };
    own.run([SEEN, SEEN, SEEN]);
    expect(followed).toEqual([false, true, false]);
  });

  test("is compared at its end, while processes are there, also where nothing was done on the other since", () => {
    for (const comparison of ["step", "end"] as const) {
      act = ({ population }) => {
        (population.processes.faults as { spurious: number }).spurious++;
      };
      expect(failure([...SETUP, UNSEEN], comparison)?.detail).toBe("1 faults spurious, with a single copy 0");
      expect(pairs[comparison].parted).toBe(0);
    }
  });

  test("refuses on the other what was refused in the same operation, and nothing after it or in another run", () => {
    const refuse = operation({ op: "refuse", nth: 1 });
    const store = operation(touch(1, "write", 5));
    own.run([...SETUP, refuse, store, store, store]);
    expect(own.parted).toBe(0);
    let resident: unknown[] = [];
    act = ({ population }) => {
      resident = [...resident, population.live[0]!.process.rss];
    };
    own.run([...SETUP, refuse, store, SEEN, store, SEEN]);
    expect(resident).toEqual([1, 1, 2, 2]);
    own.run(SETUP);
    expect(own.parted).toBe(0);
  });

  test("where the other kernel alone has no memory does nothing more there, and compares nothing more", () => {
    for (const comparison of ["step", "end"] as const) {
      const each = pairs[comparison];
      act = (system) => {
        if (system === each.twin) system.parts.allocator.refuse(1);
      };
      const done = each.twin!.steps;
      each.run([...SETUP, SEEN, operation(touch(1, "write", 5)), operation(touch(2, "write", 6))]);
      expect([each.parted, each.twin!.steps - done], comparison).toEqual([1, SETUP.length + 2]);
      act = () => undefined;
      each.run([...SETUP, operation(touch(1, "write", 5))]);
      expect(each.parted).toBe(1);
    }
  });

  test("that changes the kernel under check for good is its last", () => {
    expect(own.isSpent).toBe(false);
    own.twin!.isSpent = true;
    expect(own.isSpent).toBe(false);
    own.subject.forGood(() => undefined);
    expect(own.isSpent).toBe(true);
  });
});

test("the kernel beside it has no copies and no defect, on the same machine; what a boot left broken is gone on from", () => {
  const laid: unknown[] = [];
  const defect = {
    ...defectOf("D4")!,
    overlays: [
      overlay(Processes, (processes) => {
        laid.push(processes);
        return processes;
      }),
    ],
  };
  const own = new Differential({ ...spec, defects: [defect] }, "end", FAMILIES, { goOn: true });
  expect(laid).toEqual([own.subject.population.processes]);
  expect(own.comparison).toBe("end");
  expect(own.twin!.parts.machine.nodes).toEqual(own.subject.parts.machine.nodes);
  expect([own.subject, own.twin!].map(({ parts }) => parts.view.holders.length)).toEqual([2, 1]);
});

test("a boot that breaks a rule ends there, unless it is gone on from", () => {
  const broken = { ...spec, defects: [defectOf("D9")!] };
  const boot = (goOn?: boolean) => {
    let own: Differential | undefined;
    const failure = failureIn(() => {
      own = new Differential(broken, "off", FAMILIES, goOn === undefined ? undefined : { goOn });
    });
    return failure?.invariant ?? own!.subject.broken.map(({ id }) => id);
  };
  expect([boot(), boot(false), boot(true)]).toEqual(["C3", "C3", ["C3"]]);
});
