/**
 * The account and the counts of lines, event by event: what each counter goes into, at its price, and nothing beside.
 */
import { CounterLayout, Event, eventPrices, Kind, type MachineSpec, Place, Source } from "@kreplica/hw-x86";
import { tiny2Node } from "@kreplica/machines";
import { expect, test } from "vitest";
import { accountTotal, type CycleAccount, cycleAccount, lineCounts, total } from "../src/measure/cycle-account.js";
import { Region } from "../src/replay/program.js";

const layout = new CounterLayout(2);
/** Of the CPU: memory of node 1 is near. */
const NODE = 1;
/** No prefetch hides all of a line, so that none is free. */
const spec: MachineSpec = {
  ...tiny2Node,
  costs: { ...tiny2Node.costs, prefetchHiddenCycles: { value: 1, source: "x" } },
};
const prices = eventPrices(spec, NODE);

const REGIONS_USED = [Region.User, Region.Kernel, Region.Rodata, Region.Module, Region.Replication];
const KINDS_USED = [Kind.Fetch, Kind.PrefetchedFetch, Kind.Load, Kind.Store, Kind.Walk, Kind.Prefetch];
const isFetch = (kind: Kind): boolean => kind === Kind.Fetch || kind === Kind.PrefetchedFetch;
const isAccess = (kind: Kind): boolean => kind === Kind.Load || kind === Kind.Store;

const LEVELS: readonly (readonly [level: string, sources: readonly number[]])[] = [
  ["l1", [Source.L1]],
  ["l2", [Source.L2]],
  ["ownL3", [Source.OwnL3, Source.Sibling, Source.UpgradeSibling]],
  ["local", [Source.Memory + NODE]],
  ["remote", [Source.Memory]],
];
const levelOf = (source: number): string => LEVELS.find(([, sources]) => sources.includes(source))?.[0] ?? "otherL3";

/** The leaf that a reference's cycles belong to, by the words of its docstring; undefined for what costs nothing. */
function leafOf(region: Region, kind: Kind, source: number): string | undefined {
  const level = levelOf(source);
  if (kind === Kind.Prefetch || (level === "l1" && kind !== Kind.Walk)) return undefined;
  if (region === Region.Replication) return "replication";
  if (kind === Kind.Walk) return `walks.${level}`;
  if (region === Region.User) return "user";
  if (region === Region.Module) return "modules";
  if (isFetch(kind)) return `text.${level}`;
  return region === Region.Rodata ? `rodata.${level}` : `data.${level}`;
}

/** Leaves that are not zero, by name. */
function leaves(account: CycleAccount): Record<string, number> {
  const all = Object.entries(account).flatMap(([name, value]: [string, number | Record<string, number>]) =>
    typeof value === "number"
      ? [[name, value] as const]
      : Object.entries(value).map(([level, cycles]) => [`${name}.${level}`, cycles] as const),
  );
  return Object.fromEntries(all.filter(([, cycles]) => cycles !== 0));
}

/** Counters of which one alone is not zero. */
function counted(at: number, count = 1): Float64Array {
  const counters = new Float64Array(layout.length);
  counters[at] = count;
  return counters;
}

function eachReference(look: (region: Region, kind: Kind, source: number, counters: Float64Array) => void): void {
  for (const region of REGIONS_USED)
    for (const kind of KINDS_USED)
      for (let source = 0; source < layout.sources; source++)
        look(region, kind, source, counted(layout.row(region, kind) + source));
}

test("each reference's cycles are in one leaf, its region's, kind's and level's", () => {
  eachReference((region, kind, source, counters) => {
    const { cycles, account } = cycleAccount(counters, spec, NODE);
    const leaf = leafOf(region, kind, source);
    const price = prices[kind * layout.sources + source]!;
    const what = `region ${region}, kind ${kind}, source ${source}`;
    expect(leaf === undefined || price > 0, what).toBe(true);
    expect(leaves(account), what).toEqual(leaf === undefined ? {} : { [leaf]: price });
    expect([cycles, accountTotal(account)], what).toEqual([leaf ? price : 0, leaf ? price : 0]);
  });
});

test("instructions, answers of the second TLB and interrupts have leaves of their own, but for replication's", () => {
  const [instruction, second, interrupt] = prices.slice(6 * layout.sources);
  for (const region of REGIONS_USED) {
    const own = (leaf: string): string => (region === Region.Replication ? "replication" : leaf);
    const of = (place: Place) => leaves(cycleAccount(counted(layout.place(region, place)), spec, NODE).account);
    expect(of(Place.Instructions)).toEqual({ [own("instructions")]: instruction });
    expect(of(Place.FetchSecondTlb)).toEqual({ [own("secondTlb")]: second });
    expect(of(Place.DataSecondTlb)).toEqual({ [own("secondTlb")]: second });
    expect(of(Place.FetchWalks)).toEqual({});
  }
  for (const event of [Event.InterruptsSent, Event.InterruptsTaken])
    expect(leaves(cycleAccount(counted(layout.event(event)), spec, NODE).account)).toEqual({ interrupts: interrupt });
});

test("the account is taken where the uncertain parameters stand", () => {
  const slow: MachineSpec = { ...spec, hertz: { value: 1e9, high: 2e9, source: "x" } };
  const far = counted(layout.row(Region.Kernel, Kind.Fetch) + Source.Memory);
  const at = (point?: { clock: "high" }): number => cycleAccount(far, slow, NODE, point).account.text.remote;
  expect(at()).toBe(prices[Source.Memory]);
  expect(at({ clock: "high" })).toBe(eventPrices(slow, NODE, { clock: "high" })[Source.Memory]);
  expect(at({ clock: "high" })).toBeGreaterThan(at());
});

test("sums are over every level and every leaf", () => {
  const levels = { l2: 1, ownL3: 2, otherL3: 4, local: 8, remote: 16 };
  expect(total(levels)).toBe(31);
  expect(total({ ...levels, l1: 32 })).toBe(63);
  const of: CycleAccount = {
    instructions: 1000,
    text: levels,
    rodata: levels,
    data: levels,
    modules: 2000,
    user: 4000,
    walks: { ...levels, l1: 32 },
    secondTlb: 8000,
    interrupts: 16_000,
    replication: 32_000,
  };
  expect(accountTotal(of)).toBe(63_000 + 4 * 31 + 32);
});

test("each reference is counted among the lines it is one of", () => {
  eachReference((region, kind, source, counters) => {
    const mine = region !== Region.Replication;
    const memory = source >= Source.Memory && source < layout.cleanSameSocket;
    const missed1 = source !== Source.L1;
    const missed2 = missed1 && source !== Source.L2;
    const replicable =
      (region === Region.Kernel && isFetch(kind)) ||
      (region === Region.Rodata && isAccess(kind)) ||
      (mine && kind === Kind.Walk);
    const wanted = {
      textFromMemory: region === Region.Kernel && isFetch(kind) && memory,
      replicable: replicable && missed1,
      dataFromMemory: mine && isAccess(kind) && memory,
      fetchMissL1: mine && isFetch(kind) && missed1,
      fetchMissL2: mine && isFetch(kind) && missed2,
      dataMissL1: mine && isAccess(kind) && missed1,
      dataMissL2: mine && isAccess(kind) && missed2,
      replicationLoads: !mine && kind === Kind.Load,
      replicationStores: !mine && kind === Kind.Store,
      replicationInstructions: false,
    };
    expect(lineCounts(counters, 2), `region ${region}, kind ${kind}, source ${source}`).toEqual(
      Object.fromEntries(Object.entries(wanted).map(([name, yes]) => [name, Number(yes)])),
    );
  });
  const instructions = (region: Region) =>
    lineCounts(counted(layout.place(region, Place.Instructions), 7), 2).replicationInstructions;
  expect(REGIONS_USED.map(instructions)).toEqual([0, 0, 0, 0, 7]);
});
