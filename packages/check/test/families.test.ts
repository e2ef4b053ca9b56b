/**
 * Families of operations: a run is plain data that can be drawn, printed, read back and done; what no family knows is
 * refused by name.
 */
import type { Invariant } from "@kreplica/invariants";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { FAMILIES, familyIndex, Repertoire, repertoire } from "../src/families.js";
import type { Operation, OperationFamily } from "../src/family.js";

const kernel = { spec: smallMachine(2), policy: "per-node", image: smallImage() };

/** Counts what it is asked to do; fails at the third time. */
function counting(done: string[]): OperationFamily<{ readonly op: "count"; readonly by: number }> {
  return {
    name: "counting",
    kinds: { count: { weight: 1, fields: { by: "number" } } },
    draw: (op, drawing) => ({ op, by: 1 + drawing.random(3) }),
    describe: (o) => `counts by ${o.by}`,
    start: (system) => {
      let count = 0;
      return {
        perform(o) {
          done.push("perform");
          if ((count += o.by) > 5) system.fail("I5", `counted to ${count}`);
        },
        afterStep() {
          done.push("after");
        },
        compare() {
          done.push("compare");
        },
        undo() {
          done.push("undo");
          count = 0;
        },
      };
    },
  };
}

describe("a run", () => {
  test("is the same for the same seed, another for another", () => {
    expect(repertoire.drawRun(7, 300)).toEqual(repertoire.drawRun(7, 300));
    expect(repertoire.drawRun(7, 300)).not.toEqual(repertoire.drawRun(8, 300));
    expect(repertoire.drawRun(7, 300)).toHaveLength(300);
  });

  test("is told in words in which one of a thing is not several", () => {
    const told = Array.from({ length: 60 }, (_, seed) =>
      repertoire.drawRun(seed, 300).map((each) => repertoire.describe(each)),
    ).flat();
    expect(told.some((words) => /\b1 page\b/.test(words))).toBe(true);
    expect(
      // A power's exponent is no count.
      told.filter((words) => /(?<!\^)\b1 (pages|instructions|nodes|areas|entries|frames|programs)\b/.test(words)),
    ).toEqual([]);
  });

  test("contains every kind of every family, each with its fields and none else, printed in one line, and survives a file", () => {
    const kinds = new Set<string>();
    const all = [...familyIndex(FAMILIES).keys()].sort();
    for (let seed = 0; seed < 400 && kinds.size < all.length; seed++) {
      for (const operation of JSON.parse(JSON.stringify(repertoire.drawRun(seed, 300))) as Operation[]) {
        kinds.add(operation.op);
        expect(repertoire.faults(operation)).toEqual([]);
        const family = FAMILIES[familyIndex(FAMILIES).get(operation.op)!]!;
        expect(Object.keys(operation).sort()).toEqual(
          ["op", ...Object.keys(family.kinds[operation.op]!.fields)].sort(),
        );
        expect(repertoire.describe(operation)).toMatch(/^[^\n]{8,}$/);
      }
    }
    expect([...kinds].sort()).toEqual(all);
  });

  test("never holds an operation inside another that must stand alone", () => {
    const inside = Array.from({ length: 40 }, (_, seed) => repertoire.drawRun(seed, 200))
      .flat()
      .filter((each) => each.op === "racing" || each.op === "between")
      .map((each) => (each as unknown as { during: Operation }).during.op);
    expect(inside.length).toBeGreaterThan(200);
    for (const alone of ["racing", "refuse", "offline", "online"]) expect(inside).not.toContain(alone);
  });
});

describe("what comes from a file", () => {
  test.each<[string, Operation, string, RegExp]>([
    ["an operation nobody has", { op: "teleport" }, "op", /no operation "teleport"/],
    [
      "a missing field",
      { op: "fork", p: 1 } as Operation,
      "cpu",
      /fork needs a whole number from 0 to 65535 there, not nothing/,
    ],
    [
      "a wrong word",
      { op: "touch", cpu: 0, page: 0, kind: "lick", value: 1 } as Operation,
      "kind",
      /one of read, write, execute there, not "lick"/,
    ],
    ["a fraction", { op: "idle", cpu: 1.5 } as Operation, "cpu", /whole number/],
    ["a negative number", { op: "idle", cpu: -1 } as Operation, "cpu", /whole number/],
    [
      "a fault inside another",
      { op: "racing", during: { op: "idle" }, store: 1, cpu: 0, page: 0 } as Operation,
      "during.cpu",
      /whole number/,
    ],
    ["a field too many", { op: "idle", cpu: 1, cpus: 2 } as Operation, "cpus", /idle has no such field/],
    ["more than any count", { op: "idle", cpu: 65_536 } as Operation, "cpu", /from 0 to 65535/],
    [
      "what stands alone inside another",
      { op: "racing", during: { op: "offline", cpu: 0 }, store: 1, cpu: 0, page: 0 } as Operation,
      "during.op",
      /offline cannot lie in another/,
    ],
    [
      "nothing inside another",
      { op: "racing", store: 1, cpu: 0, page: 0 } as Operation,
      "during",
      /needs an operation/,
    ],
  ])("%s is named", (_what, operation, field, reason) => {
    const faults = repertoire.faults(operation);
    expect(faults.map(({ path }) => path.join("."))).toEqual([field]);
    expect(faults[0]!.reason).toMatch(reason);
  });
});

describe("a family of one's own", () => {
  test("is asked in order, compared and undone at the end of a run, and its failure names the rule", () => {
    const done: string[] = [];
    const families = [...FAMILIES, counting(done)];
    const system = new CheckedSystem(kernel, { families });
    const count = (by: number): Operation => ({ op: "count", by }) as Operation;
    system.run([count(2), { op: "spawn", cpu: 0 } as Operation, count(3)]);
    expect(done).toEqual(["perform", "after", "after", "perform", "after", "compare", "undo", "after"]);
    expect(() => {
      system.run([count(2), count(4)]);
    }).toThrow(/I5: counted to 6/);
  });

  test("may fail by a row of its own, and not by an id that no row has", () => {
    const mine: Invariant<never> = { id: "X1", when: "always", where: ["run"], sentence: "nothing is counted" };
    const failing = (by: string | Invariant<never>): unknown => {
      const family: OperationFamily = {
        ...counting([]),
        start: (subject) => ({ perform: () => subject.fail(by, "counted") }),
      };
      try {
        new CheckedSystem(kernel, { families: [...FAMILIES, family] }).step({ op: "count", by: 1 } as Operation);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    expect(failing(mine)).toMatchObject({
      message: "X1: counted",
      invariant: "X1",
      finding: { id: "X1", sentence: "nothing is counted", detail: "counted" },
    });
    expect(failing("I5")).toMatchObject({
      finding: { id: "I5", sentence: expect.stringMatching(/^work per user/) as string },
    });
    expect(failing("Z1")).toBeInstanceOf(RangeError);
  });

  test("is drawn beside the others", () => {
    const own = new Repertoire([...FAMILIES, counting([])]);
    const drawn = Array.from({ length: 10 }, (_, seed) => own.drawRun(seed, 300)).flat();
    expect(drawn.filter((each) => each.op === "count").map((each) => own.describe(each))).toContain("counts by 2");
  });

  test("may not take a name that is taken", () => {
    expect(() =>
      familyIndex([
        ...FAMILIES,
        { ...counting([]), kinds: { fork: { weight: 1, fields: {} } } } as unknown as OperationFamily,
      ]),
    ).toThrow(/processes and counting both have an operation fork/);
  });

  test("without it the operation is refused by name", () => {
    expect(() => {
      new CheckedSystem(kernel).step({ op: "count" });
    }).toThrow(/no family has an operation count/);
  });
});
