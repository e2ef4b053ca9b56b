/** Caches, TLBs, clock and widths as the accounts tell them, laid over a base and kept within what the model can be. */
import type { CacheSpec, MachineSpec, Sourced, TlbSpec, TranslationSpec } from "@kreplica/hw-x86/api";
import type { CacheName, TlbName } from "./account.js";
import type { JoinedAccount } from "./joined.js";

/** Fields of a machine, and what of them nobody said or could not stay as it was said. */
export interface ToldCore {
  readonly fields: Pick<
    MachineSpec,
    "l1i" | "l1d" | "l2" | "l3" | "translation" | "hertz" | "physicalBits" | "virtualBits" | "cacheToCacheNs"
  > &
    Partial<Pick<MachineSpec, "vendor">>;
  readonly assumed: readonly string[];
  readonly remarks: readonly string[];
}

/** Bytes of one way of 64 sets: the model's caches are multiples of it. */
const SET_GROUP = 4096;
const MOST_WAYS = 32;
export const CACHES: readonly CacheName[] = ["l1i", "l1d", "l2", "l3"];
export const TLBS: readonly TlbName[] = [
  "instruction.small",
  "instruction.large",
  "data.small",
  "data.large",
  "data.huge",
  "second",
  "second.huge",
];

const powerBelow = (value: number): number => 2 ** Math.floor(Math.log2(value));

/** A number of the base's in a machine that is not it. */
export const assumedFrom = (base: MachineSpec, number: Sourced): Sourced => ({
  ...number,
  source: `assumed, as ${base.name}: ${number.source}`,
  provisional: true,
});

export function coreAsTold(said: JoinedAccount, base: MachineSpec): ToldCore {
  const assumed: string[] = [];
  const remarks: string[] = [];
  const cache = <C extends CacheSpec>(name: CacheName, of: C): C => {
    const bytes = said.get("cacheBytes", name);
    const toldWays = said.get("cacheWays", name);
    if (bytes === undefined) assumed.push(`${name}.bytes`);
    if (toldWays === undefined) assumed.push(`${name}.ways`);
    const fitted = fitCache(bytes ?? of.bytes, toldWays, of.ways, name.startsWith("l1"));
    if (!fitted)
      remarks.push(`${name}: ${bytes!} bytes in ${toldWays ?? of.ways} ways cannot be modelled; ${base.name}'s stands`);
    else if (fitted.bytes !== (bytes ?? of.bytes) || fitted.ways !== (toldWays ?? of.ways))
      remarks.push(
        `${name}: ${bytes ?? of.bytes} bytes in ${toldWays ?? of.ways} ways is modelled as ${fitted.bytes} in ${fitted.ways}`,
      );
    const { replacement, ...rest } = of;
    const keeps = replacement && (fitted?.ways ?? of.ways) === of.ways ? { replacement } : {};
    const cycles = said.get("cacheCycles", name);
    return {
      ...(rest as C),
      ...keeps,
      ...fitted,
      cycles: cycles ? { ...cycles, source: said.source("cacheCycles", name) } : assumedFrom(base, of.cycles),
    };
  };
  const translation = translationAsTold(said, base, assumed, remarks);
  const inclusion = said.get("inclusion", "l3");
  if (inclusion === undefined) assumed.push("l3.inclusion");
  // "Not inclusive" is all that CPUID says; the base may know that it is a victim cache.
  const l3Inclusion =
    inclusion === "independent" && base.l3.inclusion !== "inclusive"
      ? base.l3.inclusion
      : (inclusion ?? base.l3.inclusion);
  const vendor = said.get("vendor") ?? base.vendor;
  const bits = (kind: "physicalBits" | "virtualBits"): number => {
    const told = said.get(kind);
    if (told === undefined) assumed.push(kind);
    return told ?? base[kind];
  };
  return {
    fields: {
      l1i: cache("l1i", base.l1i),
      l1d: cache("l1d", base.l1d),
      l2: cache("l2", base.l2),
      l3: { ...cache("l3", base.l3), inclusion: l3Inclusion },
      translation,
      hertz: hertzAsTold(said, base, assumed),
      cacheToCacheNs: transfersAsTold(said, base, assumed),
      physicalBits: bits("physicalBits"),
      virtualBits: bits("virtualBits") as 48 | 57,
      ...(vendor === undefined ? {} : { vendor }),
    },
    get assumed() {
      return assumed;
    },
    remarks,
  };
}

/** The nearest the model can be, never larger; undefined where nothing of it fits. */
export function fitCache(
  bytes: number,
  told: number | undefined,
  baseWays: number,
  powerOfTwo: boolean,
): { readonly bytes: number; readonly ways: number } | undefined {
  const fits = (ways: number): boolean => bytes % (ways * SET_GROUP) === 0;
  const ways = Math.min(MOST_WAYS, told ?? [baseWays, 16, 8, 12, 11, 15, 20, 4].find(fits) ?? baseWays);
  const groups = Math.floor(bytes / (ways * SET_GROUP));
  if (groups === 0) return undefined;
  return { bytes: (powerOfTwo ? powerBelow(groups) : groups) * ways * SET_GROUP, ways };
}

function hertzAsTold(said: JoinedAccount, base: MachineSpec, assumed: string[]): Sourced {
  const value = said.get("hertz");
  const most = said.get("mostHertz");
  if (value === undefined) {
    assumed.push("hertz");
    return assumedFrom(base, base.hertz);
  }
  return {
    value,
    low: value,
    high: Math.max(value, most ?? value),
    source: said.source("hertz") + (most === undefined ? "" : `; highest: ${said.source("mostHertz")}`),
  };
}

function transfersAsTold(said: JoinedAccount, base: MachineSpec, assumed: string[]): MachineSpec["cacheToCacheNs"] {
  const one = (of: "sameSocket" | "otherSocket"): Sourced => {
    const value = said.get("cacheToCacheNs", of);
    if (value !== undefined) return { value, source: said.source("cacheToCacheNs", of) };
    assumed.push(`cacheToCacheNs.${of}`);
    return assumedFrom(base, base.cacheToCacheNs[of]);
  };
  const { sameL3 } = base.cacheToCacheNs;
  return {
    ...(sameL3 ? { sameL3: assumedFrom(base, sameL3) } : {}),
    sameSocket: one("sameSocket"),
    otherSocket: one("otherSocket"),
  };
}

function translationAsTold(
  said: JoinedAccount,
  base: MachineSpec,
  assumed: string[],
  remarks: string[],
): TranslationSpec {
  const { instruction, data, second, pagingStructure, mixedSizes } = base.translation;
  const told: string[] = [];
  const tlb = <T extends TlbSpec | undefined>(name: TlbName, of: T): T => {
    const spec = said.get("tlb", name);
    if (!spec) {
      if (of) assumed.push(`translation.${name}`);
      return of;
    }
    told.push(`${name}: ${said.source("tlb", name)}`);
    // Sets that are no power of two the base's author has met before: 3072 entries in 8 ways stand as its 24.
    const odd = !Number.isInteger(Math.log2(spec.entries / spec.ways));
    if (odd && of?.entries === spec.entries) {
      remarks.push(
        `translation.${name}: ${spec.entries} entries in ${spec.ways} ways are modelled in ${of.ways}, as in ${base.name}`,
      );
      return of;
    }
    const sets = Math.max(1, powerBelow(Math.max(1, spec.entries / spec.ways)));
    const entries = sets * spec.ways;
    if (entries !== spec.entries)
      remarks.push(`translation.${name}: ${spec.entries} entries in ${spec.ways} ways are modelled as ${entries}`);
    return { entries, ways: spec.ways } as T;
  };
  const optional = <N extends string>(name: N, spec: TlbSpec | undefined): { [key in N]?: TlbSpec } =>
    (spec ? { [name]: spec } : {}) as { [key in N]?: TlbSpec };
  const { replacement: _, huge, ...rest } = second;
  const secondTold = said.get("tlb", "second") !== undefined;
  const secondLarge = said.get("secondLarge");
  if (secondTold && secondLarge === undefined) assumed.push("translation.second.large");
  return {
    instruction: {
      small: tlb("instruction.small", instruction.small),
      ...optional("large", tlb("instruction.large", instruction.large)),
    },
    data: {
      small: tlb("data.small", data.small),
      ...optional("large", tlb("data.large", data.large)),
      ...optional("huge", tlb("data.huge", data.huge)),
    },
    second: {
      ...rest,
      ...tlb("second", { entries: second.entries, ways: second.ways }),
      large: secondLarge ?? second.large,
      cycles: assumedFrom(base, second.cycles),
      ...optional("huge", tlb("second.huge", huge)),
    },
    pagingStructure: {
      ...pagingStructure,
      source: `assumed, as ${base.name}: ${pagingStructure.source}`,
      provisional: true,
    },
    ...(mixedSizes && { mixedSizes }),
    source: [
      ...told,
      ...(told.length < TLBS.length
        ? [`${told.length === 0 ? "all" : "the others"} assumed, as ${base.name}: ${base.translation.source}`]
        : []),
    ].join("; "),
  };
}
