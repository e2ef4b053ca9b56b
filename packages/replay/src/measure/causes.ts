/** The causes of a {@link CycleAccount} as one list, and which count costs what for which of them. */
import { CounterLayout, eventPrices, KINDS, type MachineSpec, Place } from "@kreplica/hw-x86";
import { Region } from "../replay/program.js";
import type { Pricing } from "../replay/located-replayer.js";
import { type CycleAccount, cycleAccount, type LevelCycles } from "./cycle-account.js";

const LEVELS = ["l2", "ownL3", "otherL3", "local", "remote"] as const satisfies readonly (keyof LevelCycles)[];
const levelled = <Name extends string>(name: Name): `${Name}.${(typeof LEVELS)[number]}`[] =>
  LEVELS.map((level): `${Name}.${typeof level}` => `${name}.${level}`);

/** Leaves of the account, `text.remote` for `account.text.remote`: they add up to the run's cycles. */
export const CAUSES: readonly string[] = [
  "instructions",
  ...levelled("text"),
  ...levelled("rodata"),
  ...levelled("data"),
  "modules",
  "user",
  "walks.l1",
  ...levelled("walks"),
  "secondTlb",
  "interrupts",
  "replication",
];

/** An account's leaves in the order of {@link CAUSES}. */
export function leavesOf(account: CycleAccount): number[] {
  return CAUSES.map((cause) => {
    const [part, level] = cause.split(".") as [keyof CycleAccount, keyof LevelCycles | undefined];
    const value = account[part];
    return typeof value === "number" ? value : value[level!];
  });
}

/** An account of such leaves. */
export function accountOf(leaves: ArrayLike<number>): CycleAccount {
  const of = (name: string): number => leaves[CAUSES.indexOf(name)]!;
  const levels = (name: string): LevelCycles => ({
    l2: of(`${name}.l2`),
    ownL3: of(`${name}.ownL3`),
    otherL3: of(`${name}.otherL3`),
    local: of(`${name}.local`),
    remote: of(`${name}.remote`),
  });
  return {
    instructions: of("instructions"),
    text: levels("text"),
    rodata: levels("rodata"),
    data: levels("data"),
    modules: of("modules"),
    user: of("user"),
    walks: { l1: of("walks.l1"), ...levels("walks") },
    secondTlb: of("secondTlb"),
    interrupts: of("interrupts"),
    replication: of("replication"),
  };
}

/**
 * What each count costs, and for which cause: asked of the account itself, one count at a time, so that the two agree.
 *
 * @param nodeIndex of the CPU's node in `spec.nodes`
 */
export function pricingOf(spec: MachineSpec, nodeIndex: number): Pricing {
  const layout = new CounterLayout(spec.nodes.length);
  const prices = eventPrices(spec, nodeIndex);
  const price = new Float64Array(layout.length);
  const cause = new Int32Array(layout.length).fill(-1);
  const one = new Float64Array(layout.length);
  const ask = (index: number): void => {
    one[index] = 1;
    const leaves = leavesOf(cycleAccount(one, spec, nodeIndex).account);
    one[index] = 0;
    const found = leaves.findIndex((each) => each !== 0);
    if (found < 0) return;
    cause[index] = found;
    price[index] = leaves[found]!;
  };
  for (const region of [Region.User, Region.Kernel, Region.Rodata, Region.Module, Region.Replication]) {
    const row = layout.row(region, 0);
    // What an event costs is the same for all regions: the free ones need not be asked about.
    for (let event = 0; event < KINDS * layout.sources; event++) if (prices[event] !== 0) ask(row + event);
    for (const place of [Place.Instructions, Place.FetchSecondTlb, Place.DataSecondTlb])
      ask(layout.place(region, place));
  }
  for (let event = 0; event < 3; event++) ask(layout.event(event));
  return { price, cause, causes: CAUSES.length };
}
