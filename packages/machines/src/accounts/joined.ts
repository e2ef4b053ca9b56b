/** Several accounts as one: later ones refine earlier ones, and where two differ, that is told. */
import { formatCpuList } from "@kreplica/inputs";
import type { Fact, FactKind, FactValues, MachineAccount, Place } from "./account.js";

/** What all inputs together say. */
export class JoinedAccount {
  private readonly facts = new Map<string, { readonly fact: Fact; readonly tool: string }>();
  /** Two inputs that differ, a line a field and pair, for people. */
  readonly contradictions: string[];

  constructor(readonly accounts: readonly MachineAccount[]) {
    const differ = new Map<string, { count: number; first: string; of: number }>();
    for (const account of accounts) {
      for (const fact of account.facts) {
        const key = `${fact.kind} ${fact.of}`;
        const before = this.facts.get(key);
        this.facts.set(key, { fact, tool: account.tool });
        if (!before) continue;
        const pair = `${label(fact)} ${before.tool} ${before.fact.place.file} ${account.tool} ${account.file}`;
        const seen = differ.get(pair) ?? { count: 0, first: "", of: 0 };
        seen.of++;
        if (!agree(before.fact, fact)) {
          seen.count++;
          seen.first ||= `${named(fact)} is ${shown(before.fact)} in ${placeText(before.fact.place)} (${before.tool}) and ${shown(fact)} in ${placeText(fact.place)} (${account.tool}), which stands`;
        }
        differ.set(pair, seen);
      }
    }
    this.contradictions = [...differ.values()].flatMap(({ count, first, of }) =>
      count === 0 ? [] : [count === 1 ? first : `${first}; ${count} of ${of} such figures differ`],
    );
  }

  /** What was said last; undefined where nobody said anything. */
  get<K extends FactKind>(kind: K, of: string | number = ""): FactValues[K] | undefined {
    return this.facts.get(`${kind} ${of}`)?.fact.value as FactValues[K] | undefined;
  }

  /** Whose facts of a kind there are. */
  whose(kind: FactKind): string[] {
    return [...this.facts.values()].flatMap(({ fact }) => (fact.kind === kind ? [fact.of] : []));
  }

  /** Place of a fact that was said, with who said it. */
  source(kind: FactKind, of: string | number = ""): string {
    const said = this.facts.get(`${kind} ${of}`)!;
    return `${said.tool} (${placeText(said.fact.place)})`;
  }

  /** Where every figure comes from: a line for each kind and input, for people. */
  sources(): string[] {
    const lines = new Map<string, { readonly places: Place[]; readonly tool: string; readonly what: string }>();
    for (const { fact, tool } of this.facts.values()) {
      const what = label(fact);
      const key = `${what} ${tool} ${fact.place.file}`;
      const entry = lines.get(key) ?? { places: [], tool, what };
      entry.places.push(fact.place);
      lines.set(key, entry);
    }
    return [...lines.values()].map(({ places, tool, what }) => `${what}: ${tool} (${placesText(places)})`);
  }
}

const LABELS: Readonly<Record<FactKind, string>> = {
  cpus: "CPUs",
  nodeCpus: "CPUs of nodes",
  nodeMemory: "memory of nodes",
  packageOf: "sockets",
  coreOf: "cores",
  l3Of: "cores of an L3",
  distance: "distance",
  latencyNs: "latencyNs",
  bandwidthMBs: "bandwidthMBs",
  loadedLatencies: "loadedLatency",
  cacheBytes: "bytes",
  cacheWays: "ways",
  cacheCycles: "cycles",
  inclusion: "inclusion",
  tlb: "translation",
  secondLarge: "translation.second.large",
  cacheToCacheNs: "cacheToCacheNs",
  physicalBits: "physicalBits",
  virtualBits: "virtualBits",
  vendor: "vendor",
  family: "family of the processor",
  model: "model of the processor",
  hertz: "hertz",
  mostHertz: "highest hertz",
};

/** What a line of the sources is about. */
function label({ kind, of }: Fact): string {
  if (kind === "cacheBytes" || kind === "cacheWays" || kind === "cacheCycles" || kind === "inclusion")
    return `${of}.${LABELS[kind]}`;
  return kind === "tlb" || kind === "cacheToCacheNs" ? `${LABELS[kind]}.${of}` : LABELS[kind];
}

/** A fact by name: `CPUs of node 1`, `latencyNs from 0 to 1`. */
function named(fact: Fact): string {
  const { kind, of } = fact;
  if (kind === "nodeCpus" || kind === "nodeMemory") return `${kind === "nodeCpus" ? "CPUs" : "memory"} of node ${of}`;
  if (kind === "packageOf" || kind === "coreOf" || kind === "l3Of")
    return `who shares the ${{ packageOf: "socket", coreOf: "core", l3Of: "L3" }[kind]} of CPU ${of}`;
  if (of.includes(" ")) return `${LABELS[kind]} from ${of.replace(" ", " to ")}`;
  return label(fact);
}

function shown({ kind, value }: Fact): string {
  if (kind === "loadedLatencies")
    return (value as FactValues["loadedLatencies"])
      .map(({ latencyNs, bandwidthMBs }) => `${latencyNs} ns at ${bandwidthMBs} MB/s`)
      .join(", ");
  if (Array.isArray(value)) return value.length === 0 ? "none" : formatCpuList(value as number[]);
  if (kind === "cacheCycles") return String((value as FactValues["cacheCycles"]).value);
  if (typeof value === "object")
    return `${(value as FactValues["tlb"]).entries} / ${(value as FactValues["tlb"]).ways}`;
  return String(value);
}

/** Memory is told with and without what firmware and kernel keep: within a twelfth is the same. */
const MEMORY_SHARE = 1 / 12;

function agree(a: Fact, b: Fact): boolean {
  if (a.kind === "nodeMemory")
    return (
      Math.abs((a.value as number) - (b.value as number)) <=
      MEMORY_SHARE * Math.max(a.value as number, b.value as number)
    );
  if (Array.isArray(a.value) && Array.isArray(b.value) && a.kind !== "loadedLatencies") {
    const [left, right] = [a.value as readonly number[], b.value as readonly number[]];
    return left === right || (left.length === right.length && left.every((each, i) => each === right[i]));
  }
  return shown(a) === shown(b);
}

const placeText = ({ file, line, offset }: Place): string =>
  offset !== undefined ? `${file} at byte ${offset}` : line !== undefined ? `${file}:${line}` : file;

/** Of one file. */
function placesText(places: readonly Place[]): string {
  const { file } = places[0]!;
  const sorted = (of: "line" | "offset"): number[] =>
    [...new Set(places.flatMap((place) => place[of] ?? []))].sort((a, b) => a - b);
  const offsets = sorted("offset");
  if (offsets.length > 0)
    return offsets.length === 1
      ? `${file} at byte ${offsets[0]!}`
      : `${file} at bytes ${offsets[0]!} to ${offsets.at(-1)!}`;
  const lines = sorted("line");
  if (lines.length === 0) return file;
  const list = formatCpuList(lines);
  return list.length <= 40 ? `${file}:${list}` : `${file}:${lines[0]!}-${lines.at(-1)!}`;
}
