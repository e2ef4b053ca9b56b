/**
 * Each invariant of areas is seen broken by its own check, where exactly that is broken, and nothing is said of an area
 * as it is.
 */
import { type Frame, NONE, type NodeId } from "@kreplica/hw-x86/api";
import { describe, expect, test } from "vitest";
import { type AreaWitnesses, checkArea, checkAreas, Vmalloc, vmalloc, type VmArea } from "../src/index.js";
import { fakeKernel, fakeLayout, type FakeKernel } from "../src/testing.js";

interface Subject {
  readonly kernel: FakeKernel;
  readonly witnesses: AreaWitnesses;
  readonly area: VmArea;
}

/** Three pages with a guard page behind them and a copy on node 1. */
function replicated(): Subject {
  const kernel = fakeKernel({ holders: [0, 1], plugins: [vmalloc] });
  const vm = kernel.assembly.get(Vmalloc);
  const area = vm.allocate({
    bytes: 3 * 4096,
    placement: { node: 0 },
    purpose: "module",
    low: fakeLayout.modulesStart,
    high: fakeLayout.modulesEnd,
  });
  expect(vm.replicate(area)).toBe("replicated");
  return { kernel, witnesses: { ...kernel, vmalloc: vm }, area };
}

/** The same object but for some members. */
const instead = <T extends object>(of: T, members: Partial<T>): T =>
  new Proxy(of, {
    get: (target, name) => {
      const value: unknown = name in members ? members[name as keyof T] : Reflect.get(target, name);
      return typeof value === "function" && !(name in members) ? (value.bind(target) as unknown) : value;
    },
  });

const page = (area: VmArea, number: number): bigint => area.start + BigInt(number) * 4096n;

describe("one thing broken", () => {
  test.each<[string, string, RegExp, (subject: Subject) => AreaWitnesses]>([
    [
      "E1",
      "a hole on one node",
      /is a hole on node 1$/,
      ({ witnesses, area }) =>
        frames(witnesses, (real, node, at) => (node === 1 && at === page(area, 1) ? NONE : real)),
    ],
    [
      "E1",
      "a guard page that is mapped",
      /^guard page .* is mapped on node 1$/,
      ({ witnesses, area }) => frames(witnesses, (real, node, at) => (node === 1 && at === page(area, 3) ? 7 : real)),
    ],
    [
      "E2",
      "a copy on another node",
      /on node 1 lies on node 0$/,
      ({ witnesses, area }) => {
        const copy = area.copies.get(1)![2]!;
        return {
          ...witnesses,
          memory: instead(witnesses.memory, {
            nodeOf: (frame) => (frame === copy ? 0 : witnesses.memory.nodeOf(frame)),
          }),
        };
      },
    ],
    [
      "E2",
      "another byte in a copy",
      /on node 1 differs from the base copy$/,
      ({ witnesses, area }) => {
        witnesses.memory.write32(area.copies.get(1)![0]!, 5, 1);
        return witnesses;
      },
    ],
    [
      "E8",
      "another frame for vmalloc_to_page",
      /is not the lowest holder's frame$/,
      ({ witnesses, area }) => ({
        ...witnesses,
        vmalloc: instead(witnesses.vmalloc, {
          toFrame: (at) => witnesses.vmalloc.toFrame(at) + (at === page(area, 1) ? 1 : 0),
        }),
      }),
    ],
    [
      "B6",
      "a page that one node may execute",
      /protection differs between nodes$/,
      ({ witnesses, area }) => ({
        ...witnesses,
        tables: instead(witnesses.tables, {
          lookup: (node, at) => {
            const mapping = witnesses.tables.lookup(node, at);
            return mapping && node === 1 && at === page(area, 2)
              ? { ...mapping, executable: !mapping.executable }
              : mapping;
          },
        }),
      }),
    ],
    [
      "E12",
      "an area outside the window that counts as shared",
      /^0x[0-9a-f]+ is replicated, and lies outside the window$/,
      ({ witnesses }) => ({ ...witnesses, view: instead(witnesses.view, { isPrivate: () => false }) }),
    ],
  ])("%s: %s", (id, _what, detail, corrupt) => {
    const subject = replicated();
    expect(checkArea(subject.witnesses, subject.area)).toEqual([]);
    const found = checkArea(corrupt(subject), subject.area);
    expect(found.map((each) => each.id)).toEqual([id]);
    expect(found[0]!.detail).toMatch(detail);
    expect(found[0]!.sentence).not.toBe("");
  });

  test("E2: a holder that runs another's frame, and the copy's book says so too", () => {
    const { witnesses, area } = replicated();
    (area.copies.get(1) as Frame[])[1] = area.frames[1]!;
    const found = checkArea(
      frames(witnesses, (real, node, at) => (node === 1 && at === page(area, 1) ? area.frames[1]! : real)),
      area,
    );
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set(["E2"]));
    expect(found.map(({ detail }) => detail)).toContain(`0x${page(area, 1).toString(16)}: holders share a frame`);
  });

  test("E6: pages that the counter has and no area", () => {
    const { witnesses } = replicated();
    expect(checkAreas(witnesses)).toEqual([]);
    const { counters } = witnesses.vmalloc;
    const lying = instead(witnesses.vmalloc, {
      counters: instead(counters, { pages: (node: NodeId) => counters.pages(node) + node }),
    });
    expect(checkAreas({ ...witnesses, vmalloc: lying })).toMatchObject([
      { id: "E6", detail: "node 1: the counter says 4 pages, the areas have 3" },
    ]);
  });
});

/** Another frame for some pages of some nodes. */
function frames(
  witnesses: AreaWitnesses,
  change: (real: Frame, node: NodeId, address: bigint) => Frame,
): AreaWitnesses {
  const real = witnesses.vmalloc;
  return {
    ...witnesses,
    vmalloc: instead(real, { toFrameOn: (node, address) => change(real.toFrameOn(node, address), node, address) }),
  };
}
