/**
 * What a dump of CPUID says of a machine: processor, widths, clock, caches, TLBs; with all CPUs in it also which share
 * a core, an L3 and a package.
 *
 * @source Intel SDM vol. 2A, CPUID, and vol. 3A, "Hierarchical Mapping of Shared Resources"; AMD64 APM vol. 3, appendix
 *   E
 */
import { TextLines } from "@kreplica/inputs";
import { AccountOf } from "./account.js";
import { bits, cacheLeaves, sayCaches, sayTlbs } from "./cpuid-caches.js";
import { type CpuidOfCpu, parseCpuidDump } from "./cpuid-dump.js";
import { groupBy } from "../group-by.js";
import { vendorOf } from "./processor-names.js";

const word = (...registers: readonly number[]): string =>
  registers.flatMap((register) => [0, 8, 16, 24].map((low) => String.fromCharCode(bits(register, low, 8)))).join("");

/** @throws InputError naming the line of every fault */
export function readCpuid(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("CPUID", file);
  const cpus = parseCpuidDump(text);
  const [first] = cpus.values();
  const [name, features] = [first?.leaf(0), first?.leaf(1)];
  if (!first || !name || !features)
    throw text.fault(
      undefined,
      undefined,
      "no leaf 0 or no leaf 1",
      "give the whole output of `cpuid -r`, or the whole dump",
    );
  sayProcessor(first, account);
  sayCaches(first, account);
  sayTlbs(first, account);
  if (bits(features.ecx, 31, 1) === 1)
    account.remark("read inside a virtual machine: caches, TLBs and cores are what its hypervisor says");
  const shape = (cpu: CpuidOfCpu): string =>
    cacheLeaves(cpu)
      .map(({ name: cache, leaf }) => `${cache} ${leaf.ebx} ${leaf.ecx}`)
      .join();
  if ([...cpus.values()].some((cpu) => cpu.size > 0 && shape(cpu) !== shape(first)))
    account.remark("the CPUs have different caches: those of the first in the dump stand for all");
  if (cpus.size > 1) sayPlaces(cpus, account);
  return account;
}

function sayProcessor(cpu: CpuidOfCpu, account: AccountOf): void {
  const [name, features] = [cpu.leaf(0)!, cpu.leaf(1)!];
  const vendor = word(name.ebx, name.edx, name.ecx);
  const known = vendorOf(vendor);
  if (known) account.say("vendor", "", known, name.line);
  else account.remark(`vendor ${JSON.stringify(vendor)} is not among those modelled`);
  const base = bits(features.eax, 8, 4);
  account.say("family", "", base === 15 ? base + bits(features.eax, 20, 8) : base, features.line);
  const high = base === 6 || base === 15 ? bits(features.eax, 16, 4) : 0;
  account.say("model", "", high * 16 + bits(features.eax, 4, 4), features.line);
  const widths = cpu.leaf(0x8000_0008);
  if (widths) {
    const [physical, virtual] = [bits(widths.eax, 0, 8), bits(widths.eax, 8, 8)];
    if (physical >= 36 && physical <= 52) account.say("physicalBits", "", physical, widths.line);
    if (virtual === 48 || virtual === 57) account.say("virtualBits", "", virtual, widths.line);
  }
  const clock = cpu.leaf(0x16);
  const brand = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((each) => cpu.leaf(each) ?? []);
  const text = brand.map(({ eax, ebx, ecx, edx }) => word(eax, ebx, ecx, edx)).join("");
  const gigahertz = /@ (\d{1,2}\.\d{1,3})GHz/.exec(text);
  if (clock && bits(clock.eax, 0, 16) > 0) {
    account.say("hertz", "", bits(clock.eax, 0, 16) * 1e6, clock.line);
    if (bits(clock.ebx, 0, 16) > 0) account.say("mostHertz", "", bits(clock.ebx, 0, 16) * 1e6, clock.line);
  } else if (gigahertz) account.say("hertz", "", Math.round(Number(gigahertz[1]) * 1e9), brand.at(-1)!.line);
}

/** Where a CPU stands: numbers of its core, L3 and package. */
interface Numbers {
  readonly core: number;
  readonly l3: number | undefined;
  readonly package: number;
  readonly line: number;
}

/** By the extended topology leaf: the APIC id and how far it is to be shifted for a core and a package. */
function numbersOf(cpu: CpuidOfCpu): Numbers | undefined {
  const levels = [0x1f, 0xb]
    .map((number) => cpu.subLeaves(number))
    .find(([first]) => first && bits(first.ecx, 8, 8) !== 0);
  if (!levels) return undefined;
  const apic = levels[0]!.edx;
  const known = levels.filter(({ ecx }) => bits(ecx, 8, 8) !== 0);
  const threads = known.find(({ ecx }) => bits(ecx, 8, 8) === 1);
  const above = (shift: number): number => Math.floor(apic / 2 ** shift);
  const l3 = cacheLeaves(cpu).find(({ name }) => name === "l3");
  return {
    core: above(threads ? bits(threads.eax, 0, 5) : 0),
    l3: l3 ? above(Math.ceil(Math.log2(bits(l3.leaf.eax, 14, 12) + 1))) : undefined,
    package: above(bits(known.at(-1)!.eax, 0, 5)),
    line: levels[0]!.line,
  };
}

function sayPlaces(cpus: ReadonlyMap<number, CpuidOfCpu>, account: AccountOf): void {
  const ids = [...cpus.keys()].sort((a, b) => a - b);
  const numbers = new Map(ids.map((id) => [id, numbersOf(cpus.get(id)!)]));
  if ([...numbers.values()].includes(undefined))
    return account.remark("no leaf 0Bh for every CPU: which of them share a core, an L3 or a package is left open");
  const apics = new Set(ids.map((id) => (cpus.get(id)!.leaf(0x1f) ?? cpus.get(id)!.leaf(0xb))?.edx));
  if (apics.size < ids.length)
    return account.remark(
      "two CPUs have one APIC id (the tool did not move between them): cores and packages are left open",
    );
  account.say("cpus", "", ids, numbers.get(ids[0]!)!.line);
  const groups = (kind: "coreOf" | "l3Of" | "packageOf", of: (each: Numbers) => number | undefined): void => {
    if (ids.some((id) => of(numbers.get(id)!) === undefined)) return;
    for (const group of groupBy(ids, (id) => of(numbers.get(id)!)))
      account.group(kind, group, numbers.get(group[0]!)!.line);
  };
  groups("coreOf", (each) => each.core);
  groups("l3Of", (each) => each.l3);
  groups("packageOf", (each) => each.package);
}
