/** How a list of operations is made smaller: what is left fails the same way, and nothing of it can be left out. */
import { expect, test } from "vitest";
import { shrinkSteps, type Shrunk } from "../src/campaign.js";
import { CheckFailure } from "../src/check-failure.js";
import { Repertoire } from "../src/families.js";
import type { Operation, OperationFamily } from "../src/family.js";

type Note = Operation & { readonly name: string; readonly size: number; readonly nth: number };
const note = (name: string, size = 0): Operation => ({ op: "note", name, size }) as Operation;
const names = (list: readonly Operation[]): string => list.map((each) => (each as Note).name ?? each.op).join("");
const notes = (text: string): Operation[] => [...text].map((name) => note(name));

/** What a size gets smaller by, one at a time. */
const noteFamily: OperationFamily = {
  name: "notes",
  kinds: { note: { weight: 1, fields: { size: "number" } }, refuse: { weight: 1, fields: { nth: "number" } } },
  draw: (op) => ({ op }),
  describe: (o) => o.op,
  simpler: (o) => ((o as Note).size > 0 ? [{ ...o, size: (o as Note).size - 1 } as Operation] : []),
  start: () => ({ perform: () => undefined }),
};

/** @param rule the id that a list breaks, if it breaks one */
function shrunk(
  list: readonly Operation[],
  rule: (candidate: readonly Operation[]) => string | undefined | false,
  trials?: number,
): { readonly found: Shrunk | undefined; readonly tried: number; readonly yields: number } {
  let tried = 0;
  const attempt = (candidate: readonly Operation[]): CheckFailure | undefined => {
    tried++;
    const id = rule(candidate);
    return id ? new CheckFailure(id, `after ${names(candidate)}`) : undefined;
  };
  const steps = shrinkSteps(list, "F1", attempt, new Repertoire([noteFamily]), trials);
  for (let yields = 0; ; yields++) {
    const { done, value } = steps.next();
    if (done) return { found: value, tried, yields };
  }
}

test("what the failure takes is left, in its order, wherever it stood", () => {
  for (const list of ["abcxdefyghz", "xyz", "xabcdefgyz", "xyabcdefghijklmnz", "abxyz", "xyzab"]) {
    const { found } = shrunk(notes(list), (candidate) => /x.*y.*z/.test(names(candidate)) && "F1");
    expect(names(found!.operations), list).toBe("xyz");
  }
});

test("all that may go goes, neighbours of what went included", () => {
  // Each takes what stands before it along, or is needed.
  const { found } = shrunk(notes("abcdefgh"), (candidate) => names(candidate).includes("h") && "F1");
  expect(names(found!.operations)).toBe("h");
});

test("what could not go before something behind it went goes then", () => {
  const { found } = shrunk(notes("axby"), (candidate) => {
    const left = names(candidate);
    return /x.*y/.test(left) && (left.includes("a") || !left.includes("b")) && "F1";
  });
  expect(names(found!.operations)).toBe("xy");
});

test("the failure told is that of what is left", () => {
  const { found } = shrunk(notes("abxcd"), (candidate) => names(candidate).includes("x") && "F1");
  expect(found!.failure.detail).toBe("after x");
  const simpler = shrunk([note("x", 2)], ([only]) => (only ? "F1" : undefined));
  expect(simpler.found).toMatchObject({ operations: [{ size: 0 }], failure: { detail: "after x" } });
});

test("another failure than the one looked for is none", () => {
  expect(shrunk(notes("xy"), () => "G5").found).toBeUndefined();
  expect(shrunk(notes("xy"), () => undefined).found).toBeUndefined();
  // Without y it fails all the same, by another rule.
  const { found } = shrunk(notes("axby"), (candidate) => (/x.*y/.test(names(candidate)) ? "F1" : "G5"));
  expect(names(found!.operations)).toBe("xy");
});

test("a refusal that counted the allocations of what goes comes sooner", () => {
  const refuse = (nth: number): Operation => ({ op: "refuse", nth }) as Operation;
  // Every note allocates once; what matters is that x is refused.
  const { found } = shrunk([refuse(2), note("a"), note("x")], (candidate) => {
    const [first, ...others] = candidate;
    if (first?.op !== "refuse") return undefined;
    return (others[(first as Note).nth - 1] as Note | undefined)?.name === "x" && "F1";
  });
  expect(found!.operations).toEqual([refuse(1), note("x")]);
});

test("an operation gets as simple as the failure lets it, and no simpler", () => {
  const { found } = shrunk([note("x", 9), note("y", 3)], (candidate) => {
    const [x, y] = candidate as Note[];
    return x?.name === "x" && x.size >= 4 && y !== undefined && "F1";
  });
  expect(found!.operations).toEqual([note("x", 4), note("y", 0)]);
});

test("lists are tried as often as was said, and one more in the middle of a step; it yields after each", () => {
  const always = (): string => "F1";
  for (const trials of [1, 5, 20]) {
    const { tried, yields, found } = shrunk([note("x", 60)], ([only]) => only && always(), trials);
    // The whole list is tried first, and is not counted.
    expect([tried, yields]).toEqual([trials + 1, trials + 1]);
    expect((found!.operations[0] as Note).size).toBeGreaterThanOrEqual(60 - trials);
  }
  const long = shrunk(notes("abcdefghijklmnop"), (candidate) => (candidate.length === 16 ? "F1" : undefined), 7);
  expect([long.tried, names(long.found!.operations)]).toEqual([8, "abcdefghijklmnop"]);
  expect(shrunk(notes("abcdefghijklmnop"), always).tried).toBeLessThan(20);
});
