/**
 * Caches and TLBs as CPUID describes them: Intel's leaves 4, 2 and 18h, AMD's 8000_0005h, 06h, 19h and 1Dh.
 *
 * @source Intel SDM vol. 2A, CPUID, "Information Returned by CPUID Instruction" and "Encoding of CPUID Leaf 2
 *   Descriptors"; AMD64 APM vol. 3, appendix E
 */
import type { TlbSpec } from "@kreplica/hw-x86/api";
import { type AccountOf, type CacheName, cacheNameOf, type TlbName } from "./account.js";
import type { CpuidLeaf, CpuidOfCpu } from "./cpuid-dump.js";
import { LEAF_2_TLBS, type ToldTlb } from "./cpuid-leaf-2.js";

/** A field of a register. @param low its lowest bit @param count of bits */
export const bits = (register: number, low: number, count: number): number =>
  Math.floor(register / 2 ** low) % 2 ** count;

/** Caches of a CPU by Intel's leaf 4, or AMD's of the same form. */
export function cacheLeaves(cpu: CpuidOfCpu): { readonly name: CacheName; readonly leaf: CpuidLeaf }[] {
  const all = [4, 0x8000_001d]
    .map((number) => cpu.subLeaves(number))
    .find(([first]) => first && bits(first.eax, 0, 5) !== 0);
  return (all ?? []).flatMap((leaf) => {
    const type = bits(leaf.eax, 0, 5);
    const level = bits(leaf.eax, 5, 3);
    // 1 data, 2 instructions, 3 both.
    const holds = type === 2 ? "instructions" : type === 1 ? "data" : undefined;
    const name = level > 1 && type !== 3 ? undefined : cacheNameOf(level, holds);
    return name ? [{ name, leaf }] : [];
  });
}

/** Says caches, each once. */
export function sayCaches(cpu: CpuidOfCpu, account: AccountOf): void {
  const leaves = cacheLeaves(cpu);
  for (const { name, leaf } of leaves) {
    const ways = bits(leaf.ebx, 22, 10) + 1;
    const bytes = ways * (bits(leaf.ebx, 12, 10) + 1) * (bits(leaf.ebx, 0, 12) + 1) * (leaf.ecx + 1);
    if (bytes > 2 ** 32 || account.facts.some(({ kind, of }) => kind === "cacheBytes" && of === name)) continue;
    account.say("cacheBytes", name, bytes, leaf.line);
    account.say("cacheWays", name, ways, leaf.line);
    if (name === "l3")
      account.say("inclusion", name, bits(leaf.edx, 1, 1) === 1 ? "inclusive" : "independent", leaf.line);
  }
  const [first, second] = [cpu.leaf(0x8000_0005), cpu.leaf(0x8000_0006)];
  if (leaves.length > 0) return;
  const say = (name: CacheName, bytes: number, ways: number, line: number): void => {
    if (bytes === 0) return;
    account.say("cacheBytes", name, bytes, line);
    if (ways > 0 && ways < 0xff) account.say("cacheWays", name, ways, line);
  };
  if (first) {
    say("l1d", bits(first.ecx, 24, 8) * 1024, bits(first.ecx, 16, 8), first.line);
    say("l1i", bits(first.edx, 24, 8) * 1024, bits(first.edx, 16, 8), first.line);
  }
  if (second) {
    say("l2", bits(second.ecx, 16, 16) * 1024, codedWays(bits(second.ecx, 12, 4)) ?? 0, second.line);
    say("l3", bits(second.edx, 18, 14) * 512 * 1024, codedWays(bits(second.edx, 12, 4)) ?? 0, second.line);
  }
}

/** AMD's code for ways; undefined: none or told elsewhere, 0xff: all. */
const codedWays = (code: number): number | undefined =>
  [undefined, 1, 2, 3, 4, 6, 8, undefined, 16, undefined, 32, 48, 64, 96, 128, 0xff][code];

/** Says TLBs, each once. */
export function sayTlbs(cpu: CpuidOfCpu, account: AccountOf): void {
  const tlbs = [...fromLeaf18(cpu), ...fromLeaf2(cpu), ...fromAmd(cpu, account)];
  const said = new Map<TlbName, { readonly spec: TlbSpec; readonly from: number }>();
  let large: number | undefined;
  for (const { name, entries, ways, source, line } of tlbs) {
    if (name === "second.large") {
      large ??= line;
      continue;
    }
    const before = said.get(name);
    const spec = { entries, ways: Math.min(ways, entries) };
    // Two arrays of one second level, each for 4 KiB and another size: a page of 4 KiB may lie in either.
    if (before && name === "second" && source === 0x18 && before.from === 0x18) {
      const both = { entries: before.spec.entries + entries, ways: before.spec.ways + spec.ways };
      account.remark(`the second-level TLB is two arrays, taken as one of ${both.entries} / ${both.ways}`);
      said.set(name, { spec: both, from: 0x18 });
      account.facts.splice(
        account.facts.findIndex((fact) => fact.kind === "tlb" && fact.of === name),
        1,
      );
      account.say("tlb", name, both, line);
    } else if (!before) {
      said.set(name, { spec, from: source });
      account.say("tlb", name, spec, line);
    }
  }
  const second = tlbs.find(({ name }) => name === "second");
  if (large !== undefined || second) account.say("secondLarge", "", large !== undefined, large ?? second!.line);
}

type Told = ToldTlb & { readonly source: number; readonly line: number };

function fromLeaf18(cpu: CpuidOfCpu): Told[] {
  return cpu.subLeaves(0x18).flatMap(({ ebx, ecx, edx, line }): Told[] => {
    const type = bits(edx, 0, 5);
    const level = bits(edx, 5, 3);
    const ways = bits(ebx, 16, 16);
    const entries = ways * ecx;
    // A TLB for stores alone has no place in the model: those for loads stand.
    if (type === 0 || type > 4 || entries === 0 || entries > 65_536) return [];
    const [small, two, four, huge] = [0, 1, 2, 3].map((bit) => bits(ebx, bit, 1) === 1);
    const names: ToldTlb["name"][] = [];
    if (level === 1 && type !== 2)
      names.push(...of(small, "data.small"), ...of(two || four, "data.large"), ...of(huge, "data.huge"));
    if (level === 1 && type !== 1 && type !== 4)
      names.push(...of(small, "instruction.small"), ...of(two || four, "instruction.large"));
    if (level === 2 && type !== 2)
      names.push(...of(small, "second"), ...of(two, "second.large"), ...of(huge, "second.huge"));
    return names.map((name) => ({ name, entries, ways, source: 0x18, line }));
  });
}

const of = (whether: boolean | undefined, name: ToldTlb["name"]): ToldTlb["name"][] => (whether ? [name] : []);

function fromLeaf2(cpu: CpuidOfCpu): Told[] {
  const leaf = cpu.leaf(2);
  if (!leaf) return [];
  const { eax, ebx, ecx, edx, line } = leaf;
  // The lowest byte is how often to ask; a register with its highest bit set holds nothing.
  const bytes = [eax, ebx, ecx, edx].flatMap((register, i) =>
    register >= 2 ** 31 ? [] : [0, 8, 16, 24].slice(i === 0 ? 1 : 0).map((low) => bits(register, low, 8)),
  );
  return bytes.flatMap((each) => (LEAF_2_TLBS[each] ?? []).map((tlb) => ({ ...tlb, source: 2, line })));
}

function fromAmd(cpu: CpuidOfCpu, account: AccountOf): Told[] {
  const found: Told[] = [];
  const add = (name: ToldTlb["name"], entries: number, ways: number | undefined, line: number): void => {
    if (entries > 0 && ways !== undefined && ways > 0)
      found.push({ name, entries, ways: ways === 0xff ? entries : ways, source: 0x8000_0005, line });
  };
  const first = cpu.leaf(0x8000_0005);
  const second = cpu.leaf(0x8000_0006);
  const huge = cpu.leaf(0x8000_0019);
  if (first) {
    add("data.small", bits(first.ebx, 16, 8), bits(first.ebx, 24, 8), first.line);
    add("instruction.small", bits(first.ebx, 0, 8), bits(first.ebx, 8, 8), first.line);
    add("data.large", bits(first.eax, 16, 8), bits(first.eax, 24, 8), first.line);
    add("instruction.large", bits(first.eax, 0, 8), bits(first.eax, 8, 8), first.line);
  }
  if (huge) {
    add("data.huge", bits(huge.eax, 16, 12), codedWays(bits(huge.eax, 28, 4)), huge.line);
    add("second.huge", bits(huge.ebx, 16, 12), codedWays(bits(huge.ebx, 28, 4)), huge.line);
  }
  if (second) {
    // Fn8000_0021_EAX[14]: the sizes of the second level count 32 entries each.
    const wide = bits(cpu.leaf(0x8000_0021)?.eax ?? 0, 14, 1) === 1 ? 32 : 1;
    add("second", wide * bits(second.ebx, 16, 12), codedWays(bits(second.ebx, 28, 4)), second.line);
    add("second.large", wide * bits(second.eax, 16, 12), codedWays(bits(second.eax, 28, 4)), second.line);
    if (bits(second.ebx, 0, 12) > 0 && found.some(({ name }) => name === "second"))
      account.remark("the separate second-level TLB for code has no place in the model: code shares the data's");
  }
  return found;
}
